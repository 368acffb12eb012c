import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { example, runExample } from "./support/run.ts";

describe("the examples", () => {
  it("picture shows a picture and writes it down", () => {
    runExample(example("picture"), ({ status, stdout, stderr, folder }) => {
      expect([stderr, status]).toEqual(["", 0]);
      expect(stdout).toMatch(/shown: 640x400 pixels/);
      expect(existsSync(join(folder, "report/picture.png"))).toBe(true);
    });
  });

  it("hotplug follows a resize, an unplugged monitor and a new one, and leaves nothing behind", () => {
    runExample(example("hotplug"), ({ status, stdout, stderr }) => {
      expect([stderr, status]).toEqual(["", 0]);
      expect(stdout).toMatch(/output 0: 800x600\n[^]*nobody looks\noutput 1: 512x384/);
      expect(stdout).toMatch(/shows on output 0: 800x600\n.*shows on output 1: 512x384\nresources on the host: 2\n$/);
    });
  });

  it("canvas copies what changed, no more, and shows what the device shows", () => {
    runExample(example("canvas"), ({ status, stdout, stderr }) => {
      expect([stderr, status]).toEqual(["", 0]);
      expect(stdout).toMatch(/copied 16x16 at 300,200\nthe canvas shows what the device shows\n$/);
    });
  });

  it("cold-restore shows the same picture in another process", () => {
    runExample(example("cold-restore"), ({ status, stdout, stderr }) => {
      expect([stderr, status]).toEqual(["", 0]);
      const [first, second] = [...stdout.matchAll(/process (\d+) shows (\w+)/g)];
      expect(second?.[2]).toBe(first?.[2]);
      expect(second?.[2]).not.toBe("dark");
      expect(second?.[1]).not.toBe(first?.[1]);
      expect(stdout).toMatch(/restored 1, lost 0/);
      expect(stdout).toMatch(/can be drawn to\n$/);
    });
  });
});
