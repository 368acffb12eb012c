import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { assignBars } from "./bars.ts";
import { ConfigFile } from "./config-file.ts";
import { RegisterWindow } from "./register-window.ts";

describe("registers", () => {
  it("are reached in a file at their place, in little endian, and not once it is closed", () => {
    const folder = mkdtempSync(join(tmpdir(), "virtgpu-config-"));
    try {
      const path = join(folder, "config");
      writeFileSync(path, new Uint8Array(64).fill(0xee));
      const config = new ConfigFile(openSync(path, "r+"), "gpu", 16);
      config.write32(4, 0xdeadbeef);
      config.write16(8, 0x1234);
      config.write8(10, 0x56);
      expect([config.read32(4), config.read16(8), config.read8(10)]).toEqual([0xdeadbeef, 0x1234, 0x56]);
      expect([...readFileSync(path).subarray(19, 28)]).toEqual([0xee, 0xef, 0xbe, 0xad, 0xde, 0x34, 0x12, 0x56, 0xee]);
      expect(() => config.read32(46)).toThrow(/2 of 4 bytes at 0x2e were read/);
      config.close();
      config.close();
      expect(() => config.read8(0)).toThrow(expect.objectContaining({ code: "ENODEV" }));
      const readOnly = new ConfigFile(openSync(path, "r"), "gpu");
      expect(() => readOnly.write8(0, 1)).toThrow(/EBADF.*\(ENODEV\)/);
      readOnly.close();
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("are reached in mapped memory, and not outside it or once it is given back", () => {
    const bytes = new Uint8Array(new ArrayBuffer(64), 16, 32);
    const window = new RegisterWindow(bytes, "gpu");
    window.write32(0, 0xdeadbeef);
    window.write16(4, 0x1234);
    window.write8(6, 0x56);
    expect([...bytes.subarray(0, 8)]).toEqual([0xef, 0xbe, 0xad, 0xde, 0x34, 0x12, 0x56, 0]);
    expect([window.read32(0), window.read16(4), window.read8(6)]).toEqual([0xdeadbeef, 0x1234, 0x56]);
    for (const access of [() => window.read32(32), () => window.read8(32), () => window.write16(32, 1)]) {
      expect(access).toThrow(expect.objectContaining({ code: "ENODEV" }));
    }
    window.close();
    expect(() => window.read8(0)).toThrow(expect.objectContaining({ code: "ENODEV" }));
    expect(() => window.write32(0, 1)).toThrow(expect.objectContaining({ code: "ENODEV" }));
    expect(bytes[0]).toBe(0xef);
  });

  it("of BARs are written where a sleep forgot them, and only there", () => {
    const folder = mkdtempSync(join(tmpdir(), "virtgpu-bars-"));
    try {
      const path = join(folder, "config");
      const space = new Uint32Array(16);
      // BAR 0 ports and kept; BAR 1 forgotten; BAR 4 wide, its upper half forgotten.
      space.set([0xc001, 0, 0, 0, 0xfe00000c, 0], 4);
      writeFileSync(path, new Uint8Array(space.buffer));
      const fd = openSync(path, "r+");
      assignBars(new ConfigFile(fd, "gpu"), [
        { index: 0, address: 0xc000n, byteLength: 64, kind: "ports" },
        { index: 1, address: 0xfebd1000n, byteLength: 4096, kind: "memory" },
        { index: 4, address: 0x7_fe00_0000n, byteLength: 16384, kind: "memory" },
      ]);
      closeSync(fd);
      const after = new Uint32Array(new Uint8Array(readFileSync(path)).buffer);
      expect([...after.subarray(4, 10)]).toEqual([0xc001, 0xfebd1000, 0, 0, 0xfe00000c, 7]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
