import { describe, expect, it } from "vitest";
import { InvariantViolation } from "../../base/assert.ts";
import { GuestRam } from "../../memory/guest-ram.ts";
import { DescriptorList } from "../queue.ts";
import { createSplitDriverQueue, type SplitDriverQueue } from "./driver-queue.ts";
import { splitLayout } from "./layout.ts";

const AT = 0x1000;
const SIZE = 4;

interface SetUp {
  readonly queue: SplitDriverQueue;
  readonly ram: GuestRam;
  /** Writes used element `slot` and the used index, as a device may that means ill. */
  readonly use: (slot: number, id: number, byteLength: number, index: number) => void;
  readonly descriptor: (address: number) => { address: bigint; length: number; flags: number; next: number };
}

function setUp(options: { indirectEntries?: number; eventIndex?: boolean } = {}): SetUp {
  const ram = GuestRam.of(0x4000);
  ram.view(0, 0x4000).fill(0xff);
  const shape = { size: SIZE, indirectEntries: options.indirectEntries ?? 0 };
  const memory = ram.ringMemory(AT, splitLayout(shape).byteLength);
  const queue = createSplitDriverQueue({ ...shape, eventIndex: options.eventIndex ?? false, memory, address: AT });
  const view = (address: number): DataView => {
    const bytes = ram.view(address, 64);
    return new DataView(bytes.buffer, bytes.byteOffset, 64);
  };
  const use = (slot: number, id: number, byteLength: number, index: number): void => {
    view(queue.addresses.device + 4 + slot * 8).setUint32(0, id, true);
    view(queue.addresses.device + 4 + slot * 8).setUint32(4, byteLength, true);
    view(queue.addresses.device).setUint16(2, index, true);
  };
  const descriptor = (address: number): ReturnType<SetUp["descriptor"]> => {
    const at = view(address);
    return {
      address: at.getBigUint64(0, true),
      length: at.getUint32(8, true),
      flags: at.getUint16(12, true),
      next: at.getUint16(14, true),
    };
  };
  return { queue, ram, use, descriptor };
}

function listOf(readable: readonly number[], writable: readonly number[]): DescriptorList {
  const list = new DescriptorList();
  for (const length of readable) list.pushReadable(0x12_3456_0000 + list.count * 0x1000, length);
  for (const length of writable) list.pushWritable(0x12_3456_0000 + list.count * 0x1000, length);
  return list;
}

