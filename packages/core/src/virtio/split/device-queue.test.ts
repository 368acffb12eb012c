import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InvariantViolation } from "../../base/assert.ts";
import { GuestRam } from "../../memory/guest-ram.ts";
import { DescriptorFlag } from "../../wire/ring.ts";
import { Chain, type DeviceQueueState, RingViolation } from "../queue.ts";
import { type MockDescriptor, MockSplitDriver } from "../test-utils.ts";
import { type SplitDeviceQueue, createSplitDeviceQueue } from "./device-queue.ts";

const { NEXT, WRITE, INDIRECT } = DescriptorFlag;
const SIZE = 8;
const RAM = 0x40000;
const TABLE = 0x8000;
const BUFFER = { address: 0x20000, length: 16 } as const;
const OUT = { ...BUFFER, flags: WRITE } as const;

interface SetUp {
  readonly ram: GuestRam;
  readonly driver: MockSplitDriver;
  readonly queue: SplitDeviceQueue;
}

function setUp(
  options: { indirect?: boolean; eventIndex?: boolean; state?: DeviceQueueState; address?: number } = {},
): SetUp {
  const ram = GuestRam.of(RAM);
  const driver = new MockSplitDriver(ram, { size: SIZE, address: options.address ?? 0x1000 });
  const queue = createSplitDeviceQueue({
    memory: ram,
    addresses: driver.addresses,
    indirect: options.indirect ?? true,
    eventIndex: options.eventIndex ?? false,
    state: options.state,
  });
  return { ram, driver, queue };
}

function lengths(chain: Chain): number[] {
  return [...chain.list.lengths.subarray(0, chain.list.count)];
}

/** `count` linked descriptors in the table at TABLE, and the descriptor that names it. */
function tableOf(
  driver: MockSplitDriver,
  count: number,
  change: (index: number) => MockDescriptor = () => ({}),
): MockDescriptor {
  for (let index = 0; index < count; index += 1) {
    const last = index + 1 === count;
    driver.table(TABLE, index, {
      ...BUFFER,
      flags: last ? 0 : NEXT,
      next: last ? 0 : index + 1,
      ...change(index),
    });
  }
  return { address: TABLE, length: count * 16, flags: INDIRECT };
}

