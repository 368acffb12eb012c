/** What people and hosts do while the machine is asleep. */
import type { PowerClient } from "@virtgpu/core/base";
import { type CaseParts, type SuspendCase, suspendCase } from "../suite.ts";
import type { Meanwhile, Stage } from "../stage.ts";
import { must } from "../subject.ts";
import { otherDevice } from "../other-device.ts";
import { drawDesktop, drawEverything } from "./everything.ts";

interface MeanwhileParts extends Omit<CaseParts, "draw" | "sleep" | "act"> {
  /** Makes what happens. What does not end before the wake is given to {@link Stage.later}. */
  happens(stage: Stage): Meanwhile;
}

const WAY_NAMES = { s4: "a hibernation", s2idle: "suspend to idle" } as const;

/** The same in S4, and in s2idle with a reset that makes the host forget as well. */
function meanwhile(described: MeanwhileParts): readonly SuspendCase[] {
  const { id, title, needs } = described;
  const happens = (stage: Stage): Meanwhile => described.happens(stage);
  const parts = { needs, draw: drawEverything };
  return [
    suspendCase({
      ...parts,
      id: `${id}-s4`,
      title: `${title}, in a hibernation`,
      sleep: "s4",
      act: (stage) => stage.hibernate(happens(stage)),
    }),
    suspendCase({
      ...parts,
      id: `${id}-s2idle`,
      title: `${title}, in suspend to idle`,
      sleep: "s2idle",
      act: (stage) => stage.suspend("s2idle", happens(stage)),
    }),
  ];
}

/** See the file's head. */
export const MEANWHILE_CASES: readonly SuspendCase[] = [
  ...meanwhile({
    id: "created-asleep",
    title: "buffers that are made while the device sleeps",
    happens: (stage) => () => {
      for (let count = 0; count < 3; count += 1) stage.later(stage.scene.create({ width: 24, height: 24 }));
    },
  }),
  ...meanwhile({
    id: "freed-asleep",
    title: "buffers that are freed while the device sleeps, one of them shown: they do not come back",
    happens: ({ scene }) => {
      const doomed = [scene.shown(1), ...scene.items.slice(2, 5)];
      return () => {
        for (const item of doomed) scene.destroy(item);
      };
    },
  }),
  ...meanwhile({
    id: "shown-asleep",
    title: "outputs and cursor that are to show something else",
    happens: (stage) => () => {
      const { scene } = stage;
      stage.later(scene.show(0, scene.shown(1)));
      stage.later(scene.disable(1));
      stage.later(scene.moveCursor(0, 7, 9));
    },
  }),
  ...meanwhile({
    id: "painted-asleep",
    title: "pixels that are painted while the device sleeps",
    happens: (stage) => () => stage.later(stage.scene.draw(stage.scene.shown(0))),
  }),
  ...meanwhile({
    id: "moved-asleep",
    title: "lent memory that its owner moves",
    // Where the device only rests, its owner has to wait for the wake.
    happens: (stage) => () => {
      for (const { lender } of stage.scene.items) if (lender !== null) stage.later(lender.move());
    },
  }),
  ...meanwhile({
    id: "monitor-asleep",
    title: "a monitor that asks for another size: the picture stays, and the change is told once",
    needs: ["monitors"],
    happens: (stage) => {
      const told: number[] = [];
      const stop = stage.driver.onHotplug(({ changes }) => told.push(...changes.map(({ output }) => output)));
      const size = preferred(stage) === "800x600" ? { width: 1024, height: 768 } : { width: 800, height: 600 };
      return async () => {
        await stage.host.setMonitor(1, size);
        stage.later(monitorKnown(stage, `${size.width}x${size.height}`, told).finally(stop));
      };
    },
  }),
  ...(["s4", "s2idle"] as const).map((way) =>
    suspendCase({
      id: `lender-${way}`,
      title: `lent memory whose owner needs it back to be put down itself, in ${WAY_NAMES[way]}`,
      sleep: way,
      draw: drawEverything,
      act: (stage) =>
        stage.beside(lendingDevice(stage), () => (way === "s4" ? stage.hibernate() : stage.suspend("s2idle"))),
    }),
  ),
  suspendCase({
    id: "boot-driver",
    needs: ["boot-kernel"],
    title: "a boot kernel's driver that had the device, and left its own picture on it",
    sleep: "s4",
    draw: drawEverything,
    act: (stage) =>
      stage.hibernate(async () => {
        const boot = await stage.subject.startBootDriver();
        // Under the very ids of what the image's kernel shows, and the wrong way round.
        const [first, second] = [stage.scene.shown(0).buffer.id, stage.scene.shown(1).buffer.id];
        await boot.lightUp({ scanoutId: 0, resourceId: second, width: 64, height: 48, colour: 0x12_34_56 });
        await boot.lightUp({ scanoutId: 1, resourceId: first, width: 64, height: 48, colour: 0x65_43_21 });
      }),
  }),
  suspendCase({
    id: "two-in-a-row",
    title: "two hibernations with nothing in between",
    sleep: "several",
    draw: drawEverything,
    act: async (stage) => {
      await stage.hibernate();
      await stage.hibernate();
    },
  }),
  suspendCase({
    id: "all-in-turn",
    title: "ten sleeps of changing kinds, with something drawn after each",
    sleep: "several",
    draw: drawEverything,
    act: async (stage) => {
      for (let night = 0; night < 10; night += 1) {
        if (night % 4 === 0) await stage.suspend("s2idle");
        else if (night % 4 === 1) await stage.hibernate();
        else if (night % 4 === 2) await stage.hibernateAndStay("test_resume");
        else await stage.suspend("s2idle", () => stage.host.resetDevice());
        await stage.scene.draw(stage.scene.shown(night % 2));
        await stage.check(`after sleep ${night + 1}`);
      }
    },
  }),
  suspendCase({
    id: "freed-after-death",
    title: "buffers that are freed, and made, while the host is dead",
    sleep: "death",
    draw: async (stage) => {
      await drawDesktop(stage);
      for (let count = 0; count < 4; count += 1) await stage.scene.create({ width: 16, height: 16 });
    },
    act: async (stage) => {
      await stage.host.kill();
      for (const item of stage.scene.items.slice(2, 4)) stage.scene.destroy(item);
      await stage.host.powerOn();
      await stage.recover();
      await stage.scene.create({ width: 16, height: 16 });
    },
  }),
];

/** The device that lent everything that is lent: what it lends is not there while it sleeps. */
function lendingDevice({ scene }: Stage): PowerClient {
  const lenders = scene.items.flatMap(({ lender }) => lender ?? []);
  return otherDevice({
    name: "the lender",
    freeze: async () => {
      await Promise.all(lenders.map((lender) => lender.takeBack()));
    },
    restore: () => {
      for (const lender of lenders) lender.giveAgain();
    },
  });
}

/** What output 1's monitor asks for. */
function preferred({ driver }: Stage): string {
  const [mode] = driver.output(1).connector.modes;
  return `${mode?.width}x${mode?.height}`;
}

/** The monitor of output 1 is known to ask for a size, and nothing else was told of. */
async function monitorKnown(stage: Stage, size: string, told: readonly number[]): Promise<void> {
  await stage.until(
    () => preferred(stage) === size,
    () => `output 1 prefers ${preferred(stage)} instead of ${size}`,
  );
  must(told.length === 1 && told[0] === 1, `changes were told of at outputs "${told.join(", ")}" instead of 1`);
}
