/** What can be on the machine when it hibernates, and how it is left. */
import { Format } from "@virtgpu/core/wire";
import { type CaseParts, type SuspendCase, suspendCase } from "../suite.ts";
import { drawDesktop, drawEverything } from "./everything.ts";

function hibernated(parts: Omit<CaseParts, "sleep" | "act"> & Partial<Pick<CaseParts, "act">>): SuspendCase {
  return suspendCase({ act: (stage) => stage.hibernate(), ...parts, sleep: "s4" });
}

/** See the file's head. */
export const SCENE_CASES: readonly SuspendCase[] = [
  hibernated({
    id: "nothing",
    title: "a device on which nobody made anything",
    draw: async () => {},
  }),
  hibernated({
    id: "dark",
    title: "buffers, with no output lit",
    draw: async ({ scene }) => {
      for (const side of [16, 33, 64]) await scene.create({ width: side, height: side });
    },
  }),
  hibernated({
    id: "switched-off",
    title: "outputs that were lit and switched off, and a cursor that was hidden: they stay so",
    draw: async (stage) => {
      await drawEverything(stage);
      await stage.scene.disable(0);
      await stage.scene.disable(1);
      await stage.scene.hideCursor(0);
    },
  }),
  hibernated({
    id: "sub-rectangle",
    title: "an output that shows a part of a larger buffer",
    draw: async ({ scene }) => {
      const wide = await scene.create({ width: 160, height: 120 });
      await scene.show(0, wide, { x: 37, y: 51, width: 64, height: 48 });
    },
  }),
  hibernated({
    id: "side-by-side",
    title: "two outputs that show two parts of one buffer",
    draw: async ({ scene }) => {
      const wide = await scene.create({ width: 128, height: 48 });
      await scene.show(0, wide, { x: 0, y: 0, width: 64, height: 48 });
      await scene.show(1, wide, { x: 64, y: 0, width: 64, height: 48 });
    },
  }),
  hibernated({
    id: "mirrored",
    title: "two outputs that show the same",
    draw: async ({ scene }) => {
      const item = await scene.create({ width: 64, height: 48 });
      await scene.show(0, item);
      await scene.show(1, item);
    },
  }),
  hibernated({
    id: "cursor",
    title: "a cursor with its hot spot that goes on moving afterwards, on both outputs",
    draw: async (stage) => {
      await drawDesktop(stage);
      await stage.scene.showCursor(0, { x: 20, y: 10 });
      await stage.scene.showCursor(1, { x: 0, y: 0 });
    },
    act: async (stage) => {
      await stage.hibernate();
      await stage.check("before it moves");
      await stage.scene.moveCursor(0, 21, 11);
      await stage.scene.moveCursor(1, 31, 0);
    },
  }),
  hibernated({
    id: "formats",
    title: "a buffer of every pixel format",
    draw: async ({ scene }) => {
      for (const format of Object.values(Format)) await scene.create({ width: 17, height: 19, format });
    },
  }),
  hibernated({
    id: "detached",
    title: "a buffer whose memory was taken from the host, and given back afterwards",
    draw: async (stage) => {
      await drawDesktop(stage);
      const item = await stage.scene.create({ width: 40, height: 30 });
      await item.buffer.detach();
    },
    act: async (stage) => {
      const { items } = stage.scene;
      await stage.hibernate();
      for (const { buffer } of items) if (!buffer.isAttached) await buffer.attach();
    },
  }),
  hibernated({
    id: "blob-shown",
    title: "an output that shows a blob, and one that was detached",
    needs: ["blobs"],
    draw: async ({ scene }) => {
      await scene.show(0, await scene.create({ width: 64, height: 48, storage: "blob" }));
      const item = await scene.create({ width: 32, height: 32, storage: "blob" });
      await item.buffer.detach();
    },
  }),
  hibernated({
    id: "import-shown",
    title: "an output that shows memory which somebody else lent",
    draw: async ({ scene }) => {
      await scene.show(0, await scene.import({ width: 64, height: 48 }));
      await scene.import({ width: 20, height: 20 });
    },
  }),
  hibernated({
    id: "many",
    title: "more buffers than fit the rings at a time",
    draw: async ({ scene }) => {
      await Promise.all(Array.from({ length: 200 }, () => scene.create({ width: 16, height: 16 })));
      await scene.show(0, await scene.create({ width: 64, height: 48 }));
    },
  }),
  hibernated({
    id: "large",
    title: "a picture of more than a hundred scattered pages",
    draw: async ({ scene }) => {
      await scene.show(0, await scene.create({ width: 480, height: 320 }));
    },
  }),
  hibernated({
    id: "unflushed",
    title: "what was painted on a lit output and not flushed by its painter",
    draw: drawEverything,
    act: async (stage) => {
      stage.scene.paint(stage.scene.shown(0));
      await stage.hibernate();
    },
  }),
  suspendCase({
    id: "unflushed-s2idle",
    title: "what was painted on a lit output and not flushed by its painter, on a device that may rest",
    sleep: "s2idle",
    draw: drawEverything,
    act: async (stage) => {
      stage.later(stage.scene.draw(stage.scene.shown(0)));
      await stage.suspend("s2idle");
    },
  }),
  hibernated({
    id: "pending",
    title: "a sleep that begins while commands are on their way",
    draw: drawEverything,
    act: async (stage) => {
      const { scene } = stage;
      for (let frame = 0; frame < 20; frame += 1) stage.later(scene.draw(scene.shown(frame % 2)));
      for (let count = 0; count < 20; count += 1) stage.later(scene.createBlank({ width: 16, height: 16 }));
      stage.later(scene.moveCursor(0, 2, 3));
      await stage.hibernate();
    },
  }),
  hibernated({
    id: "freed-before",
    title: "buffers that were freed right before, one of them shown: they do not come back",
    draw: drawEverything,
    act: async (stage) => {
      const { scene } = stage;
      const [first, , third] = scene.items;
      for (const item of [first, third]) if (item !== undefined) scene.destroy(item);
      await stage.hibernate();
    },
  }),
];