describe("split device queue", () => {
  it("takes chains as they were written, and returns them", () => {
    const { driver, queue } = setUp();
    const chain = new Chain();
    expect(queue.pop(chain)).toBe(false);
    driver.chain(2, [BUFFER, { address: 0x30000, length: 408, flags: WRITE }]);
    expect(queue.pop(chain)).toBe(true);
    expect([chain.id, chain.slots, chain.readableBytes, chain.writableBytes]).toEqual([2, 2, 16, 408]);
    expect([...chain.list.addresses.subarray(0, 2)]).toEqual([0x20000, 0x30000]);
    expect(queue.pop(chain)).toBe(false);
    queue.push(chain, 24);
    expect(driver.usedIndex).toBe(0);
    expect(queue.flush()).toBe(true);
    expect(driver.usedIndex).toBe(1);
    expect(driver.used(0)).toEqual({ id: 2, length: 24 });
    expect(queue.flush()).toBe(false);
  });

  it("follows descriptors in any order of the table", () => {
    const { driver, queue } = setUp();
    driver.descriptor(7, { ...BUFFER, length: 1, flags: NEXT, next: 0 });
    driver.descriptor(0, { ...BUFFER, length: 2, flags: NEXT, next: 5 });
    driver.descriptor(5, { ...OUT, length: 3 });
    driver.available(7);
    const chain = new Chain();
    expect(queue.pop(chain)).toBe(true);
    expect(lengths(chain)).toEqual([1, 2, 3]);
    expect(chain.list.readable).toBe(2);
  });

  it("lies at any address that the specification allows: available ring on 2 bytes", () => {
    const ram = GuestRam.of(RAM);
    const addresses = { size: 2, descriptors: 0x1010, driver: 0x2002, device: 0x3004 };
    const queue = createSplitDeviceQueue({ memory: ram, addresses, indirect: false, eventIndex: true });
    ram.write(0x1020, Uint8Array.of(0, 0, 2, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0));
    ram.write(0x2002, Uint8Array.of(0, 0, 1, 0, 1, 0, 0, 0, 0, 0));
    const chain = new Chain();
    expect(queue.pop(chain)).toBe(true);
    expect([chain.id, chain.list.addresses[0], chain.readableBytes]).toEqual([1, 0x20000, 16]);
    queue.push(chain, 0);
    expect(queue.flush()).toBe(true);
  });

  it("leaves a buffer outside guest memory to whoever accesses it: not fatal to the queue", () => {
    const { ram, driver, queue } = setUp();
    driver.chain(0, [{ address: 0xffff_ffff_ffff_fff0n, length: 16 }]);
    const chain = new Chain();
    expect(queue.pop(chain)).toBe(true);
    expect(ram.contains(chain.list.addresses[0] ?? 0, 16)).toBe(false);
  });

  it("goes by event index or by flags, never by both", () => {
    const flags = setUp();
    flags.queue.disableNotifications();
    expect(flags.driver.usedFlags).toBe(1);
    expect(flags.queue.enableNotifications()).toBe(false);
    expect(flags.driver.usedFlags).toBe(0);
    flags.driver.availableFlags(1);
    const chain = new Chain();
    flags.driver.chain(0, [OUT]);
    expect(flags.queue.enableNotifications()).toBe(true);
    flags.queue.pop(chain);
    flags.queue.push(chain, 0);
    expect(flags.queue.flush()).toBe(false);

    const events = setUp({ eventIndex: true });
    events.queue.disableNotifications();
    expect(events.driver.usedFlags).toBe(0);
    events.driver.availableFlags(1);
    events.driver.usedEvent(1);
    for (const expected of [false, true, false]) {
      events.driver.chain(0, [OUT]);
      events.queue.pop(chain);
      events.queue.push(chain, 0);
      expect(events.queue.flush()).toBe(expected);
    }
    expect(events.queue.enableNotifications()).toBe(false);
    expect(events.driver.availableEvent).toBe(3);
  });

  it("returns a chain once, and claims no more bytes than it took", () => {
    const { driver, queue } = setUp();
    const chain = new Chain();
    driver.chain(0, [OUT]);
    queue.pop(chain);
    expect(() => queue.push(chain, 17)).toThrow(InvariantViolation);
    queue.push(chain, 16);
    expect(() => queue.push(chain, 16)).toThrow(InvariantViolation);
  });
});

describe("split device queue: indirect tables", () => {
  it("may be longer than the queue, and lie anywhere", () => {
    for (const count of [1, 65, 1005, 1024]) {
      const { driver, queue } = setUp();
      driver.chain(0, [tableOf(driver, count)]);
      const chain = new Chain();
      expect(queue.pop(chain)).toBe(true);
      expect([chain.list.count, chain.slots]).toEqual([count, 1]);
    }
    const { driver, queue } = setUp();
    driver.table(TABLE + 3, 0, { ...BUFFER, length: 5 });
    driver.chain(0, [{ address: TABLE + 3, length: 16, flags: INDIRECT }]);
    const chain = new Chain();
    expect(queue.pop(chain)).toBe(true);
    expect(lengths(chain)).toEqual([5]);
  });

  it("may come last after direct descriptors, its own WRITE and NEXT ignored", () => {
    const { driver, queue } = setUp();
    tableOf(driver, 2, (index) => ({ length: 20 + index, flags: index === 0 ? NEXT : WRITE }));
    const named = { address: TABLE, length: 32, flags: INDIRECT | WRITE | NEXT, next: 7 };
    driver.chain(0, [{ ...BUFFER, length: 1 }, { ...BUFFER, length: 2 }, named]);
    const chain = new Chain();
    expect(queue.pop(chain)).toBe(true);
    expect(lengths(chain)).toEqual([1, 2, 20, 21]);
    expect([chain.slots, chain.list.readable]).toEqual([3, 3]);
  });
});

