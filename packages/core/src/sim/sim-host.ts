/**
 * The host's side of one GPU in a simulated machine: a device that can die, be powered on again, be reset by the machine or
 * behind the driver's back, and go wrong by a plan. The driver's transport, the plan and the log stay the same over all
 * lives of the device.
 */
import type { Clock } from "../base/clock.ts";
import { GpuError } from "../base/errors.ts";
import { type TraceEvent, type Tracer, silentTracer } from "../base/tracer.ts";
import { VirtioGpuDevice, type VirtioGpuDeviceOptions } from "../device/index.ts";
import type { GuestMemory } from "../memory/guest-memory.ts";
import type { DeviceModel } from "../virtio/device-model.ts";
import { VirtioDevice, type VirtioDeviceFeatures } from "../virtio/machinery/index.ts";
import type { PciFunction } from "../virtio/pci/function.ts";
import { GPU_DEVICE_ID } from "../wire/gpu.ts";
import { UsedRing } from "../wire/ring.ts";
import { VirtioFeature, featureBit } from "../wire/virtio.ts";
import { CommandFaults } from "./faults/command-faults.ts";
import { FaultyModel } from "./faults/faulty-model.ts";
import { FaultyTransport, type TransportFaults } from "./faults/faulty-transport.ts";
import { Recorder } from "./recorder.ts";
import { LoopbackSlot } from "./wiring/loopback-slot.ts";
import { MmioSlot } from "./wiring/mmio-slot.ts";
import { PciSlot, type PciSlotOptions } from "./wiring/pci-slot.ts";
import { type Slot, type SlotKind, emptySlot } from "./wiring/wiring.ts";

/**
 * Kinds of hosts. "drops": forgets all resources at a reset, as QEMU. "keeps": keeps them, as a vhost-user back end may.
 * "slow": resets take 20 ms, and each reply 1 ms. "dies": its process ends at a command, the first unless `diesAt` says
 * which.
 */
export type HostVariant = "drops" | "keeps" | "slow" | "dies";

/** What a device is made from: options of a {@link VirtioGpuDevice}, or a model for the `life`-th life (from 1). */
export type SimDevice = VirtioGpuDeviceOptions | ((life: number) => DeviceModel);

/** What a {@link SimHost} is made of. */
export interface SimHostOptions {
  readonly clock: Clock;
  /** Guest memory by the addresses that the driver gives the device. */
  readonly memory: GuestMemory;
  /** Names the device in every message. Default `gpu0`. */
  readonly label?: string | undefined;
  readonly device?: SimDevice | undefined;
  /** Features of rings and transport. */
  readonly features?: VirtioDeviceFeatures | undefined;
  /** How the driver reaches the device. Default "loopback". */
  readonly transport?: SlotKind | undefined;
  /** For a slot on PCI; of it, MMIO takes `interrupts` "polled". */
  readonly pci?: PciSlotOptions | undefined;
  readonly variant?: HostVariant | undefined;
  /** For the variant "dies": at which command. */
  readonly diesAt?: number | undefined;
  /** What the transport does wrong from the start. */
  readonly faults?: Partial<TransportFaults> | undefined;
  /** Hears what {@link SimHost.log} hears. */
  readonly tracer?: Tracer | undefined;
}

/** A host process, saved. Plain data. */
export interface SimHostState {
  /** The device's state, its model's included. */
  readonly device: unknown;
  readonly slot: unknown;
}

const SLOW_RESET_MS = 20;
const SLOW_REPLY_MS = 1;

interface Life {
  readonly model: FaultyModel;
  readonly gpu: VirtioGpuDevice | null;
  readonly machinery: VirtioDevice;
}

/** See the file's head. Powered on when made. */
export class SimHost {
  readonly label: string;
  /** The driver's transport. */
  readonly transport: FaultyTransport;
  /** The plan of faults at commands, and the log of commands; over all lives. */
  readonly commands: CommandFaults;
  /** Commands, replies and state changes as the host saw them; over all lives. */
  readonly log: Recorder;
  readonly variant: HostVariant;
  readonly #options: SimHostOptions;
  readonly #slot: Slot;
  readonly #tracer: Tracer;
  readonly #transports: FaultyTransport[] = [];
  #device: SimDevice;
  #life: Life | null = null;
  #lives = 0;

