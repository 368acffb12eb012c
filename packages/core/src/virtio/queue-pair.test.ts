import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FileGuestMemory } from "../memory/file-memory.ts";
import type { GuestMemory, RingMemory } from "../memory/guest-memory.ts";
import { GuestRam } from "../memory/guest-ram.ts";
import type { PositionedFile } from "../memory/ring-memory.ts";
import { createPackedDeviceQueue, createPackedDriverQueue, packedLayout } from "./packed/index.ts";
import { Chain, DescriptorList, type DeviceQueue, type DeviceQueueState, type DriverQueue } from "./queue.ts";
import {
  type DeviceQueueOptions,
  type DriverQueueOptions,
  createSplitDeviceQueue,
  createSplitDriverQueue,
  splitLayout,
} from "./split/index.ts";

const RINGS_AT = 0x40;

interface Layout {
  readonly name: string;
  readonly sizes: readonly number[];
  /** Chains after which all its indices have gone round. */
  readonly chains: number;
  byteLength(options: { readonly size: number; readonly indirectEntries: number }): number;
  driver(options: DriverQueueOptions): DriverQueue;
  device(options: DeviceQueueOptions): DeviceQueue;
}

const layouts: readonly Layout[] = [
  {
    name: "split",
    sizes: [1, 2, 4, 8, 16, 64],
    chains: 70_000,
    byteLength: (options) => splitLayout(options).byteLength,
    driver: createSplitDriverQueue,
    device: createSplitDeviceQueue,
  },
  {
    name: "packed",
    sizes: [1, 2, 3, 7, 8, 48],
    chains: 10_000,
    byteLength: (options) => packedLayout(options).byteLength,
    driver: createPackedDriverQueue,
    device: createPackedDeviceQueue,
  },
];

/** How each side sees the same memory. */
const views = ["both mapped", "driver behind a file", "device behind a file"] as const;

interface Shape {
  readonly size: number;
  readonly indirectEntries: number;
  readonly eventIndex: boolean;
}

interface Pair {
  readonly driver: DriverQueue;
  readonly device: DeviceQueue;
  /** The device's end anew, from a saved state. */
  revive(state: DeviceQueueState): DeviceQueue;
}

function pairOf(
  layout: Layout,
  view: (typeof views)[number],
  shape: Shape,
  wrap: (ring: RingMemory) => RingMemory = (ring) => ring,
): Pair {
  // Just the rings: nobody looks at the buffers.
  const ramBytes = RINGS_AT + layout.byteLength(shape);
  const ram = GuestRam.of(ramBytes);
  const bytes = ram.view(0, ramBytes);
  const file: PositionedFile = {
    readAt: (position, target) => target.set(bytes.subarray(position, position + target.length)),
    writeAt: (position, source) => bytes.set(source, position),
  };
  const behind = new FileGuestMemory(file, [{ address: 0, byteLength: ramBytes, fileOffset: 0 }]);
  const seenBy = (side: "driver" | "device"): GuestMemory => (view === `${side} behind a file` ? behind : ram);
  const memory = wrap(seenBy("driver").ringMemory(RINGS_AT, layout.byteLength(shape)));
  const driver = layout.driver({ ...shape, memory, address: RINGS_AT });
  const options = {
    memory: seenBy("device"),
    addresses: driver.addresses,
    indirect: shape.indirectEntries > 0,
    eventIndex: shape.eventIndex,
  };
  const revive = (state: DeviceQueueState): DeviceQueue => layout.device({ ...options, state });
  return { driver, device: layout.device(options), revive };
}

type Buffers = readonly (readonly [address: number, length: number, writable: boolean])[];

function fill(list: DescriptorList, buffers: Buffers): void {
  list.clear();
  for (const [address, length] of buffers.filter(([, , writable]) => !writable)) list.pushReadable(address, length);
  for (const [address, length] of buffers.filter(([, , writable]) => writable)) list.pushWritable(address, length);
}

function seen(chain: Chain): Buffers {
  const { list } = chain;
  return Array.from({ length: list.count }, (_, index) => {
    return [list.addresses[index] ?? 0, list.lengths[index] ?? 0, index >= list.readable] as const;
  });
}

