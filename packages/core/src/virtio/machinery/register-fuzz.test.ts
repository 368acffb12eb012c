// Random register accesses, sensible and not, on every face, over memory full of garbage: nothing throws, nothing loops,
// no access leaves guest memory, and whatever state that led to is one that can be saved and restored.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { GuestMemory, RingMemory } from "../../memory/guest-memory.ts";
import { GuestRam } from "../../memory/guest-ram.ts";
import { MmioRegister } from "../../wire/mmio.ts";
import { CommonConfig, PciHeader } from "../../wire/pci.ts";
import type { BusAccess } from "../bus-access.ts";
import { MmioRegisters } from "../mmio/registers.ts";
import { PciFunction, type PciFunctionOptions } from "../pci/function.ts";
import { EchoModel } from "./echo-model.ts";
import { VirtioDevice } from "./virtio-device.ts";

const RAM_BYTES = 1 << 14;

/** Guest memory that remembers whether anybody reached outside. */
class WatchedMemory implements GuestMemory {
  readonly ram: GuestRam = GuestRam.of(RAM_BYTES);
  strayed = false;

  constructor(seed: number) {
    let state = seed >>> 0;
    const bytes = this.ram.view(0, RAM_BYTES);
    for (let at = 0; at < RAM_BYTES; at += 1) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      // Half the bytes are 0: small numbers lead further than large ones.
      bytes[at] = (state & 0x8000_0000) === 0 ? 0 : state >>> 20;
    }
  }

  get regions(): GuestMemory["regions"] {
    return this.ram.regions;
  }

  contains(address: number, byteLength: number): boolean {
    return this.ram.contains(address, byteLength);
  }

  read(address: number, target: Uint8Array): void {
    this.#check(address, target.byteLength);
    this.ram.read(address, target);
  }

  write(address: number, source: Uint8Array): void {
    this.#check(address, source.byteLength);
    this.ram.write(address, source);
  }

  view(address: number, byteLength: number): Uint8Array | null {
    this.#check(address, byteLength);
    return this.ram.view(address, byteLength);
  }

  ringMemory(address: number, byteLength: number): RingMemory {
    this.#check(address, byteLength);
    return this.ram.ringMemory(address, byteLength);
  }

  #check(address: number, byteLength: number): void {
    if (!this.contains(address, byteLength)) this.strayed = true;
  }
}

interface Access {
  readonly block: number;
  readonly kind: "read8" | "read16" | "read32" | "write8" | "write16" | "write32";
  readonly offset: number;
  readonly value: number;
}

const strange = fc.constantFrom(-1, -4, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 32, 2 ** 40, 2 ** 53);
const values = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(0, 1, 2, 3, 4, 7, 8, 11, 15, 27, 31, 64, 128, 143, 0x400, 0x1000, 0x2000) },
  { weight: 2, arbitrary: fc.nat(0xffff) },
  { weight: 1, arbitrary: fc.constantFrom(0xffff_ffff, 0x8000_0000, 0x3000_0003, 0x901) },
  { weight: 1, arbitrary: strange },
);
const kinds = fc.constantFrom(...(["read8", "read16", "read32", "write8", "write16", "write32"] as const));

function accesses(blocks: number, offsets: readonly number[]): fc.Arbitrary<readonly Access[]> {
  const offset = fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(...offsets) },
    { weight: 2, arbitrary: fc.nat(0x3010) },
    { weight: 1, arbitrary: strange },
  );
  return fc.array(fc.record({ block: fc.nat(blocks - 1), kind: kinds, offset, value: values }), { maxLength: 60 });
}

function apply(block: BusAccess, { kind, offset, value }: Access): void {
  switch (kind) {
    case "read8":
    case "read16":
    case "read32": {
      const read = block[kind](offset);
      const bits = Number(kind.slice(4));
      expect(Number.isInteger(read) && read >= 0 && read < 2 ** bits).toBe(true);
      return;
    }
    case "write8":
    case "write16":
    case "write32":
      block[kind](offset, value);
  }
}

interface Face {
  readonly blocks: readonly BusAccess[];
  /** A running device's rings lie in memory's garbage. */
  start(): void;
  save(): unknown;
  restore(state: unknown): void;
}

