/**
 * Our device against a real QEMU: random sequences of commands, answered and shown alike. `npm run differential` does the
 * same for longer.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEVICE_DIFFERENCES } from "@virtgpu/core/device";
import { KNOWN_DIFFERENCES } from "../src/oracle/known-differences.ts";
import { Judge, type Verdict } from "../src/oracle/judge.ts";
import { ModelSide } from "../src/oracle/model-side.ts";
import { type RawCommand, replyCapacity, requestBytes } from "../src/oracle/raw-commands.ts";
import { FREE_MEMORY, whole } from "../src/oracle/ring-guest.ts";
import type { Sequence } from "../src/oracle/sequence.ts";
import { type OracleSide, QemuSide } from "../src/oracle/side.ts";
import { runDifferential } from "./support/differential.ts";

const SEED = 20_260_101;
const RUNS = 200;

/** Pairs of command and answer that a run of {@link RUNS} reaches many times over. */
const REACHED = [
  ["RESOURCE_CREATE_2D", "1100 1203 1205"],
  ["RESOURCE_UNREF", "1100 1203"],
  ["SET_SCANOUT", "1100 1200 1202 1203 1205"],
  ["RESOURCE_FLUSH", "1100 1203 1205"],
  ["TRANSFER_TO_HOST_2D", "1100 1200 1203 1205"],
  ["RESOURCE_ATTACH_BACKING", "1100 1200 1203"],
  ["RESOURCE_DETACH_BACKING", "1100 1200 1203"],
  ["GET_DISPLAY_INFO", "1101"],
  ["GET_EDID", "1104 1205"],
] as const;

let qemu: QemuSide;

beforeAll(async () => {
  qemu = await QemuSide.start();
});

afterAll(async () => {
  await qemu[Symbol.asyncDispose]();
});

/** One batch of plain commands. */
function sequence(...commands: readonly RawCommand[]): Sequence {
  const requests = commands.map((command) => ({
    name: command.command,
    ...whole(requestBytes(command), replyCapacity(command)),
  }));
  return { memorySeed: 1, steps: [{ kind: "batch", queue: 0, requests }] };
}

const create: RawCommand = { command: "resource_create_2d", resource_id: 1, format: 2, width: 33, height: 20 };
const all = [0, 0, 33, 20] as const;
const picture: readonly RawCommand[] = [
  create,
  { command: "resource_attach_backing", resource_id: 1, entries: [[FREE_MEMORY, 33 * 20 * 4]] },
  { command: "transfer_to_host_2d", r: all, offset: 0, resource_id: 1 },
  { command: "set_scanout", r: all, scanout_id: 0, resource_id: 1 },
];

it(`our device answers and shows what QEMU does, in ${RUNS} random sequences of seed ${SEED}`, async () => {
  const report = await runDifferential({ qemu, other: new ModelSide(), runs: RUNS, seed: SEED });
  expect(report.failure).toBeNull();
  expect(report.sequences).toBe(RUNS);
  for (const [command, answers] of REACHED) {
    for (const answer of answers.split(" ")) {
      expect(report.coverage.has(command, answer), `${command} answered ${answer}`).toBe(true);
    }
  }
}, 240_000);

it("the differences that are accepted are rows of the device's table", () => {
  const table = DEVICE_DIFFERENCES.map(({ id }) => id);
  expect(KNOWN_DIFFERENCES.map(({ id }) => id).filter((id) => !table.includes(id))).toEqual([]);
});

describe("the judge", () => {
  it("sees a device that forgets nothing at a reset", async () => {
    const judge = new Judge(qemu, new ModelSide({ keepResourcesOverReset: true }));
    expect((await judge.judge(sequence(create))).divergence).toBeNull();
    const { divergence } = await judge.judge(sequence(create));
    expect(divergence).toMatchObject({ what: "answer", step: 0, sent: { name: "resource_create_2d" } });
  });

  it("sees a single wrong pixel", async () => {
    const model = new ModelSide();
    const stained: OracleSide = {
      guest: model.guest,
      ram: model.ram,
      picture: async (output) => {
        const shown = await model.picture(output);
        const last = (shown?.rgb.length ?? 0) - 1;
        if (shown !== null) shown.rgb[last] = 1 - (shown.rgb[last] ?? 0);
        return shown;
      },
    };
    expect((await new Judge(qemu, model).judge(sequence(...picture))).divergence).toBeNull();
    const { divergence } = await new Judge(qemu, stained).judge(sequence(...picture));
    expect(divergence).toMatchObject({ what: "picture" });
    expect(divergence?.sentence).toContain("output 0: pixel 32,19 is");
  });

  it("sees a device that changes what the guest drew", async () => {
    const model = new ModelSide();
    const vandal: OracleSide = {
      guest: model.guest,
      ram: model.ram,
      picture: async (output) => {
        model.ram.writeAt(FREE_MEMORY + 0x3ffff, Uint8Array.of(0));
        model.ram.writeAt(FREE_MEMORY + 0x3fffe, Uint8Array.of(0));
        return model.picture(output);
      },
    };
    const { divergence } = await new Judge(qemu, vandal).judge(sequence(create));
    expect(divergence?.what).toBe("memory");
  });

  it("explains a QEMU that ends over a transfer from behind its backing, and goes on with another", async () => {
    const beyond: RawCommand = {
      command: "transfer_to_host_2d",
      r: [0, 0, 16, 16],
      offset: 1 << 20,
      resource_id: 1,
    };
    const judge = new Judge(qemu, new ModelSide());
    const known = ({ divergence, known: rows }: Verdict) => ({ divergence, rows: rows.map(({ id }) => id) });
    expect(known(await judge.judge(sequence(...picture, beyond)))).toEqual({ divergence: null, rows: [] });
    judge.spareQemu = false;
    expect(known(await judge.judge(sequence(...picture, beyond)))).toEqual({
      divergence: null,
      rows: ["transfer-behind-backing"],
    });
    expect(known(await judge.judge(sequence(...picture)))).toEqual({ divergence: null, rows: [] });
  });
});
