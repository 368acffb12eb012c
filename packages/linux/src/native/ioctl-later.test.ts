import { closeSync, openSync, writeSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { loadSys } from "./sys.ts";

const FIONREAD = 0x541b;

describe("an ioctl in another thread", () => {
  it("writes its answer into the argument, and the caller's thread goes on meanwhile", async () => {
    const sys = loadSys();
    const file = sys.memfdCreate("virtgpu-test", 0);
    writeSync(file, "twelve bytes");
    const fd = openSync(`/proc/self/fd/${file}`, "r");
    const bytes = new Int32Array(1);
    let goesOn = false;
    const done = sys.ioctlLater(fd, FIONREAD, new Uint8Array(bytes.buffer));
    setImmediate(() => {
      goesOn = true;
    });
    await done;
    await new Promise((resolve) => setImmediate(resolve));
    closeSync(fd);
    closeSync(file);
    expect([bytes[0], goesOn]).toEqual([12, true]);
  });

  it("rejects with the errno's name", async () => {
    const fd = openSync("/dev/null", "r");
    await expect(loadSys().ioctlLater(fd, 0x1234, null)).rejects.toMatchObject({ code: "ENOTTY" });
    closeSync(fd);
  });
});
