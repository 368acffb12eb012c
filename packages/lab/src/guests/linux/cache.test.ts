import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { cached, cacheFolder, keyOf } from "./cache.ts";
import { runProgram } from "./programs.ts";

const KIND = `test-${process.pid}`;
const SHELF = join(cacheFolder(), KIND);

afterEach(() => {
  rmSync(SHELF, { recursive: true, force: true });
});

async function build(text: string, work: string): Promise<string> {
  const path = join(work, "made");
  writeFileSync(path, text);
  return path;
}

describe("the cache", () => {
  it("makes an entry once", async () => {
    const first = await cached(KIND, "key", (work) => build("one", work));
    const second = await cached(KIND, "key", (work) => build("two", work));
    expect(second).toBe(first);
    expect(readFileSync(first, "utf8")).toBe("one");
  });

  it("holds nothing of what could not be made", async () => {
    const failed = cached(KIND, "key", async (work) => {
      await build("half", work);
      throw new Error("no network");
    });
    await expect(failed).rejects.toThrow("no network");
    expect(readdirSync(SHELF)).toEqual([]);
  });

  it("gives two who make the same at a time one whole entry", async () => {
    const folder = async (work: string): Promise<string> => {
      mkdirSync(join(work, "tree"));
      writeFileSync(join(work, "tree", "file"), "whole");
      return join(work, "tree");
    };
    const both = await Promise.all([cached(KIND, "tree", folder), cached(KIND, "tree", folder)]);
    expect(both[0]).toBe(both[1]);
    expect(readFileSync(join(both[0], "file"), "utf8")).toBe("whole");
    expect(readdirSync(SHELF)).toEqual(["tree"]);
  });

  it("has keys that tell where one input ends and the next begins", () => {
    expect(keyOf("ab", "c")).not.toBe(keyOf("a", "bc"));
    expect(keyOf("ab", "c")).toBe(keyOf(Buffer.from("ab"), "c"));
  });
});

describe("a program of the system", () => {
  it("that is missing is told with the command that installs it", async () => {
    const path = process.env["PATH"];
    process.env["PATH"] = "";
    try {
      await expect(runProgram("xz", [])).rejects.toMatchObject({
        code: "ENODEV",
        message: expect.stringContaining("apt-get install xz-utils"),
      });
    } finally {
      process.env["PATH"] = path;
    }
  });

  it("that fails is told with its own last words", async () => {
    const missing = join(SHELF, "none.deb");
    expect(existsSync(missing)).toBe(false);
    await expect(runProgram("dpkg-deb", ["-x", missing, SHELF])).rejects.toMatchObject({
      code: "EIO",
      message: expect.stringContaining("none.deb"),
    });
  });
});
