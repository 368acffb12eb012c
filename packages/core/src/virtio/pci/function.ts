/**
 * A virtio device as a PCI function (VIRTIO 1.2 section 4.1): configuration space with its capabilities, BARs, MSI-X and
 * INTx, D-states, resets. For a driver in this process, and for an emulator that routes its guest's accesses here.
 *
 * What a reset forgets: of the virtio device, vectors, ISR and selectors; of the function (FLR, bus reset, leaving D3hot
 * without No_Soft_Reset), also BARs, command register and MSI-X. In D3hot, without memory (or I/O) decoding, or without
 * an address in its BAR, a BAR reads all ones; without bus mastering, or in D3hot, the device touches no memory.
 */
import {
  PCI_BARS,
  PciBar,
  PciCommand,
  PciHeader,
  PciMsix,
  PciMsixControl,
  PciPm,
  PciPmcsr,
  PciPowerState,
  PciStatus,
  VirtioCap,
} from "../../wire/pci.ts";
import { highWord, lowWord } from "../../wire/words.ts";
import type { BusAccess, PciFunctionAccess, PciInterrupts } from "../bus-access.ts";
import { Reader } from "../machinery/saved-state.ts";
import type { VirtioDevice } from "../machinery/virtio-device.ts";
import { DecodedBar, SharedMemoryBlock } from "./function-bars.ts";
import { type FunctionConfigPlaces, buildFunctionConfig } from "./function-capabilities.ts";
import { CONVENTIONAL_CONFIG_BYTES, type FunctionConfig } from "./function-config.ts";
import { FunctionInterrupts, type FunctionInterruptsState, type InterruptOutputs } from "./function-interrupts.ts";
import { type BarPlan, type FunctionLayout, type PciBarKind, functionLayout } from "./function-layout.ts";
import { FunctionRegisters, type FunctionRegistersState } from "./function-registers.ts";

const STATE_VERSION = 1;

/** What a function is made of. */
export interface PciFunctionOptions extends InterruptOutputs {
  readonly device: VirtioDevice;
  /** e.g. `0000:00:02.0`. Default: the device's label. */
  readonly label?: string | undefined;
  /** "io": all registers in one BAR of 256 ports, for buses without memory BARs; no shared memory then. Default "memory". */
  readonly bars?: PciBarKind | undefined;
  /** MSI-X, a vector for the configuration and one a queue. Default true; with I/O ports there is none. */
  readonly msix?: boolean | undefined;
  /** A PCI Express function (4096 bytes of configuration space); else a conventional one. Default: with memory BARs. */
  readonly express?: boolean | undefined;
  /** The power management capability. Default true. */
  readonly powerManagement?: boolean | undefined;
  /** D3hot to D0 keeps the function's state. Default true. */
  readonly noSoftReset?: boolean | undefined;
  /** Without bus mastering the device touches no memory. False for buses that do not pass the bit on. Default true. */
  readonly enforceBusMaster?: boolean | undefined;
  /** The level of the INTx line changed. */
  readonly setInterruptLine?: ((asserted: boolean) => void) | undefined;
  /** An MSI-X message: `data`, 32 bits, to be written to `address`. */
  readonly sendMessage?: ((address: number, data: number) => void) | undefined;
}

/** What a function keeps besides its device: plain data. */
export interface PciFunctionState {
  readonly version: number;
  /** The first 256 bytes of configuration space. */
  readonly config: readonly number[];
  readonly registers: FunctionRegistersState;
  readonly interrupts: FunctionInterruptsState;
}

/** See the file's head. Takes over the device's interrupts, resets and memory access. */
export class PciFunction implements PciFunctionAccess {
  readonly label: string;
  readonly device: VirtioDevice;
  readonly config: BusAccess;
  readonly interrupts: PciInterrupts;
  readonly #layout: FunctionLayout;
  readonly #config: FunctionConfig;
  readonly #places: FunctionConfigPlaces;
  readonly #interrupts: FunctionInterrupts;
  readonly #registers: FunctionRegisters;
  readonly #blocks: readonly (BusAccess | null)[];
  readonly #decoded: readonly (DecodedBar | null)[];
  readonly #sharedMemory: SharedMemoryBlock;
  readonly #enforceBusMaster: boolean;
  #powerState: number = PciPowerState.D0;

