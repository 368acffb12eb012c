import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { runExample } from "./support/run.ts";

it("the README's device and driver work when pasted", () => {
  const text = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const blocks = [...text.matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, block]) => block ?? "");
  expect(blocks).toHaveLength(2);
  for (const block of blocks) expect(block.trimEnd().split("\n").length).toBeLessThanOrEqual(13);
  const folder = mkdtempSync(join(tmpdir(), "virtgpu-readme-"));
  try {
    const program = join(folder, "readme.mts");
    writeFileSync(program, blocks.join("\n"));
    runExample(program, ({ status, stdout, stderr }) => {
      expect([stderr, status]).toEqual(["", 0]);
      expect(stdout).toMatch(/\[\s*128, 128, 128, 255\s*\]\n$/);
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
