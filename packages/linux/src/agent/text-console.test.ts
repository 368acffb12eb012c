import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { TextConsole } from "./text-console.ts";

let folder = "";
let calls: (readonly unknown[])[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "virtgpu-console-"));
  calls = [];
  for (const name of ["tty1", "vcs1", "vcsa1"]) writeFileSync(join(folder, name), "");
  mkdirSync(join(folder, "class/vtconsole/vtcon1"), { recursive: true });
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function open(): TextConsole {
  const sys = {
    ioctlNumber: (_fd: number, ...words: number[]): number => calls.push(["now", ...words]),
    ioctlLater: async (_fd: number, ...words: unknown[]): Promise<number> => calls.push(["later", ...words]),
  };
  return new TextConsole(sys, { dev: folder, sysfs: folder });
}

it("a console's lines are read without the blanks of its screen", () => {
  writeFileSync(join(folder, "vcsa1"), Uint8Array.of(4, 10, 0, 0));
  writeFileSync(join(folder, "vcs1"), `${"  first".padEnd(10)}${"".padEnd(10)}${"0123456789"}${"".padEnd(10)}`);
  expect(open().read()).toEqual(["  first", "", "0123456789"]);
  writeFileSync(join(folder, "vcs1"), " ".repeat(40));
  expect(open().read()).toEqual([]);
});

it("what is written takes the place of all that was there, without a cursor", () => {
  open().write(["one", "two"]);
  const text = readFileSync(join(folder, "tty1"), "latin1");
  expect(text).toBe("\u001bc\u001b[?25l\u001b[31mone\r\n\u001b[32mtwo\r\n\u001b[0m");
});

it("a console is left at once, and entered in a thread, as a driver may never answer", async () => {
  const console = open();
  console.leave();
  await console.enter();
  expect(calls).toEqual([
    ["now", 0x4b3a, 1],
    ["later", 0x4b3a, null],
  ]);
});

it("a console is shown where a framebuffer has it", async () => {
  const write = (name: string, bind: string): void => {
    writeFileSync(join(folder, "class/vtconsole/vtcon1/name"), `(M) ${name}\n`);
    writeFileSync(join(folder, "class/vtconsole/vtcon1/bind"), `${bind}\n`);
  };
  write("frame buffer device", "1");
  expect(await open().isShown()).toBe(true);
  write("dummy device", "1");
  expect(await open().isShown(0)).toBe(false);
});
