import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InvariantViolation } from "../../base/assert.ts";
import { GuestRam } from "../../memory/guest-ram.ts";
import { DescriptorFlag } from "../../wire/ring.ts";
import { Chain, type DeviceQueueState, RingViolation } from "../queue.ts";
import { type MockDescriptor, MockPackedDriver } from "../test-utils.ts";
import { type PackedDeviceQueue, createPackedDeviceQueue } from "./device-queue.ts";

const { NEXT, WRITE, INDIRECT, AVAIL, USED } = DescriptorFlag;
const SIZE = 5;
const RAM = 0x40000;
const TABLE = 0x8000;
const BUFFER = { address: 0x20000, length: 16 } as const;
const OUT = { ...BUFFER, flags: WRITE } as const;

interface SetUp {
  readonly ram: GuestRam;
  readonly driver: MockPackedDriver;
  readonly queue: PackedDeviceQueue;
}

function setUp(
  options: { indirect?: boolean; eventIndex?: boolean; state?: DeviceQueueState; size?: number } = {},
): SetUp {
  const ram = GuestRam.of(RAM);
  const driver = new MockPackedDriver(ram, { size: options.size ?? SIZE, address: 0x1000 });
  const queue = createPackedDeviceQueue({
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

/** `count` descriptors in the table at TABLE, and the descriptor that names it. */
function tableOf(
  driver: MockPackedDriver,
  count: number,
  change: (index: number) => MockDescriptor = () => ({}),
): MockDescriptor {
  for (let index = 0; index < count; index += 1) driver.table(TABLE, index, { ...BUFFER, ...change(index) });
  return { address: TABLE, length: count * 16, flags: INDIRECT };
}

describe("packed device queue", () => {
  it("takes chains as they were written, and returns them in one slot", () => {
    const { driver, queue } = setUp();
    const chain = new Chain();
    expect(queue.pop(chain)).toBe(false);
    driver.chain(700, [BUFFER, { address: 0x30000, length: 408, flags: WRITE }]);
    expect(queue.pop(chain)).toBe(true);
    expect([chain.id, chain.slots, chain.readableBytes, chain.writableBytes]).toEqual([700, 2, 16, 408]);
    expect([...chain.list.addresses.subarray(0, 2)]).toEqual([0x20000, 0x30000]);
    expect(queue.pop(chain)).toBe(false);
    queue.push(chain, 24);
    expect(driver.slot(0).flags & (AVAIL | USED)).toBe(AVAIL);
    expect(queue.flush()).toBe(true);
    expect(driver.slot(0)).toEqual({ id: 700, length: 24, flags: AVAIL | USED | WRITE });
    expect(queue.flush()).toBe(false);
    expect(queue.save()).toEqual({ availableIndex: 2, usedIndex: 2, availableWrap: true, usedWrap: true });
  });

  it("takes the buffer id from a chain's last descriptor, and says in WRITE whether it wrote", () => {
    const { driver, queue } = setUp();
    driver.chain(1, [
      { ...BUFFER, id: 77 },
      { ...BUFFER, id: 2 },
    ]);
    const chain = new Chain();
    expect(queue.pop(chain)).toBe(true);
    expect(chain.id).toBe(2);
    queue.push(chain, 0);
    queue.flush();
    expect(driver.slot(0)).toEqual({ id: 2, length: 0, flags: AVAIL | USED });
  });

  it("makes a batch visible by its first descriptor, which comes last", () => {
    const { driver, queue } = setUp();
    const chains = [new Chain(), new Chain()];
    driver.chain(1, [OUT]);
    driver.chain(2, [OUT]);
    for (const chain of chains) {
      expect(queue.pop(chain)).toBe(true);
      queue.push(chain, 8);
    }
    expect(driver.slot(0).flags & USED).toBe(0);
    expect(driver.slot(1).flags & USED).toBe(USED);
    queue.flush();
    expect(driver.slot(0).flags & USED).toBe(USED);
  });

  it("returns chains in any order, each in the next used place, round the corner with the wrap counter", () => {
    const { driver, queue } = setUp({ size: 3 });
    const [first, second] = [new Chain(), new Chain()];
    driver.chain(1, [OUT, OUT]);
    driver.chain(2, [OUT]);
    queue.pop(first);
    queue.pop(second);
    queue.push(second, 1);
    queue.push(first, 2);
    queue.flush();
    expect(driver.slot(0)).toMatchObject({ id: 2, length: 1 });
    expect(driver.slot(1)).toMatchObject({ id: 1, length: 2 });
    driver.chain(9, [OUT, OUT]);
    driver.chain(8, [OUT]);
    queue.pop(first);
    queue.pop(second);
    queue.push(first, 0);
    queue.push(second, 0);
    queue.flush();
    expect(driver.slot(0).flags & (AVAIL | USED)).toBe(0);
    expect(driver.slot(2)).toMatchObject({ id: 8, flags: 0 });
    expect(queue.save()).toMatchObject({ availableIndex: 0, availableWrap: true, usedWrap: true });
  });

  it("goes by place where the driver asks for one, with EVENT_IDX alone", () => {
    const { driver, queue } = setUp({ eventIndex: true });
    const chain = new Chain();
    driver.driverEvent(1, true, 2);
    for (const expected of [false, true, false]) {
      driver.chain(0, [OUT]);
      queue.pop(chain);
      queue.push(chain, 0);
      expect(queue.flush()).toBe(expected);
    }
    expect(queue.enableNotifications()).toBe(false);
    expect(driver.deviceEvent).toEqual({ offset: 3, wrap: true, flags: 2 });
    queue.disableNotifications();
    expect(driver.deviceEvent.flags).toBe(1);

    const plain = setUp();
    plain.driver.driverEvent(3, true, 2);
    plain.driver.chain(0, [OUT]);
    plain.queue.pop(chain);
    plain.queue.push(chain, 0);
    expect(plain.queue.flush()).toBe(true);
    plain.driver.chain(0, [OUT]);
    expect(plain.queue.enableNotifications()).toBe(true);
    expect(plain.driver.deviceEvent.flags).toBe(0);
    plain.driver.driverEvent(0, true, 1);
    plain.queue.pop(chain);
    plain.queue.push(chain, 0);
    expect(plain.queue.flush()).toBe(false);
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

  it("drops what was pushed and not flushed when it is closed", () => {
    const { driver, queue } = setUp();
    const chain = new Chain();
    driver.chain(0, [OUT]);
    queue.pop(chain);
    queue.push(chain, 16);
    queue.close();
    expect(queue.flush()).toBe(false);
    expect(driver.slot(0).flags & USED).toBe(0);
  });
});

describe("packed device queue: indirect tables", () => {
  it("may be longer than the queue, come after direct descriptors, and carry any flags but WRITE for nothing", () => {
    for (const count of [1, 65, 1024]) {
      const { driver, queue } = setUp();
      driver.chain(3, [tableOf(driver, count, () => ({ flags: NEXT | INDIRECT | AVAIL, id: 9 }))]);
      const chain = new Chain();
      expect(queue.pop(chain)).toBe(true);
      expect([chain.list.count, chain.slots, chain.id]).toEqual([count, 1, 3]);
    }
    const { driver, queue } = setUp();
    const table = tableOf(driver, 2, (index) => ({ length: 20 + index, flags: index === 0 ? 0 : WRITE }));
    driver.chain(4, [
      { ...BUFFER, length: 1 },
      { ...table, flags: INDIRECT | WRITE },
    ]);
    const chain = new Chain();
    expect(queue.pop(chain)).toBe(true);
    expect(lengths(chain)).toEqual([1, 20, 21]);
    expect([chain.slots, chain.list.readable, chain.id]).toEqual([2, 2, 4]);
  });
});

describe("packed device queue against a hostile driver", () => {
  const abuse: readonly (readonly [string, (driver: MockPackedDriver) => void])[] = [
    ["a zero-length descriptor", (driver) => driver.chain(0, [{ ...BUFFER, length: 0 }])],
    [
      "a chain without end, once around the ring",
      (driver) =>
        driver.chain(
          0,
          Array.from({ length: SIZE }, () => ({ ...BUFFER, flags: NEXT })),
        ),
    ],
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
      "an indirect table where addresses wrap",
      (driver) => driver.chain(0, [{ ...tableOf(driver, 2), address: 2n ** 64n - 16n }]),
    ],
    ["an indirect descriptor that goes on", (driver) => driver.chain(0, [tableOf(driver, 1), BUFFER])],
    ["an empty buffer in a table", (driver) => driver.chain(0, [tableOf(driver, 2, (index) => ({ length: index }))])],
    ["1025 buffers in all", (driver) => driver.chain(0, [BUFFER, tableOf(driver, 1024)])],
    [
      "more than 2^32 bytes",
      (driver) =>
        driver.chain(0, [
          { ...BUFFER, length: 2 ** 32 - 1 },
          { ...OUT, length: 2 },
        ]),
    ],
  ];

  it.each(abuse)("calls %s a violation, and stays broken without looking further", (_name, write) => {
    const { driver, queue } = setUp();
    write(driver);
    const chain = new Chain();
    expect(() => queue.pop(chain)).toThrow(RingViolation);
    driver.chain(0, [BUFFER]);
    expect(() => queue.pop(chain)).toThrow(RingViolation);
    expect(queue.enableNotifications()).toBe(false);
    expect(driver.slot(0).flags & (AVAIL | USED)).not.toBe(AVAIL | USED);
    queue.close();
    expect(queue.pop(chain)).toBe(false);
  });

  it("calls indirect descriptors a violation where they were not negotiated", () => {
    const { driver, queue } = setUp({ indirect: false });
    driver.chain(0, [tableOf(driver, 1)]);
    expect(() => queue.pop(new Chain())).toThrow(RingViolation);
  });

  it("calls a chain into slots of chains in flight a violation", () => {
    const { driver, queue } = setUp();
    const chain = new Chain();
    driver.chain(0, [BUFFER, BUFFER, BUFFER]);
    expect(queue.pop(chain)).toBe(true);
    driver.chain(1, [BUFFER, BUFFER, BUFFER]);
    expect(() => queue.pop(new Chain())).toThrow(RingViolation);
  });

  it("calls more requests in flight than the queue has entries a violation", () => {
    const { driver, queue } = setUp();
    const chain = new Chain();
    for (let count = 0; count < SIZE; count += 1) driver.chain(0, [BUFFER]);
    for (let count = 0; count < SIZE; count += 1) expect(queue.pop(chain)).toBe(true);
    driver.chain(0, [BUFFER]);
    expect(() => queue.pop(chain)).toThrow(RingViolation);
  });

  it("refuses sizes and addresses that can't be", () => {
    const ram = GuestRam.of(RAM);
    const good = { size: 7, descriptors: 0x1000, driver: 0x2004, device: 0x3000 };
    const make = (change: object): PackedDeviceQueue => {
      const addresses = { ...good, ...change };
      return createPackedDeviceQueue({ memory: ram, addresses, indirect: true, eventIndex: true });
    };
    expect(make({}).size).toBe(7);
    expect(make({ descriptors: RAM - 112 }).size).toBe(7);
    const bad = [
      { size: 0 },
      { size: 32_769 },
      { size: Number.NaN },
      { size: -8 },
      { size: 1.5 },
      { descriptors: 0x1008 },
      { driver: 0x2002 },
      { device: 0x3001 },
      { descriptors: RAM - 96 },
      { driver: RAM },
      { device: RAM },
      { descriptors: 2 ** 63 },
      { descriptors: -16 },
      { device: Number.NaN },
    ];
    for (const change of bad) expect(() => make(change), JSON.stringify(change)).toThrow(RingViolation);
  });

  it("goes on from a saved state, and refuses one that can't be", () => {
    const bad: readonly (readonly [number, number, unknown, unknown])[] = [
      [SIZE, 0, true, true],
      [0, SIZE, true, true],
      [-1, 0, true, true],
      [0.5, 0, true, true],
      [Number.NaN, 0, true, true],
      [0, 1, true, true],
      [1, 0, false, true],
      [0, 0, 1, true],
      [0, 0, true, undefined],
    ];
    for (const [availableIndex, usedIndex, availableWrap, usedWrap] of bad) {
      const state = { availableIndex, usedIndex, availableWrap, usedWrap } as DeviceQueueState;
      expect(() => setUp({ state }), JSON.stringify(state)).toThrow(RingViolation);
    }
    const state = { availableIndex: 1, usedIndex: 4, availableWrap: false, usedWrap: true };
    const { queue } = setUp({ state });
    expect(queue.save()).toEqual(state);
    const chain = new Chain();
    chain.slots = 2;
    queue.push(chain, 0);
    queue.flush();
    expect(queue.save()).toEqual({ ...state, usedIndex: 1, usedWrap: false });
    expect(() => queue.push(chain, 0)).toThrow(InvariantViolation);
  });

  it("ends every random ring with chains within bounds or a violation, never another error", () => {
    const descriptor = fc.record({
      address: fc.constantFrom(0x1000, 0x1010, TABLE, 0x20000, RAM - 16, 2 ** 40),
      length: fc.constantFrom(0, 1, 16, 32, 48, 4096, 2 ** 32 - 1),
      flags: fc.nat(15).chain((low) => fc.constantFrom(0, AVAIL, USED, AVAIL | USED).map((bits) => low | bits)),
      id: fc.nat(0xffff),
    });
    const descriptors = fc.array(descriptor, { minLength: SIZE + 3, maxLength: SIZE + 3 });
    fc.assert(
      fc.property(descriptors, fc.boolean(), (fields, returns) => {
        const { driver, queue } = setUp();
        for (const [index, one] of fields.entries()) {
          if (index < SIZE) driver.descriptor(index, one);
          else driver.table(TABLE, index - SIZE, one);
        }
        const chain = new Chain();
        let popped = 0;
        try {
          while (queue.pop(chain)) {
            popped += 1;
            expect(popped).toBeLessThan(1000);
            expect(chain.list.count).toBeLessThanOrEqual(1024);
            expect(chain.readableBytes + chain.writableBytes).toBeLessThanOrEqual(2 ** 32);
            expect(lengths(chain).every((length) => length > 0)).toBe(true);
            if (!returns) continue;
            queue.push(chain, 0);
            queue.flush();
          }
        } catch (error) {
          expect(error).toBeInstanceOf(RingViolation);
        }
      }),
      { numRuns: 300 },
    );
  });
});