  constructor(options: PciFunctionOptions) {
    const { device } = options;
    const kind = options.bars ?? "memory";
    const msix = kind === "memory" && (options.msix ?? true);
    const vectors = msix ? 1 + device.queueCount : 0;
    this.label = options.label ?? device.label;
    this.device = device;
    this.#enforceBusMaster = options.enforceBusMaster ?? true;
    this.#layout = functionLayout(device, { kind, msix });
    this.#interrupts = new FunctionInterrupts(vectors, device.queueCount, options);
    this.interrupts = this.#interrupts;
    this.#registers = new FunctionRegisters(device, this.#interrupts, this.#layout);
    this.#sharedMemory = new SharedMemoryBlock(device.model.sharedMemory, this.#layout.sharedMemory);
    this.#blocks = Array.from({ length: PCI_BARS }, (_, index) => this.#blockOf(index));
    this.#decoded = this.#blocks.map((block) => (block === null ? null : new DecodedBar(block)));
    const { config, places } = buildFunctionConfig(device, this.#layout, {
      vectors,
      express: options.express ?? kind === "memory",
      powerManagement: options.powerManagement ?? true,
      noSoftReset: options.noSoftReset ?? true,
    });
    this.#config = config;
    this.config = config;
    this.#places = places;
    config.seal({
      beforeRead: (offset, width) => this.#beforeRead(offset, width),
      afterWrite: (offset, width) => this.#afterWrite(offset, width),
    });
    device.setInterruptSink((source) => this.#interrupts.raise(source));
    device.setResetListener(() => {
      this.#interrupts.resetDevice();
      this.#registers.resetDevice();
    });
    this.#refresh();
  }

  /** The BAR as the bus decodes it. */
  bar(index: number): BusAccess | null {
    return this.#decoded[index] ?? null;
  }

  /** The register block behind a BAR, decoded or not: for an emulator that decodes addresses itself. */
  block(index: number): BusAccess | null {
    return this.#blocks[index] ?? null;
  }

  /** Where the bus decodes a BAR, or null where it does not. */
  barAddress(index: number): number | null {
    const plan = this.#layout.bars.find((bar) => bar.index === index);
    return plan === undefined || !this.#isDecoded(plan) ? null : this.#assigned(plan);
  }

  /** Bytes of a BAR; 0 where there is none. */
  barBytes(index: number): number {
    return this.#layout.bars.find((bar) => bar.index === index)?.byteLength ?? 0;
  }

