import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { example, runExample } from "./support/run.ts";

it("hibernates over two processes, is vetoed first, and loses nothing", () => {
  runExample(example("hibernate"), ({ status, stdout, stderr, folder }) => {
    expect(stderr).toBe("");
    expect(stdout).toMatch(/aborted: gpu0: .*context 1.*a game/);
    expect(stdout).toMatch(/freeze FREEZE\n.*snapshot\n.*restore THAW\n[^]*write-image\n[^]*the machine is off/);
    expect(stdout).toMatch(/resumed: .*15 objects, 2 outputs, 0 lost/);
    expect(stdout).toMatch(/nothing lost: 18 of 18 the same\n$/);
    expect(stdout).not.toMatch(/LOST|dark|absent/);
    expect(status).toBe(0);
    const picture = (name: string): Buffer => readFileSync(join(folder, "report", `${name}.png`));
    for (const output of [0, 1]) expect(picture(`after-${output}`).equals(picture(`before-${output}`))).toBe(true);
  });
});
