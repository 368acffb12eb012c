/**
 * A slot of memory-mapped registers (VIRTIO 1.2 section 4.2): no bus that forgets, no bus mastering, no power states.
 */
import type { BusAccess } from "../../virtio/bus-access.ts";
import type { VirtioDevice } from "../../virtio/machinery/index.ts";
import { MmioRegisters } from "../../virtio/mmio/registers.ts";
import { type MmioInterrupts, MmioTransport } from "../../virtio/mmio/transport.ts";
import type { Transport } from "../../virtio/transport.ts";
import { SlotBus } from "./slot-bus.ts";
import { type Slot, emptySlot } from "./wiring.ts";

/** Where shared memory regions lie in guest-physical address space, and how far apart. */
const SHARED_MEMORY_BASE = 2 ** 42;
const SHARED_MEMORY_STEP = 2 ** 36;

/** See the file's head. One interrupt handler at a time: the one set last. */
export class MmioSlot implements Slot {
  readonly label: string;
  readonly #registers: BusAccess = new SlotBus(() => this.#blocks);
  readonly #interrupts: MmioInterrupts | null;
  #device: VirtioDevice | null = null;
  #present: MmioRegisters | null = null;
  #handler: (() => void) | null = null;

  /** `polled`: the driver gets no interrupts. */
  constructor(label: string, polled: boolean) {
    this.label = label;
    this.#interrupts = polled
      ? null
      : {
          setHandler: (handler) => {
            this.#handler = handler;
            this.#present?.interrupts.setHandler(handler);
          },
        };
  }

  get keepsOverSleep(): boolean {
    return false;
  }

  connect(): Transport {
    return MmioTransport.open({
      label: this.label,
      registers: this.#registers,
      interrupts: this.#interrupts,
      sharedMemoryView: (address, byteLength) => this.#view(address, byteLength),
    });
  }

  plug(device: VirtioDevice): void {
    const regions = device.model.sharedMemory;
    const sharedMemoryAddresses = new Map(
      regions.map(({ id }, index) => [id, SHARED_MEMORY_BASE + index * SHARED_MEMORY_STEP]),
    );
    this.#device = device;
    this.#present = new MmioRegisters({ device, sharedMemoryAddresses });
    this.#present.interrupts.setHandler(this.#handler);
  }

  unplug(): void {
    this.#device?.setResetListener(null);
    this.#device = null;
    this.#present = null;
  }

  busReset(): void {
    this.#device?.reset();
  }

  save(): unknown {
    return this.#blocks.save();
  }

  restore(state: unknown): void {
    this.#blocks.restore(state);
  }

  get #blocks(): MmioRegisters {
    if (this.#present === null) throw emptySlot(this.label);
    return this.#present;
  }

  #view(address: number, byteLength: number): Uint8Array | null {
    const index = Math.floor((address - SHARED_MEMORY_BASE) / SHARED_MEMORY_STEP);
    const bytes = this.#device?.model.sharedMemory[index]?.bytes;
    const offset = address - SHARED_MEMORY_BASE - index * SHARED_MEMORY_STEP;
    return bytes !== undefined && offset + byteLength <= bytes.byteLength
      ? bytes.subarray(offset, offset + byteLength)
      : null;
  }
}
