/**
 * A virtio-gpu in v86: the device of `@virtgpu/core` as a PCI function on the emulator's bus.
 *
 * Nothing that goes wrong in the device, in a sink or in a tracer reaches the emulator: it is caught at each of its entries,
 * told to `onProblem`, and the guest finds a device that needs a reset.
 */
import { GpuError, type Tracer } from "@virtgpu/core/base";
import {
  type DeviceOutput,
  type DisplaySink,
  type OutputLayout,
  type Screenshot,
  VirtioGpuDevice,
  type VirtioGpuDeviceOptions,
} from "@virtgpu/core/device";
import { PciFunction, StaleDriverRescue, VirtioDevice } from "@virtgpu/core/virtio";
import { InterruptLine } from "./interrupt-line.ts";
import { hasDevices, openCpu, type V86Cpu, type V86Emulator } from "./internals.ts";
import { type AccessGuard, V86PciSlot } from "./pci-slot.ts";
import { hookStates } from "./machine-state.ts";
import { packState, unpackState } from "./state-bytes.ts";
import { V86Memory } from "./v86-memory.ts";

/** Slots whose interrupt line, as v86 and SeaBIOS have it, is not the network card's. The first free one is taken. */
const SLOTS = [0x0f, 0x10, 0x13, 0x14, 0x17, 0x18] as const;
const FIRST_PORT = 0xe000;
const VGA_SLOT = 0x12;
const LABEL = "virtio-gpu";

/** Options of {@link attachVirtioGpu}. */
export interface VirtioGpuOptions {
  /** 1 to 16 monitors, null where none is connected yet. Default: one of 1024 x 768. */
  readonly outputs?: readonly (OutputLayout | null)[];
  /** Shows the pictures: a canvas sink of this package, or one of yours. */
  readonly sink?: DisplaySink;
  /** Is told in a sentence what went wrong inside; default `console.error`. */
  readonly onProblem?: (sentence: string) => void;
  /** The slot on the PCI bus, 0 to 31. Default: the first free one of those with a quiet interrupt line. */
  readonly slot?: number;
  /** The first of the device's 256 ports until the firmware moves it. Default 0xe000. */
  readonly port?: number;
  /** Takes v86's own VGA off the PCI bus, so that the guest has this display alone. Default false. */
  readonly hideVga?: boolean;
  /**
   * Helps a guest through hibernation whose driver does not know what that does to a device (Linux's, at least up to 6.12):
   * a driver that goes on after a reset without setting up queues is given back what the device knew before. In the
   * machine that resumes, give what {@link V86Gpu.save} gave in the one that was switched off, e.g. at v86's event
   * `cpu-event-halt`. Its limits: docs/v86.md. Default false.
   */
  readonly rescueStaleDrivers?: boolean | Uint8Array;
  /** Hears each command and reply. */
  readonly tracer?: Tracer;
  /** More of the device's own options: blobs, limits, EDIDs, a renderer. */
  readonly device?: Omit<VirtioGpuDeviceOptions, "outputs" | "sink" | "tracer" | "label">;
}

/** A device that {@link attachVirtioGpu} has attached, or will when the emulator is ready. */
export interface V86Gpu {
  /** Resolves when the device is on the bus. Rejects with GpuError ENOTSUP where this v86 is not one that it can be attached to, EINVAL where the place is taken. */
  readonly attached: Promise<void>;
  /** The device, for all that is not said here. */
  readonly device: VirtioGpuDevice;
  /** The monitors as they stand. */
  readonly outputs: readonly DeviceOutput[];
  /** Why the device waits for a reset by its driver, or null. */
  readonly stopReason: string | null;
  /** A monitor asks for another size; a guest that follows hotplug changes its mode. Throws GpuError EINVAL. */
  resize(output: number, width: number, height: number): void;
  /** Plugs a monitor in, changes it, or (null) takes it away. Throws GpuError EINVAL. */
  setOutput(output: number, layout: OutputLayout | null): void;
  /** Shows the pictures elsewhere from now on, or nowhere. */
  setSink(sink: DisplaySink | null): void;
  /** What an output shows, as RGBA; null when it is off. Throws GpuError EINVAL. */
  screenshot(output?: number): Screenshot | null;
  /** The device's state as bytes. v86's own `save_state` holds it too: this is for who keeps the two apart. Throws GpuError EBUSY. */
  save(): Uint8Array;
  /** Takes on what {@link V86Gpu.save} gave, after v86's memory is as it was then. Throws GpuError EINVAL, having changed nothing. */
  restore(state: Uint8Array): void;
}

