import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { findBundler } from "./agent-bundle.ts";

let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "virtgpu-bundle-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

it("two modules that share a third become two files that stand alone, and know where they are", async () => {
  writeFileSync(join(folder, "shared.mjs"), "export const where = import.meta.url;\n");
  const entries = ["one", "two"].map((name) => {
    const path = join(folder, `${name}.mjs`);
    writeFileSync(path, `import { where } from "./shared.mjs";\nexport const told = where;\n`);
    return path;
  });
  const bundler = await findBundler();
  const files = (await bundler?.bundle(entries)) ?? new Map<string, Uint8Array>();
  expect([...files.keys()]).toEqual(["one.js", "two.js"]);
  for (const [name, bytes] of files) {
    const path = join(folder, name.replace(".js", ".out.mjs"));
    writeFileSync(path, bytes);
    expect(await import(path)).toMatchObject({ told: new URL(`file://${path}`).href });
  }
});
