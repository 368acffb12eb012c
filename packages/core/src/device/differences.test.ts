/**
 * The table of differences in the documentation is the one in the code, and each row has its tests.
 */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { replyName } from "../wire/names.ts";
import { DEVICE_DIFFERENCES, type DifferentAnswer } from "./differences.ts";

function words(answer: DifferentAnswer): string {
  switch (answer.kind) {
    case "reply":
      return `\`${replyName(answer.type)}\``;
    case "silence":
      return "no answer, ever";
    case "effect":
      return answer.what;
  }
}

describe("the differences from QEMU", () => {
  it("are the same in the documentation as in the code", () => {
    const text = readFileSync(new URL("../../../../docs/device-differences.md", import.meta.url), "utf8");
    const table = text.split("| --- | --- | --- | --- | --- | --- |\n")[1]?.split("\n\n")[0];
    const rows = DEVICE_DIFFERENCES.map(({ id, command, condition, qemu, ours, why }) =>
      ["", id, command, condition, words(qemu), words(ours), why, ""].join(" | ").trim(),
    );
    expect(table?.split("\n")).toEqual(rows);
  });

  it("have names of their own, and a test each that carries it", () => {
    const folder = new URL("./", import.meta.url);
    const tests = readdirSync(folder)
      .filter((name) => name.endsWith(".test.ts"))
      .map((name) => readFileSync(new URL(name, folder), "utf8"))
      .join("\n");
    const names = DEVICE_DIFFERENCES.map(({ id }) => id);
    expect(new Set(names).size).toBe(names.length);
    const untested = names.filter((id) => !new RegExp(`it\\([^\\n]*\\b${id}\\b`).test(tests));
    expect(untested).toEqual([]);
  });
});