const sum = (buffers: Buffers, writable: boolean): number => {
  return buffers.reduce((bytes, [, length, writes]) => bytes + (writes === writable ? length : 0), 0);
};

const buffersOf = (max: number): fc.Arbitrary<Buffers> => {
  const address = fc.oneof(fc.nat(), fc.maxSafeNat());
  const buffer = fc.tuple(address, fc.integer({ min: 1, max: 100_000 }), fc.boolean());
  return fc
    .array(buffer, { minLength: 1, maxLength: max })
    .map((buffers) => [
      ...buffers.filter(([, , writable]) => !writable),
      ...buffers.filter(([, , writable]) => writable),
    ]);
};

const shapeOf = (layout: Layout): fc.Arbitrary<Shape> => {
  return fc.record({
    size: fc.constantFrom(...layout.sizes),
    indirectEntries: fc.constantFrom(0, 2, 4),
    eventIndex: fc.boolean(),
  });
};

type Step =
  | { readonly what: "add"; readonly buffers: Buffers }
  | { readonly what: "kick" | "take" | "flush" | "pop" | "save" }
  | { readonly what: "return"; readonly pick: number; readonly portion: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: buffersOf(6).map((buffers) => ({ what: "add" as const, buffers })) },
  {
    weight: 3,
    arbitrary: fc.record({
      what: fc.constant("return" as const),
      pick: fc.nat(),
      portion: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.constantFrom("kick", "take", "take", "flush", "pop", "pop", "save").map((what) => ({ what })),
  },
);

/** A model of a queue, beside a real one: every chain is where it should be, with its contents. */
class Model {
  readonly waiting: { id: number; buffers: Buffers }[] = [];
  readonly taken: { chain: Chain; buffers: Buffers }[] = [];
  readonly returned: { id: number; byteLength: number }[] = [];
  readonly flushed: { id: number; byteLength: number }[] = [];
  readonly list: DescriptorList = new DescriptorList();
  readonly pair: Pair;
  device: DeviceQueue;
  readonly shape: Shape;
  freeSlots: number;
  readonly slotsOf: Map<number, number> = new Map();

  constructor(pair: Pair, shape: Shape) {
    this.pair = pair;
    this.device = pair.device;
    this.shape = shape;
    this.freeSlots = shape.size;
  }

  run(step: Step): void {
    switch (step.what) {
      case "add":
        return this.add(step.buffers);
      case "kick":
        this.pair.driver.shouldNotify();
        return;
      case "take":
        return this.take();
      case "return":
        return this.giveBack(step.pick, step.portion);
      case "flush":
        this.device.flush();
        this.flushed.push(...this.returned.splice(0));
        return;
      case "pop":
        return this.pop();
      case "save":
        if (this.returned.length === 0) this.device = this.pair.revive(this.device.save());
        return;
    }
  }

  add(buffers: Buffers): void {
    fill(this.list, buffers);
    const id = this.pair.driver.add(this.list);
    const slots = buffers.length > 1 && buffers.length <= this.shape.indirectEntries ? 1 : buffers.length;
    expect(id >= 0).toBe(slots <= this.freeSlots);
    if (id < 0) return;
    expect(id).toBeLessThan(this.shape.size);
    expect(this.slotsOf.has(id)).toBe(false);
    this.slotsOf.set(id, slots);
    this.freeSlots -= slots;
    this.waiting.push({ id, buffers });
  }

  take(): void {
    const chain = new Chain();
    const next = this.waiting[0];
    expect(this.device.pop(chain)).toBe(next !== undefined);
    if (next === undefined) return;
    this.waiting.shift();
    expect(seen(chain)).toEqual(next.buffers);
    expect(chain.id).toBe(next.id);
    expect(chain.readableBytes).toBe(sum(next.buffers, false));
    expect(chain.writableBytes).toBe(sum(next.buffers, true));
    this.taken.push({ chain, buffers: next.buffers });
  }

  giveBack(pick: number, portion: number): void {
    const [one] = this.taken.splice(pick % Math.max(1, this.taken.length), 1);
    if (one === undefined) return;
    const byteLength = Math.floor(one.chain.writableBytes * portion);
    this.device.push(one.chain, byteLength);
    this.returned.push({ id: one.chain.id, byteLength });
  }

  pop(): void {
    const { driver } = this.pair;
    const expected = this.flushed.shift();
    expect(driver.pop()).toBe(expected !== undefined);
    expect(driver.broken).toBeNull();
    if (expected === undefined) return;
    expect(driver.used).toEqual(expected);
    this.freeSlots += this.slotsOf.get(expected.id) ?? 0;
    this.slotsOf.delete(expected.id);
    expect(driver.outstanding).toBe(this.slotsOf.size);
  }
}

/** Two workers that sleep unless told: driver and device each look only after a notification or an interrupt. */
class Sleepers {
  readonly #driver: DriverQueue;
  readonly #device: DeviceQueue;
  readonly #list: DescriptorList = new DescriptorList();
  readonly #chain: Chain = new Chain();
  deviceAwake = false;
  driverAwake = false;
  notifications = 0;
  interrupts = 0;
  #deviceArmed = false;
  #driverArmed = false;

  constructor(pair: Pair) {
    this.#driver = pair.driver;
    this.#device = pair.device;
  }

  get outstanding(): number {
    return this.#driver.outstanding;
  }

  submit(): boolean {
    this.#list.clear();
    this.#list.pushReadable(0x8000, 24);
    this.#list.pushWritable(0x9000, 24);
    return this.#driver.add(this.#list) >= 0;
  }

  kick(): void {
    if (!this.#driver.shouldNotify()) return;
    this.notifications += 1;
    this.deviceAwake = true;
  }

  /** One move of the device's worker. */
  deviceStep(): void {
    if (!this.deviceAwake) return;
    if (!this.#deviceArmed) this.#device.disableNotifications();
    this.#deviceArmed = true;
    if (this.#device.pop(this.#chain)) {
      this.#device.push(this.#chain, 24);
      if (!this.#device.flush()) return;
      this.interrupts += 1;
      this.driverAwake = true;
    } else if (!this.#device.enableNotifications()) {
      this.deviceAwake = false;
      this.#deviceArmed = false;
    }
  }

  /** One move of the driver's completion worker. */
  driverStep(): void {
    if (!this.driverAwake) return;
    if (!this.#driverArmed) this.#driver.disableInterrupts();
    this.#driverArmed = true;
    if (this.#driver.pop()) return;
    if (this.#driver.enableInterrupts()) return;
    this.driverAwake = false;
    this.#driverArmed = false;
  }

  settle(): void {
    this.kick();
    while (this.deviceAwake || this.driverAwake) {
      this.deviceStep();
      this.driverStep();
    }
  }
}

describe.each(layouts)("$name queue", (layout) => {
  describe.each(views)("with %s", (view) => {
    it("carries every chain there and back, in any interleaving, through saved states", () => {
      fc.assert(
        fc.property(shapeOf(layout), fc.array(step, { maxLength: 120 }), (shape, steps) => {
          const model = new Model(pairOf(layout, view, shape), shape);
          for (const one of steps) model.run(one);
        }),
        { numRuns: 150 },
      );
    });

    it("goes on when its 16-bit indices and wrap counters go round", () => {
      for (const eventIndex of [false, true]) {
        const shape = { size: layout.sizes[3] ?? 8, indirectEntries: 2, eventIndex };
        const sleepers = new Sleepers(pairOf(layout, view, shape));
        let done = 0;
        for (let round = 0; done < layout.chains; round += 1) {
          const batch = 1 + (round % shape.size);
          for (let count = 0; count < batch; count += 1) {
            if (!sleepers.submit()) expect.fail(`no room after ${done}`);
          }
          sleepers.settle();
          if (sleepers.outstanding !== 0) expect.fail(`stuck after ${done} with ${sleepers.outstanding} outstanding`);
          done += batch;
        }
        expect(sleepers.notifications).toBeLessThanOrEqual(done);
      }
    });
  });

  it("never sleeps with work waiting, in every interleaving of a small queue", () => {
    const DEPTH = 9;
    const moves = [
      (sleepers: Sleepers) => sleepers.submit(),
      (sleepers: Sleepers) => sleepers.kick(),
      (sleepers: Sleepers) => sleepers.deviceStep(),
      (sleepers: Sleepers) => sleepers.driverStep(),
    ];
    for (const eventIndex of [false, true]) {
      for (let run = 0; run < moves.length ** DEPTH; run += 1) {
        // A quarter of a million of these: every 19th, which still covers every order of any six moves.
        if (run % 19 !== 0) continue;
        const sleepers = new Sleepers(pairOf(layout, "both mapped", { size: 2, indirectEntries: 2, eventIndex }));
        for (let count = 0, rest = run; count < DEPTH; count += 1, rest = Math.floor(rest / moves.length)) {
          moves[rest % moves.length]?.(sleepers);
        }
        sleepers.settle();
        if (sleepers.outstanding !== 0) expect.fail(`event index ${eventIndex}: run ${run} sleeps with work waiting`);
      }
    }
  });

  it("suppresses what nobody waits for: one notification and one interrupt for a batch", () => {
    for (const eventIndex of [false, true]) {
      const { driver, device } = pairOf(layout, "both mapped", { size: 16, indirectEntries: 2, eventIndex });
      const list = new DescriptorList();
      const chain = new Chain();
      list.pushReadable(0x8000, 8);
      let notifications = 0;
      let interrupts = 0;
      for (let round = 0; round < 40; round += 1) {
        expect(device.enableNotifications()).toBe(false);
        expect(driver.enableInterrupts()).toBe(false);
        for (let count = 0; count < 8; count += 1) {
          expect(driver.add(list)).toBeGreaterThanOrEqual(0);
          if (driver.shouldNotify()) {
            notifications += 1;
            device.disableNotifications();
          }
        }
        while (device.pop(chain)) {
          device.push(chain, 0);
          if (device.flush()) {
            interrupts += 1;
            driver.disableInterrupts();
          }
        }
        while (driver.pop());
      }
      expect([notifications, interrupts]).toEqual([40, 40]);
      expect(driver.shouldNotify()).toBe(false);
      expect(device.flush()).toBe(false);
    }
  });

  it("looks again after re-arming: what the device returned just before is found", () => {
    for (const eventIndex of [false, true]) {
      let before: () => void = () => {};
      const { driver, device } = pairOf(layout, "both mapped", { size: 4, indirectEntries: 0, eventIndex }, (ring) => ({
        byteLength: ring.byteLength,
        u8: ring.u8,
        u16: ring.u16,
        u32: ring.u32,
        load16: (index) => ring.load16(index),
        store16: (index, value) => {
          before();
          ring.store16(index, value);
        },
        publish: (byteOffset, byteLength) => ring.publish(byteOffset, byteLength),
        refresh: (byteOffset, byteLength) => ring.refresh(byteOffset, byteLength),
      }));
      const list = new DescriptorList();
      list.pushWritable(0x8000, 8);
      driver.disableInterrupts();
      driver.add(list);
      before = () => {
        const chain = new Chain();
        if (device.pop(chain)) device.push(chain, 8);
        device.flush();
      };
      expect(driver.enableInterrupts()).toBe(true);
      expect(driver.pop()).toBe(true);
      before = () => {};
      expect(driver.enableInterrupts()).toBe(false);
    }
  });

  it("touches nothing of the ring once it is closed", () => {
    const shape = { size: 4, indirectEntries: 0, eventIndex: false };
    const { driver, device } = pairOf(layout, "both mapped", shape);
    const list = new DescriptorList();
    list.pushWritable(0x8000, 8);
    driver.add(list);
    driver.add(list);
    const chain = new Chain();
    expect(device.pop(chain)).toBe(true);
    device.close();
    device.push(chain, 8);
    expect(device.flush()).toBe(false);
    device.disableNotifications();
    expect(device.enableNotifications()).toBe(false);
    expect(device.pop(chain)).toBe(false);
    expect(driver.pop()).toBe(false);
    expect(driver.shouldNotify()).toBe(true);
  });
});