  barView(index: number, offset: number, byteLength: number): Uint8Array | null {
    const plan = this.#layout.bars.find((bar) => bar.index === index);
    if (plan?.what !== "shared-memory" || !this.#isDecoded(plan)) return null;
    return this.#sharedMemory.view(offset, byteLength);
  }

  /** For the bus of this process, which nobody enumerates: fixed addresses. */
  assignBars(): void {
    for (const { index, flags, address } of this.#layout.bars) {
      const at = PciHeader.BAR_0 + 4 * index;
      this.config.write32(at, lowWord(address));
      if ((flags & PciBar.IO) === 0 && (flags & PciBar.TYPE_MASK) === PciBar.TYPE_64) {
        this.config.write32(at + 4, highWord(address));
      }
    }
    this.#interrupts.reprogram();
  }

  /** Function level reset. */
  reset(): void {
    this.#config.reset();
    this.#powerState = PciPowerState.D0;
    this.#interrupts.reset();
    this.#refresh();
    this.device.reset();
  }

  /** The bus was reset: a reboot, or the wake from S3. Nothing of the function is sticky, so it is as an FLR. */
  busReset(): void {
    this.reset();
  }

  /** Pulls the function out: from now on all of it reads all ones. */
  unplug(): void {
    this.reset();
    this.#config.gone = true;
    this.#refresh();
    this.device.setInterruptSink(null);
    this.device.setResetListener(null);
  }

  /** Plain data; the device saves itself. */
  save(): PciFunctionState {
    return {
      version: STATE_VERSION,
      config: [...this.#config.bytes],
      registers: this.#registers.save(),
      interrupts: this.#interrupts.save(),
    };
  }

  /**
   * After the device's own restore, into a function made with the same options. Throws GpuError EINVAL, and changes
   * nothing then. The line is set as it has to be, and the device goes on with its work.
   */
  restore(state: unknown): void {
    const read: Reader = new Reader(this.label);
    const fields = read.object(state, "the function");
    read.require(fields["version"] === STATE_VERSION, "the function's version is not known");
    const bytes = read.words(fields["config"], CONVENTIONAL_CONFIG_BYTES, "configuration space");
    read.require(this.#canLoad(bytes), "the function's power state does not exist");
    const apply = [
      this.#registers.prepareRestore(read, fields["registers"]),
      this.#interrupts.prepareRestore(read, fields["interrupts"]),
    ];
    this.#config.load(bytes);
    this.#powerState = this.#readPowerState();
    for (const step of apply) step();
    this.#refresh();
  }

  #blockOf(index: number): BusAccess | null {
    switch (this.#layout.bars.find((bar) => bar.index === index)?.what) {
      case undefined:
        return null;
      case "registers":
        return this.#registers;
      case "msix":
        return this.#interrupts.msix;
      case "shared-memory":
        return this.#sharedMemory;
    }
  }

  #canLoad(bytes: readonly number[]): boolean {
    const { power } = this.#places;
    if (power === null) return true;
    const state = (bytes[power + PciPm.CONTROL_STATUS] ?? 0) & PciPmcsr.STATE_MASK;
    return state === PciPowerState.D0 || state === PciPowerState.D3HOT;
  }

  get #command(): number {
    return this.#config.gone ? 0 : this.#config.peek(PciHeader.COMMAND, 2);
  }