/**
 * Attaches a virtio-gpu to an emulator, best right after `new V86(...)`: the guest then finds it when it boots, and
 * `initial_state` and `restore_state` bring it back. On a machine that runs already the guest has to look again
 * (`echo 1 > /sys/bus/pci/rescan`). Throws GpuError EINVAL for options that can't be.
 */
export function attachVirtioGpu(emulator: V86Emulator, options: VirtioGpuOptions = {}): V86Gpu {
  return new AttachedGpu(emulator, options);
}

class AttachedGpu implements V86Gpu {
  readonly attached: Promise<void>;
  readonly device: VirtioGpuDevice;
  readonly #options: VirtioGpuOptions;
  #parts: { readonly virtio: VirtioDevice; readonly pci: PciFunction; readonly memory: V86Memory } | null = null;
  #line: InterruptLine | null = null;
  readonly #rescue: StaleDriverRescue | null;
  #asserted = false;
  /** What was told last: a sink that throws with every frame is reported once. */
  #told = "";

  constructor(emulator: V86Emulator, options: VirtioGpuOptions) {
    const { outputs = [{ width: 1024, height: 768 }], sink, tracer, device = {} } = options;
    this.#options = options;
    this.device = new VirtioGpuDevice({
      ...device,
      label: LABEL,
      outputs,
      tracer: this.#watch(tracer),
      ...(sink === undefined ? {} : { sink }),
    });
    if (typeof emulator?.add_listener !== "function") {
      throw new GpuError("EINVAL", "the first argument is an instance of v86's class V86");
    }
    this.#rescue = rescueOf(options.rescueStaleDrivers ?? false, this.#watch(tracer));
    this.attached = new Promise((resolve, reject) => {
      const attach = (): void => {
        try {
          this.#attach(openCpu(emulator));
          resolve();
        } catch (error) {
          // The listener runs inside of v86's start, which goes on without the device.
          reject(error instanceof Error ? error : new GpuError("EIO", String(error)));
        }
      };
      if (hasDevices(emulator)) attach();
      else emulator.add_listener("emulator-ready", attach);
    });
  }

  get outputs(): readonly DeviceOutput[] {
    return this.device.outputs;
  }

  get stopReason(): string | null {
    return this.#parts?.virtio.stopReason ?? null;
  }

  resize(output: number, width: number, height: number): void {
    const before = this.device.outputs[output];
    if (before === undefined) throw new GpuError("EINVAL", `there is no output ${output}`, { device: LABEL });
    const { refreshHz, widthMm, heightMm, name } = before;
    this.setOutput(output, { refreshHz, widthMm, heightMm, name, width, height });
  }

  setOutput(output: number, layout: OutputLayout | null): void {
    this.device.setOutput(output, layout);
  }

  setSink(sink: DisplaySink | null): void {
    this.device.setSink(sink);
  }

  screenshot(output: number = 0): Screenshot | null {
    return this.device.screenshot(output);
  }

  save(): Uint8Array {
    const { virtio, pci } = this.#requireParts();
    return packState({ virtio: virtio.save(), pci: pci.save(), kept: this.#rescue?.kept ?? null });
  }

  restore(state: Uint8Array): void {
    const { virtio, pci } = this.#requireParts();
    const fields = unpackState(state);
    const before = virtio.save();
    virtio.restore(field(fields, "virtio"));
    try {
      // The line follows, as far as its level is another than before.
      pci.restore(field(fields, "pci"));
    } catch (error) {
      virtio.restore(before);
      throw error;
    }
  }

  #attach(cpu: V86Cpu): void {
    const { slot, port = FIRST_PORT, hideVga = false } = this.#options;
    const { pci } = cpu.devices;
    const memory = new V86Memory(cpu, cpu.memory_size[0] ?? 0);
    const virtio = new VirtioDevice({
      model: this.device,
      memory,
      label: LABEL,
      tracer: this.#watch(this.#options.tracer),
      rescue: this.#rescue ?? undefined,
    });
    const pciFunction = new PciFunction({
      device: virtio,
      bars: "io",
      powerManagement: false,
      setInterruptLine: (asserted) => {
        this.#asserted = asserted;
        this.#line?.set(asserted);
      },
    });
    const place = { slot: slot ?? SLOTS.find((free) => pci.devices[free << 3] === undefined) ?? SLOTS[0], port };
    const pciSlot = new V86PciSlot(cpu, pciFunction, place, this.#guard);
    this.#parts = { virtio, pci: pciFunction, memory };
    this.#line = new InterruptLine(cpu, pciSlot.id, (work) => this.#guard(work, undefined));
    if (hideVga) {
      pci.devices[VGA_SLOT << 3] = undefined;
      pci.device_spaces[VGA_SLOT << 3] = undefined;
    }
    const reboot = cpu.reboot_internal.bind(cpu);
    cpu.reboot_internal = () => {
      this.#guard(() => pciFunction.busReset(), undefined);
      this.#rescue?.forget();
      reboot();
    };
    hookStates(cpu, {
      save: () => this.#saveWithMachine(),
      restore: (state) => this.#restoreWithMachine(state),
    });
  }

  /** Null, and a word about it, where the device can't be saved now: the machine's state is worth having without it. */
  #saveWithMachine(): Uint8Array | null {
    try {
      return this.save();
    } catch (error) {
      this.#tell(
        `the machine's state is saved without the GPU: ${error instanceof Error ? error.message : String(error)}`,
      );
      return null;
    }
  }

