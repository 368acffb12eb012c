import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { GpuSleep } from "./gpu-sleep.ts";
import { hibernate } from "./hibernate.ts";

let root = "";
let events: string[] = [];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "virtgpu-power-"));
  mkdirSync(join(root, "sys/power"), { recursive: true });
  writeFileSync(join(root, "sys/power/state"), "freeze mem disk\n");
  writeFileSync(join(root, "sys/power/disk"), "");
  events = [];
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function sleepOfOne(): GpuSleep {
  const power = {
    name: "gpu",
    notify: async (): Promise<void> => {},
    freeze: async (): Promise<void> => void events.push(`freeze, ${read("state")}`),
    restore: () => {
      events.push(`restore, ${read("state")}`);
      return { picture: Promise.resolve(), complete: Promise.resolve({ restored: 0, lost: [], outputs: 0 }) };
    },
    shutdown: async (): Promise<void> => {},
  };
  return new GpuSleep([{ gpu: { power } }]);
}

function read(name: string): string {
  try {
    return readFileSync(join(root, "sys/power", name), "utf8").trim();
  } catch {
    return "unreadable";
  }
}

describe("hibernation by the own hand", () => {
  it("puts the GPUs down before, and brings them back after", async () => {
    const { error, waking } = await hibernate(sleepOfOne(), "platform", root);
    expect(error).toBeNull();
    await waking.complete;
    expect(read("disk")).toBe("platform");
    expect(events).toEqual(["freeze, freeze mem disk", "restore, disk"]);
  });

  it("brings them back too where the kernel refuses", async () => {
    rmSync(join(root, "sys/power/disk"));
    mkdirSync(join(root, "sys/power/disk"));
    const { error, waking } = await hibernate(sleepOfOne(), "platform", root);
    expect(error).toBe("EISDIR");
    await waking.complete;
    expect(events).toEqual(["freeze, freeze mem disk", "restore, freeze mem disk"]);
  });

  it("leaves the GPUs alone where the kernel can't hibernate", async () => {
    writeFileSync(join(root, "sys/power/state"), "freeze mem\n");
    await expect(hibernate(sleepOfOne(), null, root)).rejects.toThrow(expect.objectContaining({ code: "ENOTSUP" }));
    expect(events).toEqual([]);
  });
});
