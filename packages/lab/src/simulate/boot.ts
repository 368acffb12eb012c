/**
 * One boot of a simulated machine, from power-on to power-off: its memory, its host's process, a driver, the system's sleep
 * code. Nothing of it outlives the power, but what is on the disk: the next boot has a machine of its own.
 */
import { GpuError } from "@virtgpu/core/base";
import { type GpuBuffer, type RenderContext, VirtioGpu, type VirtioGpuOptions } from "@virtgpu/core/driver";
import { type DeviceOutput, MemoryRenderer, type VirtioGpuDeviceOptions } from "@virtgpu/core/device";
import { PAGE_BYTES, type Pages, type PagesRecord } from "@virtgpu/core/memory";
import { type SeededRandom, SimMachine } from "@virtgpu/core/sim";
import { type SleepPlatform, type SleepResult, SystemSleep } from "@virtgpu/core/sleep";
import { readPciCapabilities } from "@virtgpu/core/virtio";
import { generateEdid, PciPm, PciPmcsr, type PciPowerState } from "@virtgpu/core/wire";
import type { ImageFiles } from "../image/index.ts";
import { BootClock } from "./boot-clock.ts";
import { adoptContexts } from "./contexts.ts";
import { demand } from "./failure.ts";
import type { Guest } from "./guest.ts";
import { type FoundImage, removeImage, type Snapshot, writeSnapshot } from "./image.ts";
import { Lender } from "./lender.ts";
import type { MachineModel } from "./model.ts";
import { SimulatedPlatform } from "./platform.ts";
import type { Aside, HostPlan } from "./schedule.ts";

/** Twice what a driver and all buffers take. */
const RAM_BYTES = 192 * PAGE_BYTES;
/** A boot kernel's driver, with a small picture. */
const BOOT_BYTES = 17 * PAGE_BYTES;
const BOOT_PICTURE = { scanoutId: 0, width: 16, height: 16, colour: 0x00c0ffee } as const;
const QUEUE_SIZE = 32;

/** Something that was asked of the driver, and not yet answered. */
export interface Operation {
  readonly what: string;
  /** It may have to wait for a host that hangs. */
  readonly waitsForHost: boolean;
  readonly sinceMs: number;
}

/** What came of an operation that failed; `forgiven`: it may. */
export interface OperationEnds {
  readonly waitsForHost?: boolean;
  ok?(): void;
  failed?(error: GpuError): void;
  /** Whether this failure needs no cause. */
  forgives?(error: GpuError): boolean;
}

/** See the file's head. */
export class Boot {
  readonly guest: Guest;
  readonly sim: SimMachine;
  readonly clock: BootClock;
  readonly platform: SimulatedPlatform;
  readonly files: ImageFiles;
  readonly handles: Map<string, GpuBuffer> = new Map();
  readonly contexts: Map<string, RenderContext> = new Map();
  readonly lenders: Map<string, Lender> = new Map();
  readonly operations: Set<Operation> = new Set();
  system: SystemSleep;
  gpu: VirtioGpu | null = null;
  /** What happens at which step of the sleep that is under way. */
  asides: Aside[] = [];
  /** Steps that fail when they are next called. */
  readonly stepFaults: Set<string> = new Set();
  isSleeping: boolean = false;
  /** Restores that are not yet done to the last object. */
  restores: number = 0;
  isOver: boolean = false;
  /** The last image that was taken, and what the user believed then. */
  #snapshot: { readonly number: number; readonly snapshot: Snapshot; readonly model: MachineModel } | null = null;

  constructor(guest: Guest, files: ImageFiles, image: FoundImage | null) {
    this.guest = guest;
    this.files = files;
    this.clock = new BootClock(guest.clock);
    const { plan } = guest;
    this.sim = new SimMachine({
      clock: guest.clock,
      seed: guest.random.nextU32(),
      ramBytes: RAM_BYTES,
      bootBytes: plan.bootDriver ? BOOT_BYTES : PAGE_BYTES,
      iommu: plan.iommu,
      image: image?.ram,
      label: `machine${guest.index}`,
      transport: plan.transport,
      pci: { noSoftReset: plan.noSoftReset, interrupts: plan.polled ? "polled" : undefined },
      features: { packed: plan.packed, suspend: plan.suspend },
      device: deviceOf(guest.host, guest.random.fork("uuids")),
    });
    this.sim.host.commands.onStrike = (command, effect) => guest.noteStrike(command.type, effect.kind);
    this.platform = new SimulatedPlatform(this);
    this.system = this.#newSystem();
  }