describe("split driver queue", () => {
  it("writes the descriptors and the available ring of VIRTIO 1.2 sections 2.7.5 and 2.7.6", () => {
    const { queue, ram, descriptor } = setUp();
    expect(queue.add(listOf([24], [408]))).toBe(0);
    expect(descriptor(AT)).toEqual({ address: 0x12_3456_0000n, length: 24, flags: 1, next: 1 });
    expect(descriptor(AT + 16)).toEqual({ address: 0x12_3456_1000n, length: 408, flags: 2, next: 0 });
    expect(queue.add(listOf([8], []))).toBe(2);
    expect([...ram.view(queue.addresses.driver, 14)]).toEqual([0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
  });

  it("puts a chain into one slot with an indirect table (2.7.5.3)", () => {
    const { queue, descriptor } = setUp({ indirectEntries: 3 });
    const { indirect } = splitLayout({ size: SIZE, indirectEntries: 3 });
    for (let count = 0; count < SIZE; count += 1) expect(queue.add(listOf([24, 16], [24]))).toBe(count);
    expect(queue.add(listOf([24], []))).toBe(-1);
    for (let head = 0; head < SIZE; head += 1) {
      const table = AT + indirect + head * 48;
      expect(descriptor(AT + head * 16)).toEqual({ address: BigInt(table), length: 48, flags: 4, next: 0 });
      expect(descriptor(table)).toEqual({ address: 0x12_3456_0000n, length: 24, flags: 1, next: 1 });
      expect(descriptor(table + 16)).toEqual({ address: 0x12_3456_1000n, length: 16, flags: 1, next: 2 });
      expect(descriptor(table + 32)).toEqual({ address: 0x12_3456_2000n, length: 24, flags: 2, next: 0 });
    }
  });

  it("falls back to direct descriptors for a list too long for the table, if they fit", () => {
    const { queue, use } = setUp({ indirectEntries: 2 });
    expect(queue.add(listOf([1, 1, 1, 1, 1], []))).toBe(-1);
    expect(queue.add(listOf([1, 1], []))).toBe(0);
    expect(queue.add(listOf([1, 1, 1, 1], []))).toBe(-1);
    expect(queue.add(listOf([1, 1, 1], []))).toBe(1);
    use(0, 1, 0, 1);
    expect(queue.pop()).toBe(true);
    for (let count = 0; count < 3; count += 1) expect(queue.add(listOf([1, 1], []))).toBeGreaterThan(0);
    expect(queue.add(listOf([1], []))).toBe(-1);
  });

  it("tells the notification value: queue, and the available index above (2.9)", () => {
    const { queue } = setUp();
    queue.add(listOf([1], []));
    queue.add(listOf([1], []));
    expect(queue.notificationData(1)).toBe(0x0002_0001);
  });

  it("calls empty lists, empty buffers and more than 2^32 bytes bugs", () => {
    const { queue } = setUp();
    expect(() => queue.add(listOf([], []))).toThrow(InvariantViolation);
    expect(() => queue.add(listOf([0], []))).toThrow(InvariantViolation);
    expect(() => queue.add(listOf([2 ** 32 - 1], [2]))).toThrow(InvariantViolation);
    expect(queue.add(listOf([2 ** 32 - 1], [1]))).toBe(0);
  });

  it("waits for a device that has not got so far, and takes spurious looks", () => {
    const { queue } = setUp();
    expect(queue.pop()).toBe(false);
    queue.add(listOf([1], [8]));
    expect(queue.pop()).toBe(false);
    expect(queue.broken).toBeNull();
  });

  it("does not read back what the device may have changed: descriptors, and who is free", () => {
    const { queue, ram, use } = setUp();
    expect(queue.add(listOf([8], [8]))).toBe(0);
    ram.view(AT, SIZE * 16).fill(0xee);
    ram.view(queue.addresses.driver, 6 + 2 * SIZE).fill(0xee);
    use(0, 0, 8, 1);
    expect(queue.pop()).toBe(true);
    expect(queue.used).toEqual({ id: 0, byteLength: 8 });
    expect(queue.add(listOf([8, 8], [8, 8]))).toBe(0);
    expect(queue.outstanding).toBe(1);
  });
});

describe("split driver queue against a hostile device", () => {
  const lies: readonly (readonly [string, number, number, number])[] = [
    ["an id beyond the queue", SIZE, 0, 1],
    ["an id far beyond", 0xffffffff, 0, 1],
    ["an id that is not outstanding", 3, 0, 1],
    ["the id of a chain's second descriptor", 1, 0, 1],
    ["more bytes than the writable part takes", 0, 9, 1],
    ["2^32 - 1 bytes", 0, 0xffffffff, 1],
    ["a used index that jumps", 0, 0, 2],
    ["a used index that goes back", 0, 0, 0xffff],
  ];
  it.each(lies)("breaks at %s, throws nothing, and stays broken", (_name, id, byteLength, index) => {
    const { queue, use } = setUp();
    expect(queue.add(listOf([8], [8]))).toBe(0);
    use(0, id, byteLength, index);
    expect(queue.pop()).toBe(false);
    expect(queue.broken).toMatch(/^the device/);
    const reason = queue.broken;
    use(0, 0, 0, 1);
    expect(queue.pop()).toBe(false);
    expect(queue.add(listOf([8], []))).toBe(-1);
    expect(queue.shouldNotify()).toBe(false);
    expect(queue.enableInterrupts()).toBe(false);
    queue.disableInterrupts();
    expect(queue.broken).toBe(reason);
  });

  it("breaks at an id returned twice", () => {
    const { queue, use } = setUp();
    queue.add(listOf([8], [8]));
    queue.add(listOf([8], [8]));
    use(0, 0, 8, 0);
    use(1, 0, 8, 2);
    expect(queue.pop()).toBe(true);
    expect(queue.pop()).toBe(false);
    expect(queue.broken).toMatch("buffer 0");
  });

  it("takes the writable bytes as the bound, all of them and none more", () => {
    const { queue, use } = setUp({ indirectEntries: 4 });
    queue.add(listOf([100], [8, 16]));
    use(0, 0, 24, 1);
    expect(queue.pop()).toBe(true);
    queue.add(listOf([100], [8, 16]));
    use(1, 0, 25, 2);
    expect(queue.pop()).toBe(false);
  });
});