  #readPowerState(): number {
    const { power } = this.#places;
    return power === null ? PciPowerState.D0 : this.#config.peek(power + PciPm.CONTROL_STATUS, 2) & PciPmcsr.STATE_MASK;
  }

  #assigned({ index, flags }: BarPlan): number {
    const at = PciHeader.BAR_0 + 4 * index;
    if ((flags & PciBar.IO) !== 0) return this.#config.peek(at, 4) - flags;
    const high = (flags & PciBar.TYPE_MASK) === PciBar.TYPE_64 ? this.#config.peek(at + 4, 4) : 0;
    return high * 2 ** 32 + this.#config.peek(at, 4) - flags;
  }

  #isDecoded(plan: BarPlan): boolean {
    const enable = (plan.flags & PciBar.IO) !== 0 ? PciCommand.IO : PciCommand.MEMORY;
    const awake = this.#powerState === PciPowerState.D0;
    return awake && (this.#command & enable) !== 0 && this.#assigned(plan) !== 0;
  }

  /** Brings everything in line with configuration space. */
  #refresh(): void {
    const command = this.#command;
    const awake = this.#powerState === PciPowerState.D0;
    const busMaster =
      awake && !this.#config.gone && (!this.#enforceBusMaster || (command & PciCommand.BUS_MASTER) !== 0);
    for (const plan of this.#layout.bars) {
      const bar = this.#decoded[plan.index] ?? null;
      if (bar !== null) bar.decoded = this.#isDecoded(plan);
    }
    const { msix } = this.#places;
    const control = msix === null ? 0 : this.#config.peek(msix + PciMsix.CONTROL, 2);
    this.#interrupts.setGates({
      msixEnabled: (control & PciMsixControl.ENABLE) !== 0,
      msixMasked: (control & PciMsixControl.FUNCTION_MASK) !== 0,
      intxDisabled: (command & PciCommand.INTX_DISABLE) !== 0,
      busMaster,
      awake,
    });
    this.device.setMemoryAccess(busMaster);
  }

  #beforeRead(offset: number, width: number): void {
    if (touches(offset, width, PciHeader.STATUS, 1)) {
      this.#config.poke(
        PciHeader.STATUS,
        1,
        PciStatus.CAPABILITIES | (this.#interrupts.isPending ? PciStatus.INTERRUPT : 0),
      );
    }
    if (touches(offset, width, this.#places.window + VirtioCap.PCI_DATA, 4)) this.#readWindow();
  }

  #afterWrite(offset: number, width: number): void {
    const { power, msix, resetByte, resetBit, window } = this.#places;
    if (touches(offset, width, resetByte, 1) && (this.#config.peek(resetByte, 1) & resetBit) !== 0) {
      this.reset();
      return;
    }
    if (offset === window + VirtioCap.PCI_DATA) {
      this.#writeWindow(width);
      return;
    }
    if (power !== null && touches(offset, width, power + PciPm.CONTROL_STATUS, 2)) this.#changePowerState(power);
    const isDecoding = touches(offset, width, PciHeader.COMMAND, 2);
    const isBar = touches(offset, width, PciHeader.BAR_0, 4 * PCI_BARS);
    const isMsix = msix !== null && touches(offset, width, msix + PciMsix.CONTROL, 2);
    if (isDecoding || isBar || isMsix) this.#refresh();
  }

  #changePowerState(power: number): void {
    const state = this.#readPowerState();
    const before = this.#powerState;
    if (state !== PciPowerState.D0 && state !== PciPowerState.D3HOT) {
      // D1 and D2 are not offered: such a write is discarded.
      const control = power + PciPm.CONTROL_STATUS;
      this.#config.poke(control, 1, (this.#config.peek(control, 1) & ~PciPmcsr.STATE_MASK) | before);
      return;
    }
    if (state === before) return;
    this.#powerState = state;
    const keeps = (this.#config.peek(power + PciPm.CONTROL_STATUS, 2) & PciPmcsr.NO_SOFT_RESET) !== 0;
    if (state === PciPowerState.D0 && !keeps) this.reset();
    else this.#refresh();
  }

  /** The BAR that the window points at, and the access it describes; null where it can't be made. */
  #windowTarget(): { readonly block: BusAccess; readonly offset: number; readonly width: number } | null {
    const { window } = this.#places;
    const width = this.#config.peek(window + VirtioCap.LENGTH, 4);
    const offset = this.#config.peek(window + VirtioCap.OFFSET, 4);
    const block = this.#blocks[this.#config.peek(window + VirtioCap.BAR, 1)] ?? null;
    const isWidth = width === 1 || width === 2 || width === 4;
    if (block === null || !isWidth || offset % width !== 0 || this.#powerState !== PciPowerState.D0) return null;
    return { block, offset, width };
  }

  #readWindow(): void {
    const target = this.#windowTarget();
    if (target === null) return;
    const { block, offset, width } = target;
    const data = this.#places.window + VirtioCap.PCI_DATA;
    if (width === 1) this.#config.poke(data, 1, block.read8(offset));
    else if (width === 2) this.#config.poke(data, 2, block.read16(offset));
    else this.#config.poke(data, 4, block.read32(offset));
  }

  /** A write of the data register, in the window's own width, is the access (4.1.4.9). */
  #writeWindow(written: number): void {
    const target = this.#windowTarget();
    if (target === null || target.width !== written) return;
    const { block, offset, width } = target;
    const value = this.#config.peek(this.#places.window + VirtioCap.PCI_DATA, 4);
    if (width === 1) block.write8(offset, value & 0xff);
    else if (width === 2) block.write16(offset, value & 0xffff);
    else block.write32(offset, value);
  }
}

function touches(offset: number, width: number, start: number, byteLength: number): boolean {
  return offset < start + byteLength && start < offset + width;
}
