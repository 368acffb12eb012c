/** `virtgpu image inspect` and `verify`: what they say, and their exit codes. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { inspectImage, verifyImage } from "../src/commands/image-run.ts";
import { openImage, writeImage } from "../src/image/index.ts";
import { UsageError } from "../src/usage-error.ts";
import { contentOf, ids, MACHINE, pages } from "./support/image-content.ts";

const folder = mkdtempSync(join(tmpdir(), "virtgpu-image-"));
const path = join(folder, "machine.img");
afterAll(() => rmSync(folder, { recursive: true, force: true }));

beforeAll(async () => {
  const more = { codec: "deflate", writtenAtMs: Date.UTC(2026, 0, 2, 3, 4, 5) } as const;
  await writeImage(path, contentOf(pages(1, 0, 2, 0), { gpu0: Buffer.from("{}") }, more), { newId: ids(1) });
});

async function run(
  command: typeof inspectImage,
  file: string,
  json = false,
): Promise<{ readonly text: string; readonly code: number }> {
  let text = "";
  const code = await command(file, { json, write: (part) => void (text += part) });
  return { text, code };
}

describe("virtgpu image inspect", () => {
  it("says what an image holds", async () => {
    const { text, code } = await run(inspectImage, path);
    expect(code).toBe(0);
    expect(text).toContain("fresh: it can be restored, once");
    expect(text).toContain(`of machine ${MACHINE}, sleep 7, written 2026-01-02T03:04:05.000Z`);
    expect(text).toMatch(/gpu0\s+2 B\s+2 B\s+34 B/);
    expect(text).toMatch(/RAM\s+16\.0 KiB\s+8\.0 KiB/);
  });

  it("says it as one JSON object", async () => {
    const { text, code } = await run(inspectImage, path, true);
    expect(code).toBe(0);
    expect(JSON.parse(text)).toMatchObject({
      version: 1,
      mark: "fresh",
      identity: { machine: MACHINE, generation: 7 },
      ramBytes: 16_384,
      sections: [{ name: "gpu0", byteLength: 2 }],
    });
  });
});

describe("virtgpu image verify", () => {
  it("finds a whole image whole, used or not, and changes nothing", async () => {
    const before = readFileSync(path);
    expect(await run(verifyImage, path)).toMatchObject({
      code: 0,
      text: expect.stringContaining(
        "whole: every byte is as it was written; 2 pages and 2 of zeros; chunks: 1 raw, 1 deflate",
      ),
    });
    expect(Buffer.compare(readFileSync(path), before)).toBe(0);
    const image = await openImage(path);
    await image.consume();
    await image.close();
    const { text, code } = await run(verifyImage, path, true);
    expect(code).toBe(0);
    expect(JSON.parse(text)).toMatchObject({ verdict: "whole", mark: "used", check: { pages: 2, zeroPages: 2 } });
  });

  it("refuses a damaged one in one sentence, with exit code 1", async () => {
    const bytes = readFileSync(path);
    bytes[600] = (bytes[600] ?? 0) ^ 1;
    const damaged = join(folder, "damaged.img");
    writeFileSync(damaged, bytes);
    expect((await run(inspectImage, damaged)).code).toBe(0);
    const { text, code } = await run(verifyImage, damaged);
    expect(code).toBe(1);
    expect(text).toMatch(/^\S+damaged\.img: the image is damaged: in its RAM, .* \(EINVAL\)\n$/);
    expect(JSON.parse((await run(verifyImage, damaged, true)).text)).toMatchObject({
      verdict: "refused",
      code: "EINVAL",
    });
  });

  it("takes a file that is not there for a mistake of whoever typed it", async () => {
    const missing = join(folder, "missing.img");
    await expect(verifyImage(missing, { json: false, write: () => {} })).rejects.toThrow(UsageError);
    await expect(inspectImage(missing, { json: false, write: () => {} })).rejects.toThrow(
      "no image of this name (ENOENT)",
    );
  });
});