  /** v86 has taken its own state on: there is no way back, so a state without a good one of ours gets an empty device. */
  #restoreWithMachine(state: Uint8Array | null): void {
    this.#guard(() => {
      try {
        // v86 has restored its interrupt controller: what was known of the lines is over.
        this.#line?.restore(false);
        if (state === null) throw new GpuError("EINVAL", "the machine's saved state holds none of the GPU");
        this.restore(state);
        this.#line?.restore(this.#asserted);
      } catch (error) {
        const { virtio, pci } = this.#requireParts();
        pci.reset();
        virtio.needsReset("its saved state could not be taken on");
        this.#tell(error instanceof GpuError ? error.message : `the saved state can't be taken on: ${String(error)}`);
      }
    }, undefined);
  }

  readonly #guard: AccessGuard = (access, otherwise) => {
    try {
      return this.#line === null ? access() : this.#line.during(access);
    } catch (error) {
      this.#failed(error);
      return otherwise;
    } finally {
      this.#settle();
    }
  };

  #settle(): void {
    try {
      this.#parts?.memory.settle();
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Something of ours is broken: the guest is told that the device needs a reset, everybody else what happened. */
  #failed(error: unknown): void {
    const what = error instanceof Error ? error.message : String(error);
    this.#tell(`${LABEL} failed inside, the guest has to reset it: ${what}`);
    try {
      this.#parts?.virtio.needsReset(what);
    } catch (again) {
      this.#tell(`${LABEL}: it could not be stopped either: ${String(again)}`);
    }
  }

  #tell(sentence: string): void {
    if (sentence === this.#told) return;
    this.#told = sentence;
    try {
      if (this.#options.onProblem === undefined) console.error(sentence);
      else this.#options.onProblem(sentence);
    } catch {
      // Whoever is told of problems has one of his own.
    }
  }

  /** The embedder's tracer, with the device's complaints going to `onProblem` as well. */
  #watch(tracer: Tracer | undefined): Tracer {
    return {
      get enabled(): boolean {
        return true;
      },
      trace: (event) => {
        if (event.kind === "message" && (event.level === "error" || event.level === "warn")) this.#tell(event.text);
        if (tracer?.enabled === true) tracer.trace(event);
      },
    };
  }

  #requireParts(): { readonly virtio: VirtioDevice; readonly pci: PciFunction } {
    if (this.#parts === null) throw new GpuError("ENODEV", "the emulator is not ready yet", { device: LABEL });
    return this.#parts;
  }
}

/** Throws GpuError EINVAL for bytes that are no saved state. */
function rescueOf(choice: boolean | Uint8Array, tracer: Tracer): StaleDriverRescue | null {
  if (choice === false) return null;
  if (choice === true) return new StaleDriverRescue({ tracer });
  const saved = unpackState(choice);
  // A machine that never thawed has nothing kept: then what it had when it was switched off has to do.
  return new StaleDriverRescue({ seed: field(saved, "kept") ?? field(saved, "virtio"), tracer });
}

function field(fields: unknown, name: string): unknown {
  return typeof fields === "object" && fields !== null ? Reflect.get(fields, name) : undefined;
}
