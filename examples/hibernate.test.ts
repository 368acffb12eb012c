import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

it("hibernates over two processes, is vetoed first, and loses nothing", () => {
  const folder = mkdtempSync(join(tmpdir(), "virtgpu-example-"));
  try {
    const tsx = fileURLToPath(new URL("../node_modules/tsx/dist/loader.mjs", import.meta.url));
    const example = fileURLToPath(new URL("hibernate.ts", import.meta.url));
    const run = spawnSync(process.execPath, ["--import", tsx, example], { cwd: folder, encoding: "utf8" });
    expect(run.stderr).toBe("");
    expect(run.stdout).toMatch(/vetoed: gpu0: .*context 1.*a game/);
    expect(run.stdout).toMatch(/nothing lost: \d+ of \d+ the same\n$/);
    expect(run.status).toBe(0);
    const picture = (name: string): Buffer => readFileSync(join(folder, "report", `${name}.png`));
    for (const output of [0, 1]) expect(picture(`after-${output}`).equals(picture(`before-${output}`))).toBe(true);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