  #newSystem(): SystemSleep {
    const platform: SleepPlatform = this.platform;
    return new SystemSleep({ platform, clock: this.clock, tracer: SILENT });
  }

  get gpuOptions(): VirtioGpuOptions {
    const { transport, allocator, dma } = this.sim;
    const policy = this.guest.plan.loses ? "lose" : "veto";
    return { transport, allocator, dma, clock: this.clock, queueSizeMax: QUEUE_SIZE, policy };
  }

  /** A driver takes the device. */
  async probe(): Promise<void> {
    const gpu = await VirtioGpu.probe(this.gpuOptions);
    this.#use(gpu);
  }

  #use(gpu: VirtioGpu): void {
    this.gpu = gpu;
    gpu.register(this.system);
  }

  /** The boot kernel shows its own picture, in a resource whose id is one of ours too, and goes without tidying up. */
  async bootUp(): Promise<void> {
    const { guest, sim } = this;
    guest.hasStrangers ||= guest.host.keeps;
    try {
      const driver = await sim.startBootDriver();
      await driver.lightUp({ ...BOOT_PICTURE, resourceId: guest.random.between(1, 6) });
    } catch (error) {
      // The host may be gone, or hang: then there is nothing to see.
      if (!(error instanceof GpuError)) throw error;
      demand(guest.isFaulty || this.isOver, `the boot kernel's driver does not start: ${error.message}`);
    }
  }

  /** A driver from an image, with the buffers of the user who was in it. */
  load({ gpu: saved, ram }: FoundImage): void {
    const { model } = this.guest;
    const gpu = VirtioGpu.load(this.gpuOptions, JSON.parse(saved));
    const unclaimed = new Set(gpu.unclaimed);
    for (const buffer of model.buffers.values()) {
      const isLost = buffer.lending === "ended";
      if (isLost) model.lostBefore.add(buffer.key);
      if (isLost || (buffer.isPending && !unclaimed.has(buffer.key))) {
        model.remove(buffer.key);
        continue;
      }
      demand(unclaimed.delete(buffer.key), `the image's driver knows nothing of "${buffer.key}"`);
      this.#adopt(gpu, buffer.key, ram.pages);
      if (buffer.lending === "away") buffer.lending = "lent";
      Object.assign(buffer, { isPending: false, stale: null, storage: this.handles.get(buffer.key)?.storage });
    }
    demand(unclaimed.size === 0, () => `the image's driver has more than its user: ${[...unclaimed].join(", ")}`);
    adoptContexts(model, this, gpu);
    this.#use(gpu);
  }

  #adopt(gpu: VirtioGpu, key: string, pages: readonly PagesRecord[]): void {
    const lent = this.guest.lent.get(key);
    const record = lent === undefined ? undefined : pages.find((each) => each.key === lent.pagesKey);
    if (lent === undefined || record === undefined) this.handles.set(key, gpu.adopt(key));
    else this.handles.set(key, gpu.adopt(key, this.#lender(key, this.sim.allocator.adopt(record), lent.byteLength)));
  }

  /** Memory that somebody lends. Throws GpuError ENOMEM. */
  lend(key: string, byteLength: number): Lender {
    return this.#lender(key, this.sim.allocator.allocate(Math.ceil(byteLength / PAGE_BYTES) * PAGE_BYTES), byteLength);
  }

  #lender(key: string, pages: Pages, byteLength: number): Lender {
    const lender = new Lender(this.sim, key, pages, byteLength);
    this.lenders.set(key, lender);
    this.guest.lent.set(key, { pagesKey: pages.key, byteLength });
    return lender;
  }

  // --- What is asked of the driver ---

  /** Follows an operation to its end: nobody may wait for ever, and nothing fails without a cause. */
  track(what: string, work: Promise<unknown>, ends: OperationEnds = {}): void {
    const operation: Operation = { what, waitsForHost: ends.waitsForHost ?? false, sinceMs: this.clock.nowMs() };
    this.operations.add(operation);
    work
      .then(
        () => {
          this.operations.delete(operation);
          if (!this.isOver) ends.ok?.();
        },
        (error: unknown) => {
          this.operations.delete(operation);
          if (this.isOver) return;
          if (!(error instanceof GpuError)) throw error;
          ends.failed?.(error);
          if (ends.forgives?.(error) === true) return;
          demand(
            this.guest.isDisturbed || this.guest.isPoor(error),
            () => `${what} failed without any cause: ${error.message}`,
          );
        },
      )
      .catch((error: unknown) => this.guest.fail(error));
  }

  // --- Sleep ---

  /** Something may be planned for this moment of a sleep. */
  atMoment(call: string): void {
    this.guest.noteMoment(call);
    const due = this.asides.filter((aside) => aside.call === call);
    this.asides = this.asides.filter((aside) => aside.call !== call);
    for (const { deed } of due) if (!this.isOver) this.guest.perform(deed);
  }

  /** Whether a step fails now, which it does once. */
  takeStepFault(call: string): boolean {
    if (!this.stepFaults.delete(call)) return false;
    if (call === "discard-image") this.guest.mayFindPast = true;
    this.guest.noteStepFault(call);
    return true;
  }

  takeSnapshot(): void {
    const { gpu, guest } = this;
    demand(gpu !== null, "no image without a driver");
    const snapshot = { ram: this.sim.snapshot(), gpu: JSON.stringify(gpu.save()) };
    this.#snapshot = { number: guest.newImageNumber(), snapshot, model: guest.model.clone() };
  }

  async writeImage(): Promise<void> {
    const taken = this.#snapshot;
    demand(taken !== null, "there is an image to write");
    this.guest.images.set(taken.number, taken.model);
    await writeSnapshot(this.files, taken.snapshot, taken.number);
  }

  /** The machine runs on: the next boot must not find the image. */
  async discardImage(): Promise<void> {
    try {
      await removeImage(this.files);
    } catch (error) {
      this.guest.mayFindPast = true;
      throw error;
    }
  }

  /** The image that this kernel wrote takes it over: memory is as it was then. */
  becomeSnapshot(): void {
    const taken = this.#snapshot;
    demand(taken !== null, "there is an image to become");
    const { frames, dma } = this.sim;
    const { bytes, pages } = taken.snapshot.ram;
    const kept = pages.filter(({ key, byteLength }) => frames.find(key)?.byteLength === byteLength);
    for (const { key, frames: old } of kept) {
      const target = frames.find(key);
      for (const [index, frame] of old.entries()) {
        target?.write(index * PAGE_BYTES, bytes.subarray(frame * PAGE_BYTES, (frame + 1) * PAGE_BYTES));
      }
    }
    for (const [key, { bytes: old }] of taken.model.buffers) {
      const now = this.guest.model.buffers.get(key);
      if (now === undefined) continue;
      now.bytes = old.slice();
      now.stale = { first: 0, end: now.size.height };
      now.paintings += 1;
    }
    // Contiguous pages may find no such place elsewhere.
    if (dma.mapped.length === 0) frames.moveFrames(kept.flatMap(({ key, contiguous }) => (contiguous ? [] : [key])));
  }

  /** What the bus does with the D-state of a function behind its driver. */
  setPowerState(state: PciPowerState): void {
    const { host } = this.sim;
    if (this.guest.plan.transport !== "pci" || !host.isOn) return;
    const { config } = host.function;
    const { power } = readPciCapabilities(config, host.label);
    if (power === null) return;
    const control = power + PciPm.CONTROL_STATUS;
    config.write16(control, (config.read16(control) & ~PciPmcsr.STATE_MASK) | state);
  }

  /** One operation of the sleep code, with all of its restores. */
  async operate(work: (system: SystemSleep) => Promise<SleepResult>): Promise<SleepResult | null> {
    this.isSleeping = true;
    let result: SleepResult;
    try {
      result = await work(this.system);
    } finally {
      this.isSleeping = false;
      this.asides = [];
      this.stepFaults.clear();
      this.platform.wakeup = false;
    }
    if (this.isOver) return null;
    this.restores += 1;
    void result.complete.then((reports) => {
      this.restores -= 1;
      // What a power-off overtook is the next kernel's to bring back.
      if (!this.isOver && result.outcome !== "off") this.guest.judge(reports);
    });
    return result;
  }

  /** The power is off: nothing of this boot does anything any more. */
  end(): void {
    this.isOver = true;
    this.clock.end();
    this.sim.host.transport.faults.gone = true;
    this.sim.powerOff();
    this.operations.clear();
  }
}

/** A device as a plan has it. */
export function deviceOf(host: HostPlan, random: SeededRandom): VirtioGpuDeviceOptions {
  return {
    outputs: host.outputs,
    blob: host.blob,
    edid: host.edid,
    keepResourcesOverReset: host.keeps,
    edidOf,
    ...(host.uuid ? { random } : {}),
    ...(host.renders ? { renderer: new MemoryRenderer() } : {}),
    ...(host.memoryBytes === null ? {} : { hostMemoryBytesMax: host.memoryBytes }),
  };
}

/** By size. There are few monitors, and many machines that they are plugged into. */
const edids: Map<string, Uint8Array> = new Map();

function edidOf({ width, height }: DeviceOutput): Uint8Array {
  const size = `${width}x${height}`;
  const edid = edids.get(size) ?? generateEdid({ width, height });
  edids.set(size, edid);
  return edid;
}

const SILENT = { enabled: false, trace: (): void => {} };
