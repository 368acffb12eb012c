/**
 * The golden file against the QEMU that is installed: whether it still says what a real device answers.
 */
import { existsSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { QemuHost } from "../src/hosts/qemu/qemu-host.ts";
import { GOLDEN_OUTPUTS } from "./support/golden-plan.ts";
import {
  captureGolden,
  type GoldenExchange,
  type GoldenFile,
  goldenPath,
  goldenText,
  readGolden,
} from "./support/golden.ts";

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