type MakeFace = (device: VirtioDevice) => Face;

/** Brings the device to DRIVER_OK over its own methods, both queues on garbage. */
function startDevice(device: VirtioDevice): void {
  for (const status of [0, 1, 3]) device.writeStatus(status);
  device.writeDriverFeatureWord(0, device.deviceFeatureWord(0));
  device.writeDriverFeatureWord(1, device.deviceFeatureWord(1) & ~(1 << 2));
  device.writeStatus(11);
  device.setQueueAddresses(0, { size: 16, descriptors: 0x1000, driver: 0x1200, device: 0x1300 });
  device.setQueueAddresses(1, { size: 8, descriptors: 0x2000, driver: 0x2200, device: 0x2300 });
  device.enableQueue(0);
  device.enableQueue(1);
  device.writeStatus(15);
}

function pciFace(options: Omit<PciFunctionOptions, "device">): MakeFace {
  return (device) => {
    const pci = new PciFunction({ device, ...options });
    const blocks = [pci.config, pci.bar(0), pci.bar(1), pci.bar(2), pci.bar(4)].filter((block) => block !== null);
    return {
      blocks,
      start: () => {
        pci.assignBars();
        pci.config.write16(PciHeader.COMMAND, 7);
        startDevice(device);
      },
      save: () => pci.save(),
      restore: (state) => pci.restore(state),
    };
  };
}

/** Capabilities' inner fields, and the structures in both layouts. */
const pciPlaces = [0x41, 0x42, 0x44, 0x49, 0x51, 0x2000, 0x2004, 0x3000, 0x3004, 0x3008, 0x1000, 0x800];
const pciOffsets = [...pciPlaces, ...Object.values(CommonConfig), ...Array.from({ length: 64 }, (_, word) => 4 * word)];
const faces: ReadonlyMap<string, { readonly make: MakeFace; readonly offsets: readonly number[] }> = new Map([
  [
    "MMIO",
    {
      make: (device: VirtioDevice): Face => {
        const registers = new MmioRegisters({ device, sharedMemoryAddresses: new Map([[1, 2 ** 33]]) });
        return {
          blocks: [registers],
          start: () => startDevice(device),
          save: () => registers.save(),
          restore: (state) => registers.restore(state),
        };
      },
      offsets: [...Object.values(MmioRegister), 0x101, 0x104, 0x113, 0x1fc],
    },
  ],
  ["PCI, memory BARs", { make: pciFace({}), offsets: pciOffsets }],
  ["PCI, I/O ports", { make: pciFace({ bars: "io" }), offsets: pciOffsets }],
  ["PCI, that resets softly", { make: pciFace({ noSoftReset: false, express: false }), offsets: pciOffsets }],
]);

describe("no access harms", () => {
  for (const [name, { make, offsets }] of faces) {
    for (const started of [false, true]) {
      it(`over ${name}, ${started ? "at work" : "from a reset"}`, () => {
        const build = (memory: GuestMemory): { readonly device: VirtioDevice; readonly face: Face } => {
          const model = new EchoModel({ sharedMemory: [{ id: 1, bytes: new Uint8Array(64) }] });
          const device = new VirtioDevice({ model, memory, label: "fuzz", features: { packed: true } });
          return { device, face: make(device) };
        };
        const blocks = build(new WatchedMemory(0)).face.blocks.length;
        fc.assert(
          fc.property(accesses(blocks, offsets), fc.nat(), (steps, seed) => {
            const memory = new WatchedMemory(seed);
            const { device, face } = build(memory);
            if (started) face.start();
            for (const step of steps) {
              const block = face.blocks[step.block];
              if (block !== undefined) apply(block, step);
            }
            expect(memory.strayed).toBe(false);
            const saved = { device: device.save(), face: face.save() };
            const other = build(memory);
            other.device.setMemoryAccess(false);
            other.device.restore(saved.device);
            expect(other.device.save()).toEqual(saved.device);
            other.face.restore(saved.face);
            expect(other.face.save()).toEqual(saved.face);
          }),
          { numRuns: 100 },
        );
      });
    }
  }
});
