/**
 * The golden file against the QEMU that is installed: whether it still says what a real device answers.
 */
import { existsSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { QemuHost } from "../src/hosts/qemu/qemu-host.ts";
import type { Divergence } from "../src/oracle/judge.ts";
import { explain } from "../src/oracle/known-differences.ts";
import { ModelSide } from "../src/oracle/model-side.ts";
import { type GuestAnswer, whole } from "../src/oracle/ring-guest.ts";
import { GOLDEN_OUTPUTS } from "./support/golden-plan.ts";
import {
  captureGolden,
  type GoldenExchange,
  type GoldenFile,
  goldenPath,
  goldenText,
  playGolden,
  readGolden,
} from "./support/golden.ts";

/** VERSION_1 and EDID. */
const FEATURES = (1n << 32n) | 2n;

/** Where our device differs on purpose, by the row of the table. */
const DIFFERENT: Readonly<Record<string, string>> = {
  "EDID of output 0": "edid",
  "EDID of output 1": "edid",
  "create that is cut short": "short-request",
};

/** Two exchanges as a difference that the table may know. */
function divergenceOf(theirs: GoldenExchange, ours: GoldenExchange): Divergence {
  const answer = ({ reply, used, capacity }: GoldenExchange): GuestAnswer => {
    const bytes = new Uint8Array(capacity);
    bytes.set(Buffer.from(reply, "hex"));
    return { used, order: 0, reply: bytes };
  };
  const request = Uint8Array.from(Buffer.from(ours.request, "hex"));
  return {
    what: "answer",
    step: 0,
    queue: ours.queue === "cursor" ? 1 : 0,
    sent: { name: ours.name, ...whole(request, ours.capacity) },
    qemu: answer(theirs),
    other: answer(ours),
    sentence: "",
  };
}

/** What no version of QEMU may change: all but the display's description. */
function lasting({ plain, fenced }: GoldenFile): readonly object[] {
  const isEdid = ({ fields, reply }: GoldenExchange): boolean =>
    fields.command === "get_edid" && reply.startsWith("0411");
  return [...plain, ...fenced].map((one) => (isEdid(one) ? { ...one, reply: one.reply.slice(0, 48) } : one));
}

it("the installed QEMU answers every golden request as it is written down", async () => {
  await using host = await QemuHost.start({ ramBytes: 32 << 20, devices: [{ outputs: GOLDEN_OUTPUTS }] });
  const golden = await captureGolden(host);
  const path = goldenPath(golden.qemu);
  const again = "npx tsx packages/lab/scripts/capture-golden.ts writes it anew";
  if (existsSync(path)) {
    const { qemu } = readGolden(path);
    expect(goldenText({ ...golden, qemu }), again).toBe(readFileSync(path, "utf8"));
  } else {
    expect(lasting(golden), `QEMU ${golden.qemu} is new here; ${again}`).toEqual(
      lasting(readGolden(goldenPath("7.2"))),
    );
  }
});

it("our device, driven by the same guest, answers every golden request as it is written down", () => {
  const golden = readGolden(goldenPath("7.2"));
  const { guest } = new ModelSide();
  for (const [fenced, expected] of [
    [false, golden.plain],
    [true, golden.fenced],
  ] as const) {
    guest.reset(FEATURES);
    const answered = playGolden((queue, request, capacity) => {
      const [answer] = guest.submit(queue, [whole(request, capacity)], true);
      return answer?.reply.subarray(0, answer.used ?? 0) ?? new Uint8Array(0);
    }, fenced);
    for (const [index, ours] of answered.entries()) {
      const theirs = expected[index];
      if (theirs === undefined) throw new Error(`the golden file ends before ${ours.name}`);
      const row = explain(divergenceOf(theirs, ours));
      if (row === null) expect(ours).toEqual(theirs);
      else expect(DIFFERENT[theirs.name], theirs.name).toBe(row.id);
    }
  }
});
