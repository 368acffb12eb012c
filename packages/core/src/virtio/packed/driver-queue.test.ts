import { describe, expect, it } from "vitest";
import { InvariantViolation } from "../../base/assert.ts";
import { GuestRam } from "../../memory/guest-ram.ts";
import { DescriptorList } from "../queue.ts";
import { type PackedDriverQueue, createPackedDriverQueue } from "./driver-queue.ts";
import { packedLayout } from "./layout.ts";

const AT = 0x1000;
const SIZE = 3;
const AVAIL = 0x80;
const USED = 0x8000;

interface SetUp {
  readonly queue: PackedDriverQueue;
  readonly ram: GuestRam;
  /** Writes slot `slot` as used in the first lap (or as `flags` say), as a device may that means ill. */
  readonly use: (slot: number, id: number, byteLength: number, flags?: number) => void;
  readonly descriptor: (address: number) => { address: bigint; length: number; id: number; flags: number };
}

function setUp(options: { indirectEntries?: number; eventIndex?: boolean } = {}): SetUp {
  const ram = GuestRam.of(0x4000);
  ram.view(0, 0x4000).fill(0xff);
  const shape = { size: SIZE, indirectEntries: options.indirectEntries ?? 0 };
  const memory = ram.ringMemory(AT, packedLayout(shape).byteLength);
  const queue = createPackedDriverQueue({ ...shape, eventIndex: options.eventIndex ?? false, memory, address: AT });
  const view = (address: number): DataView => {
    const bytes = ram.view(address, 64);
    return new DataView(bytes.buffer, bytes.byteOffset, 64);
  };
  const use: SetUp["use"] = (slot, id, byteLength, flags = AVAIL | USED | 2) => {
    view(AT + slot * 16).setUint32(8, byteLength, true);
    view(AT + slot * 16).setUint16(12, id, true);
    view(AT + slot * 16).setUint16(14, flags, true);
  };
  const descriptor: SetUp["descriptor"] = (address) => {
    const at = view(address);
    return {
      address: at.getBigUint64(0, true),
      length: at.getUint32(8, true),
      id: at.getUint16(12, true),
      flags: at.getUint16(14, true),
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

describe("packed driver queue", () => {
  it("writes descriptors as VIRTIO 1.2 section 2.8.13 has them, the wrap counter inverted in the next lap", () => {
    const { queue, use, descriptor } = setUp();
    expect(queue.add(listOf([24], [408]))).toBe(0);
    expect(descriptor(AT)).toEqual({ address: 0x12_3456_0000n, length: 24, id: 0, flags: AVAIL | 1 });
    expect(descriptor(AT + 16)).toEqual({ address: 0x12_3456_1000n, length: 408, id: 0, flags: AVAIL | 2 });
    expect(queue.add(listOf([1], [1]))).toBe(-1);
    use(0, 0, 408);
    expect(queue.pop()).toBe(true);
    expect(queue.used).toEqual({ id: 0, byteLength: 408 });
    expect(queue.add(listOf([7], [9]))).toBe(0);
    expect(descriptor(AT + 32)).toMatchObject({ length: 7, id: 0, flags: AVAIL | 1 });
    expect(descriptor(AT)).toMatchObject({ length: 9, id: 0, flags: USED | 2 });
  });

  it("puts a chain into one slot with an indirect table, whose entries follow each other (2.8.7)", () => {
    const { queue, descriptor } = setUp({ indirectEntries: 3 });
    const { indirect } = packedLayout({ size: SIZE, indirectEntries: 3 });
    for (let count = 0; count < SIZE; count += 1) expect(queue.add(listOf([24, 16], [24]))).toBe(count);
    expect(queue.add(listOf([24], []))).toBe(-1);
    for (let id = 0; id < SIZE; id += 1) {
      const table = AT + indirect + id * 48;
      expect(descriptor(AT + id * 16)).toEqual({ address: BigInt(table), length: 48, id, flags: AVAIL | 4 });
      expect(descriptor(table)).toEqual({ address: 0x12_3456_0000n, length: 24, id: 0, flags: 0 });
      expect(descriptor(table + 16)).toEqual({ address: 0x12_3456_1000n, length: 16, id: 0, flags: 0 });
      expect(descriptor(table + 32)).toEqual({ address: 0x12_3456_2000n, length: 24, id: 0, flags: 2 });
    }
  });

  it("falls back to direct descriptors for a list too long for the table, if they fit", () => {
    const { queue } = setUp({ indirectEntries: 2 });
    expect(queue.add(listOf([1, 1, 1, 1], []))).toBe(-1);
    expect(queue.add(listOf([1, 1, 1], []))).toBe(0);
    expect(queue.add(listOf([1], []))).toBe(-1);
  });

  it("tells the notification value: queue, ring offset, and the wrap counter on top (2.9)", () => {
    const { queue, use } = setUp();
    expect(queue.notificationData(1)).toBe(0x8000_0001);
    queue.add(listOf([1], []));
    expect(queue.notificationData(1)).toBe(0x8001_0001);
    queue.add(listOf([1, 1], []));
    expect(queue.notificationData(1)).toBe(0x0000_0001);
    use(0, 0, 0);
    queue.pop();
    queue.add(listOf([1], []));
    expect(queue.notificationData(0)).toBe(0x0001_0000);
  });

  it("asks for interrupts at the next used place with EVENT_IDX, at all of them without", () => {
    for (const eventIndex of [false, true]) {
      const { queue, ram, use } = setUp({ eventIndex });
      const event = (): number[] => [...ram.view(queue.addresses.driver, 4)];
      queue.add(listOf([], [8]));
      use(0, 0, 8);
      expect(queue.enableInterrupts()).toBe(true);
      expect(queue.pop()).toBe(true);
      expect(queue.enableInterrupts()).toBe(false);
      expect(event()).toEqual(eventIndex ? [1, 0x80, 2, 0] : [0, 0, 0, 0]);
      queue.disableInterrupts();
      expect(event()[2]).toBe(1);
    }
  });

  it("calls empty lists, empty buffers and more than 2^32 bytes bugs", () => {
    const { queue } = setUp();
    expect(() => queue.add(listOf([], []))).toThrow(InvariantViolation);
    expect(() => queue.add(listOf([0], []))).toThrow(InvariantViolation);
    expect(() => queue.add(listOf([2 ** 32 - 1], [2]))).toThrow(InvariantViolation);
    expect(queue.add(listOf([2 ** 32 - 1], [1]))).toBe(0);
  });

  it("does not read back what the device may have changed: descriptors, and who is free", () => {
    const { queue, ram, use } = setUp();
    expect(queue.add(listOf([8], [8]))).toBe(0);
    ram.view(AT, SIZE * 16).fill(0xee);
    use(0, 0, 8);
    expect(queue.pop()).toBe(true);
    expect(queue.used).toEqual({ id: 0, byteLength: 8 });
    expect(queue.outstanding).toBe(0);
    expect(queue.add(listOf([8, 8], [8]))).toBe(0);
  });

  it("takes a length without the flag WRITE for no more than the buffer has: QEMU never sets it", () => {
    const { queue, use } = setUp();
    queue.add(listOf([], [8]));
    use(0, 0, 4, AVAIL | USED);
    expect(queue.pop()).toBe(true);
    expect(queue.used.byteLength).toBe(4);
    queue.add(listOf([100], []));
    use(1, 0, 100, AVAIL | USED);
    expect(queue.pop()).toBe(true);
    expect(queue.used.byteLength).toBe(0);
    expect(queue.broken).toBeNull();
  });
});

describe("packed driver queue against a hostile device", () => {
  const lies: readonly (readonly [string, number, number])[] = [
    ["an id beyond the queue", SIZE, 0],
    ["an id far beyond", 0xffff, 0],
    ["an id that is not outstanding", 1, 0],
    ["more bytes than the writable part takes", 0, 9],
    ["2^32 - 1 bytes", 0, 0xffffffff],
  ];
  it.each(lies)("breaks at %s, throws nothing, and stays broken", (_name, id, byteLength) => {
    const { queue, use } = setUp();
    expect(queue.add(listOf([8], [8]))).toBe(0);
    use(0, id, byteLength);
    expect(queue.pop()).toBe(false);
    expect(queue.broken).toMatch(/^the device/);
    const reason = queue.broken;
    use(0, 0, 0);
    expect(queue.pop()).toBe(false);
    expect(queue.add(listOf([8], []))).toBe(-1);
    expect(queue.shouldNotify()).toBe(false);
    expect(queue.enableInterrupts()).toBe(false);
    queue.disableInterrupts();
    expect(queue.broken).toBe(reason);
  });

  it("breaks at an id returned twice, and at used descriptors that nobody waits for", () => {
    const { queue, use } = setUp();
    queue.add(listOf([], [8]));
    queue.add(listOf([], [8]));
    use(0, 0, 8);
    use(1, 0, 8);
    expect(queue.pop()).toBe(true);
    expect(queue.pop()).toBe(false);
    expect(queue.broken).toMatch("buffer 0");

    const idle = setUp();
    idle.use(0, 0, 0);
    expect(idle.queue.enableInterrupts()).toBe(true);
    expect(idle.queue.pop()).toBe(false);
    expect(idle.queue.enableInterrupts()).toBe(false);
  });

  it("does not take stale or half-written flags for a used descriptor", () => {
    const { queue, use } = setUp();
    queue.add(listOf([], [8]));
    for (const flags of [0, AVAIL, USED, 0x7f7f]) {
      use(0, 0, 8, flags);
      expect(queue.pop()).toBe(false);
    }
    expect(queue.broken).toBeNull();
    use(0, 0, 8);
    expect(queue.pop()).toBe(true);
    expect(queue.pop()).toBe(false);
  });

  it("takes any event suppression the device writes: it can only lose its own notifications", () => {
    for (const [word, flag, expected] of [
      [0xffff, 2, false],
      [0x7fff, 2, false],
      [0x8000, 2, true],
      [0, 1, false],
      [0, 3, true],
    ] as const) {
      const { queue, ram } = setUp({ eventIndex: true });
      ram.write(queue.addresses.device, Uint8Array.of(word & 0xff, word >> 8, flag, 0));
      queue.add(listOf([8], []));
      expect(queue.shouldNotify()).toBe(expected);
    }
  });
});