  constructor(options: SimHostOptions) {
    this.#options = options;
    this.label = options.label ?? "gpu0";
    this.variant = options.variant ?? "drops";
    this.commands = new CommandFaults(options.clock);
    this.log = new Recorder({ clock: options.clock });
    this.#tracer = both(this.log, options.tracer ?? silentTracer);
    this.#device = options.device ?? {};
    if (this.variant === "slow") {
      this.commands.inject({ times: Infinity, effect: { kind: "slow", ms: SLOW_REPLY_MS } });
    } else if (this.variant === "dies") {
      this.commands.inject({ at: options.diesAt ?? 1, effect: { kind: "die" } });
    }
    this.#slot = makeSlot(this.label, options);
    this.powerOn();
    this.transport = this.connect();
  }

  /** Whether the host's process runs. */
  get isOn(): boolean {
    return this.#life !== null;
  }

  /** Devices so far, the present one included. */
  get lives(): number {
    return this.#lives;
  }

  /** The present device: for its screenshots, monitors and usage. Throws GpuError ENODEV when the host is off. */
  get device(): VirtioGpuDevice {
    const { gpu } = this.#present();
    if (gpu === null) throw new GpuError("ENOTSUP", "the device is a model of the test's own", { device: this.label });
    return gpu;
  }

  /** The machinery around the present device: its status, and why it stopped. Throws GpuError ENODEV when the host is off. */
  get machinery(): VirtioDevice {
    return this.#present().machinery;
  }