describe("split device queue against a hostile driver", () => {
  const abuse: readonly (readonly [string, (driver: MockSplitDriver) => void])[] = [
    ["a zero-length descriptor", (driver) => driver.chain(0, [{ ...BUFFER, length: 0 }])],
    ["a loop of one", (driver) => driver.chain(0, [{ ...BUFFER, flags: NEXT, next: 0 }])],
    ["a loop of two", (driver) => driver.chain(0, [BUFFER, { ...BUFFER, flags: NEXT, next: 0 }])],
    ["next beyond the queue", (driver) => driver.chain(0, [{ ...BUFFER, flags: NEXT, next: SIZE }])],
    ["a head beyond the queue", (driver) => driver.available(SIZE)],
    ["a head of 65535", (driver) => driver.available(0xffff)],
    ["readable after writable", (driver) => driver.chain(0, [OUT, BUFFER])],
    ["readable after writable, across into a table", (driver) => driver.chain(0, [OUT, tableOf(driver, 1)])],
    ["an indirect table of no bytes", (driver) => driver.chain(0, [{ ...tableOf(driver, 1), length: 0 }])],
    ["an indirect table of 17 bytes", (driver) => driver.chain(0, [{ ...tableOf(driver, 2), length: 17 }])],
    ["an indirect table too long", (driver) => driver.chain(0, [tableOf(driver, 1025)])],
    [
      "an indirect table of 2^32 - 16 bytes",
      (driver) => driver.chain(0, [{ ...tableOf(driver, 1), length: 2 ** 32 - 16 }]),
    ],
    ["an indirect table outside memory", (driver) => driver.chain(0, [{ ...tableOf(driver, 1), address: RAM }])],
    [
      "an indirect table half outside memory",
      (driver) => driver.chain(0, [{ ...tableOf(driver, 2), address: RAM - 16 }]),
    ],
    [
      "an indirect table where addresses wrap",
      (driver) => driver.chain(0, [{ ...tableOf(driver, 2), address: 2n ** 64n - 16n }]),
    ],
    ["a loop in a table", (driver) => driver.chain(0, [tableOf(driver, 2, () => ({ flags: NEXT, next: 0 }))])],
    [
      "next beyond a table",
      (driver) => driver.chain(0, [tableOf(driver, 2, (index) => ({ next: index + 2, flags: NEXT }))]),
    ],
    [
      "a table in a table",
      (driver) => driver.chain(0, [tableOf(driver, 2, (index) => (index === 1 ? { flags: INDIRECT } : {}))]),
    ],
    ["1025 buffers in all", (driver) => driver.chain(0, [BUFFER, tableOf(driver, 1024)])],
    [
      "more than 2^32 bytes",
      (driver) =>
        driver.chain(0, [
          { ...BUFFER, length: 2 ** 32 - 1 },
          { ...OUT, length: 2 },
        ]),
    ],
    ["an available index that jumps", (driver) => driver.availableIndex(SIZE + 1)],
    ["an available index that goes back", (driver) => driver.availableIndex(0xffff)],
  ];

  it.each(abuse)("calls %s a violation, and stays broken", (_name, write) => {
    const { driver, queue } = setUp();
    write(driver);
    const chain = new Chain();
    expect(() => queue.pop(chain)).toThrow(RingViolation);
    driver.chain(0, [BUFFER]);
    expect(() => queue.pop(chain)).toThrow(RingViolation);
    expect(queue.enableNotifications()).toBe(false);
    expect(driver.usedIndex).toBe(0);
  });

  it("calls indirect descriptors a violation where they were not negotiated", () => {
    const { driver, queue } = setUp({ indirect: false });
    driver.chain(0, [tableOf(driver, 1)]);
    expect(() => queue.pop(new Chain())).toThrow(RingViolation);
  });

  it("calls more requests in flight than the queue has entries a violation", () => {
    const { driver, queue } = setUp();
    for (let count = 0; count < SIZE; count += 1) driver.chain(0, [BUFFER]);
    const chain = new Chain();
    for (let count = 0; count < SIZE; count += 1) expect(queue.pop(chain)).toBe(true);
    driver.chain(0, [BUFFER]);
    expect(() => queue.pop(chain)).toThrow(RingViolation);
  });

  it("accepts 2^32 bytes exactly", () => {
    const { driver, queue } = setUp();
    driver.chain(0, [
      { ...BUFFER, length: 2 ** 32 - 1 },
      { ...OUT, length: 1 },
    ]);
    const chain = new Chain();
    expect(queue.pop(chain)).toBe(true);
    expect([chain.readableBytes, chain.writableBytes]).toEqual([2 ** 32 - 1, 1]);
  });

  it("refuses sizes and addresses that can't be", () => {
    const ram = GuestRam.of(RAM);
    const good = { size: 8, descriptors: 0x1000, driver: 0x2000, device: 0x3000 };
    const make = (change: object): SplitDeviceQueue => {
      return createSplitDeviceQueue({
        memory: ram,
        addresses: { ...good, ...change },
        indirect: true,
        eventIndex: true,
      });
    };
    expect(make({}).size).toBe(8);
    expect(make({ descriptors: RAM - 128 }).size).toBe(8);
    const bad = [
      { size: 0 },
      { size: 48 },
      { size: 65_536 },
      { size: Number.NaN },
      { size: -8 },
      { descriptors: 0x1008 },
      { driver: 0x2001 },
      { device: 0x3002 },
      { descriptors: RAM - 112 },
      { driver: RAM - 20 },
      { device: RAM - 64 },
      { descriptors: 2 ** 63 },
      { descriptors: -16 },
      { device: Number.NaN },
    ];
    for (const change of bad) expect(() => make(change), JSON.stringify(change)).toThrow(RingViolation);
  });

  it("goes on from a saved state, and refuses one that can't be", () => {
    const wraps = { availableWrap: true, usedWrap: true };
    const { driver, queue } = setUp({ state: { availableIndex: 0, usedIndex: 0xfffe, ...wraps } });
    driver.chain(0, [OUT]);
    const chain = new Chain();
    expect(queue.pop(chain)).toBe(true);
    expect(queue.save()).toEqual({ availableIndex: 1, usedIndex: 0xfffe, ...wraps });
    for (let count = 0; count < 3; count += 1) queue.push(chain, 0);
    queue.flush();
    expect(driver.usedIndex).toBe(1);
    const bad = [
      [0x10000, 0],
      [0, 0x10000],
      [-1, 0],
      [0, -1],
      [0.5, 0],
      [Number.NaN, 0],
      [SIZE + 1, 0],
      [0, 1],
    ] as const;
    for (const [availableIndex, usedIndex] of bad) {
      expect(() => setUp({ state: { availableIndex, usedIndex, ...wraps } })).toThrow(RingViolation);
    }
  });

  it("ends every random ring with chains within bounds or a violation, never another error", () => {
    const descriptor = fc.record({
      address: fc.constantFrom(0x1000, 0x1010, TABLE, 0x20000, RAM - 16, 2 ** 40),
      length: fc.constantFrom(0, 1, 16, 32, 48, 4096, 2 ** 32 - 1),
      flags: fc.nat(15),
      next: fc.nat(SIZE),
    });
    const heads = fc.array(fc.nat(SIZE), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(fc.array(descriptor, { minLength: 16, maxLength: 16 }), heads, (descriptors, available) => {
        const { driver, queue } = setUp();
        for (const [index, fields] of descriptors.entries()) {
          if (index < SIZE) driver.descriptor(index, fields);
          else driver.table(TABLE, index - SIZE, fields);
        }
        for (const head of available) driver.available(head);
        const chain = new Chain();
        try {
          while (queue.pop(chain)) {
            expect(chain.list.count).toBeLessThanOrEqual(1024);
            expect(chain.readableBytes + chain.writableBytes).toBeLessThanOrEqual(2 ** 32);
            expect(lengths(chain).every((length) => length > 0)).toBe(true);
            queue.push(chain, 0);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(RingViolation);
        }
      }),
      { numRuns: 500 },
    );
  });
});
