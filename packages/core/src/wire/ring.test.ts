/** Ring sizes against the formulas of VIRTIO 1.2 section 2.7.2, and the numbers that depend on one another. */
import { describe, expect, it } from "vitest";
import { BYTES_PER_PIXEL, Format, FORMATS } from "./gpu.ts";
import { commandName, replyName } from "./names.ts";
import {
  availableEventOffset,
  availableRingBytes,
  packedRingBytes,
  splitDescriptorBytes,
  usedEventOffset,
  usedRingBytes,
} from "./ring.ts";
import { featureBit, VirtioFeature } from "./virtio.ts";

describe("ring layouts", () => {
  it.each([1, 64, 256, 32768])("have the specification's sizes for %i descriptors", (size) => {
    expect(splitDescriptorBytes(size)).toBe(16 * size);
    expect(availableRingBytes(size)).toBe(6 + 2 * size);
    expect(usedRingBytes(size)).toBe(6 + 8 * size);
    expect(packedRingBytes(size)).toBe(16 * size);
  });

  it("end with the event indexes", () => {
    expect(usedEventOffset(64) + 2).toBe(availableRingBytes(64));
    expect(availableEventOffset(64) + 2).toBe(usedRingBytes(64));
  });
});

describe("names", () => {
  it("are the specification's, and numbers where there are none", () => {
    expect(commandName(0x104)).toBe("RESOURCE_FLUSH");
    expect(commandName(0x14)).toBe("command 0x14");
    expect(replyName(0x1203)).toBe("ERR_INVALID_RESOURCE_ID");
    expect(replyName(0)).toBe("reply 0x0");
  });
});

describe("formats", () => {
  /** Bytes 10 20 30 40 as QEMU shows them, in RGB. */
  const measured: readonly (readonly [number, readonly number[]])[] = [
    [1, [0x30, 0x20, 0x10]],
    [2, [0x30, 0x20, 0x10]],
    [3, [0x20, 0x30, 0x40]],
    [4, [0x20, 0x30, 0x40]],
    [67, [0x10, 0x20, 0x30]],
    [134, [0x10, 0x20, 0x30]],
    [68, [0x40, 0x30, 0x20]],
    [121, [0x40, 0x30, 0x20]],
  ];

  it.each(measured)("%i puts its channels where QEMU finds them", (format, rgb) => {
    const pixel = [0x10, 0x20, 0x30, 0x40];
    const channels = FORMATS.get(format);
    expect([channels?.red, channels?.green, channels?.blue].map((at) => pixel[at ?? -1])).toEqual(rgb);
  });

  it("are all in the table, under names that say the same", () => {
    expect([...FORMATS.keys()]).toEqual(Object.values(Format));
    for (const [format, channels] of FORMATS) {
      expect(Format[channels.name]).toBe(format);
      expect(channels.bytesPerPixel).toBe(BYTES_PER_PIXEL);
      const letters = channels.name.replaceAll("8", "");
      expect([letters.indexOf("R"), letters.indexOf("G"), letters.indexOf("B"), letters.indexOf("A")]).toEqual([
        channels.red,
        channels.green,
        channels.blue,
        channels.alpha,
      ]);
    }
  });
});

describe("feature bits", () => {
  it("make masks beyond 32 bits", () => {
    expect(featureBit(VirtioFeature.SUSPEND)).toBe(0x800_0000_0000n);
    expect(featureBit(VirtioFeature.VERSION_1)).toBe(0x1_0000_0000n);
  });
});