  /** The PCI function that the device is. Throws GpuError ENOTSUP on another bus, ENODEV when the host is off. */
  get function(): PciFunction {
    if (this.#slot instanceof PciSlot) return this.#slot.function;
    throw new GpuError("ENOTSUP", "the device is no PCI function", { device: this.label });
  }

  /** Commands taken and not answered, for reasons of the plan. */
  get pending(): number {
    return this.#life?.model.pending ?? 0;
  }

  /** Another driver's transport onto the same device: a boot kernel's, the firmware's. The handler set last hears interrupts. */
  connect(): FaultyTransport {
    const slow = this.variant === "slow" ? { reset: { kind: "ms", ms: SLOW_RESET_MS } as const } : {};
    const transport = new FaultyTransport(this.#slot.connect(), {
      clock: this.#options.clock,
      faults: { ...slow, ...this.#options.faults },
      onQueueReset: (queue) => this.#life?.model.closeQueue(queue),
    });
    this.#transports.push(transport);
    return transport;
  }

  /** The host's process ends: no access is answered, no memory touched, nothing remembered. */
  kill(): void {
    const life = this.#life;
    if (life === null) return;
    this.#life = null;
    this.#slot.unplug();
    // A reset drops what the model holds on to; its process is gone, so not even a kept resource stays.
    life.machinery.setMemoryAccess(false);
    life.machinery.setInterruptSink(null);
    life.machinery.reset();
  }

  /** A new host process with a new device, which knows nothing; `device`: another host than the last. */
  powerOn(device: SimDevice = this.#device): void {
    this.kill();
    this.#device = device;
    this.#lives += 1;
    const life = this.#makeLife(device);
    this.#life = life;
    this.#slot.plug(life.machinery);
    for (const transport of this.#transports) transport.deviceReplaced();
  }

  /**
   * The whole host process as plain data: what it is migrated with. Throws GpuError EBUSY within a command, ENODEV when
   * the host is off.
   */
  save(): SimHostState {
    return { device: this.#present().machinery.save(), slot: this.#slot.save() };
  }

  /** A new host process that goes on where another was saved. Guest memory has to be as it was then. */
  powerOnFrom(state: SimHostState): void {
    this.powerOn();
    const { machinery } = this.#present();
    machinery.restore(state.device);
    this.#slot.restore(state.slot);
    machinery.resumeWork();
  }

  /** The machine's reset line: a reboot, or the wake from an S3 that resets. The host's process lives on. */
  systemReset(): void {
    this.#slot.busReset();
    for (const transport of this.#transports) transport.deviceReplaced();
  }

  /** The machine wakes from S3: a reset, unless No_Soft_Reset keeps the device from it. */
  wakeFromS3(): void {
    if (!this.#slot.keepsOverSleep) this.systemReset();
  }

  /** The host resets the device on its own, behind the driver's back; the bus forgets nothing. */
  resetDevice(): void {
    this.#present().machinery.reset();
  }

  /** The host silently loses all that it was told to make; registers and rings stay as they are. Not within a command. */
  forget(): void {
    const { device } = this;
    const scanouts = device.outputs.map(() => null);
    device.restore({ ...device.save(), resources: [], scanouts, contexts: null });
  }

  /** The device announces that it can't go on. */
  breakDevice(reason: string = "the test broke it"): void {
    this.#present().machinery.needsReset(reason);
  }

  /** The host answers again: swallowed kicks are heard, what hung is carried out, what was held is answered. */
  resume(): void {
    for (const transport of this.#transports) transport.resume();
    this.#life?.model.release();
  }

  /**
   * Puts a used element into a split ring that answers nothing, and interrupts: a duplicate, or an id out of nowhere. The
   * device itself does not know of it. Throws GpuError ENOTSUP for a packed ring, EINVAL where there is no ring.
   */
  forgeUsed(queue: number, id: number, byteLength: number): void {
    const { machinery } = this.#present();
    if ((machinery.driverFeatures & featureBit(VirtioFeature.RING_PACKED)) !== 0n) {
      throw new GpuError("ENOTSUP", "used elements are forged in split rings only", { device: this.label });
    }
    const ring = machinery.queueEnabled(queue) ? machinery.queueAddresses(queue) : null;
    if (ring === null) throw new GpuError("EINVAL", `queue ${queue} is not enabled`, { device: this.label });
    const { memory } = this.#options;
    const index = new Uint16Array(1);
    const bytes = new Uint8Array(index.buffer);
    memory.read(ring.device + UsedRing.INDEX, bytes);
    const at = ring.device + UsedRing.RING + ((index[0] ?? 0) % ring.size) * UsedRing.ENTRY_BYTES;
    memory.write(at, new Uint8Array(Uint32Array.of(id, byteLength).buffer));
    index[0] = (index[0] ?? 0) + 1;
    memory.write(ring.device + UsedRing.INDEX, bytes);
    machinery.queueInterrupt(queue);
  }

  #present(): Life {
    if (this.#life === null) throw emptySlot(this.label);
    return this.#life;
  }

  #makeLife(device: SimDevice): Life {
    const { label } = this;
    const inner =
      typeof device === "function"
        ? device(this.#lives)
        : new VirtioGpuDevice({
            keepResourcesOverReset: this.variant === "keeps",
            ...device,
            label,
            tracer: this.#tracer,
          });
    const model = new FaultyModel(inner, { faults: this.commands, onDie: () => this.kill() });
    const { memory, features } = this.#options;
    const machinery = new VirtioDevice({ model, memory, label, features, tracer: this.#tracer });
    return { model, machinery, gpu: inner instanceof VirtioGpuDevice ? inner : null };
  }
}

function makeSlot(label: string, { transport = "loopback", pci = {} }: SimHostOptions): Slot {
  switch (transport) {
    case "loopback":
      return new LoopbackSlot(label, GPU_DEVICE_ID);
    case "mmio":
      return new MmioSlot(label, pci.interrupts === "polled");
    default:
      return new PciSlot(label, transport, pci);
  }
}

function both(one: Tracer, other: Tracer): Tracer {
  if (!other.enabled) return one;
  return {
    enabled: true,
    trace: (event: TraceEvent) => {
      one.trace(event);
      other.trace(event);
    },
  };
}
