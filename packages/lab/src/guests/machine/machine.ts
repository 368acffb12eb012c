/**
 * A machine: host, guest memory, our driver, the scene as its application, and the system's sleep code. It is switched on
 * with or without an image, and does what its supervisor orders.
 */
import { type Clock, GpuError, type PowerClient, type RestoreProgress, type Tracer } from "@virtgpu/core/base";
import { VirtioGpu, type VirtioGpuOptions } from "@virtgpu/core/driver";
import { type DmaMap, PAGE_BYTES, RamPageAllocator } from "@virtgpu/core/memory";
import { type DeviceReport, type SleepResult, SystemSleep } from "@virtgpu/core/sleep";
import { EmbeddedHost } from "../../hosts/embedded/embedded-host.ts";
import type { Hardware, HostGpu, MachineHost } from "../../hosts/machine.ts";
import type { ImageReader } from "../../image/index.ts";
import { createNodeClock } from "../../hosts/node-clock.ts";
import { QemuMachineHost, QemuMemory } from "../../hosts/qemu/qemu-machine.ts";
import { type Remembered, remember } from "../../scenarios/hibernate/compare.ts";
import { SLEEP_WAYS, type SleepWay } from "../../scenarios/hibernate/ways.ts";
import { Scene, type SceneParts } from "../../scenarios/scene/scene.ts";
import { parseSceneState } from "../../scenarios/scene/scene-state.ts";
import { UsageError } from "../../usage-error.ts";
import { commandFault, type Fault, faultPhase } from "./faults.ts";
import { discardSnapshot, type OpenSnapshot, readSnapshot, writeSnapshot } from "./image-store.ts";
import { takeInventory } from "./inventory.ts";
import { LabPlatform } from "./platform.ts";
import type { ImageSize, Inventory, Order, PhaseMark, Say, Slept } from "./protocol.ts";
import { alsoRecorded, notedGpu, recordMachine } from "./recording.ts";
import { type Snapshot, takeSnapshot, usedFrames } from "./snapshot.ts";
import { Timeline } from "./timeline.ts";

/** Shorter where something is planned to hang: nobody wants to wait for it. */
const IMPATIENT: NonNullable<VirtioGpuOptions["deadlines"]> = {
  commandMs: 400,
  resetMs: 400,
  freezeMs: 1500,
  policyMs: 5000,
};
/** How long a game goes on after the sleep began to wait for it. */
const GAME_MS = 600;

/** What a small disk holds: `--fault full-disk`. */
const DISK_BYTES = 64 << 10;

type OrderOf<Name extends Order["order"]> = Extract<Order, { order: Name }>;

/** See the file's head. */
export class Machine {
  readonly #say: Say;
  readonly #clock: Clock = createNodeClock();
  readonly #timeline: Timeline;
  /** What driver and sleep code are heard by. */
  readonly #tracer: Tracer;
  readonly #host: MachineHost;
  readonly #hostGpu: HostGpu;
  readonly #hardware: Hardware;
  readonly #allocator: RamPageAllocator;
  readonly #dma: DmaMap;
  readonly #faults: readonly Fault[];
  readonly #platform: LabPlatform;
  readonly #sleep: SystemSleep;
  #gpu: VirtioGpu | null = null;
  #scene: Scene | null = null;
  #snapshot: Snapshot | null = null;
  #image: ImageSize | null = null;
  #imagePath = "";
  #isHard = false;
  /** The image that this machine comes back from, until it may go on. */
  #reader: ImageReader | null = null;
  /** Why this machine must not go on. */
  #refusal: Error | null = null;
  #sleeps = 0;
  /** What there was when nothing ran any more. */
  #seen: Remembered | null = null;
  #phase: ReturnType<typeof faultPhase> = null;
  #commands = 0;
  #game: (() => void) | null = null;

  private constructor(host: MachineHost, { hardware, faults, trace, image }: OrderOf<"power-on">, say: Say) {
    this.#say = say;
    this.#host = host;
    this.#hardware = hardware;
    this.#faults = faults;
    this.#allocator = new RamPageAllocator(host.memory, host.usable);
    this.#dma = host.attach(this.#allocator);
    const [hostGpu] = host.gpus;
    if (hostGpu === undefined) throw new GpuError("ENODEV", "the machine has no GPU");
    const recorded = { host, hardware, dma: this.#dma, fromImage: image !== null };
    const recorder = trace === null ? null : recordMachine(trace, recorded, say);
    this.#hostGpu = notedGpu(hostGpu, recorder);
    this.#timeline = new Timeline({ phase: (mark) => this.#onPhase(mark), command: () => this.#onCommand() });
    this.#tracer = alsoRecorded(this.#timeline, recorder);
    this.#platform = new LabPlatform(this.#platformMachine());
    this.#sleep = new SystemSleep({ platform: this.#platform, clock: this.#clock, tracer: this.#tracer });
    // Registered first, so frozen last: what fails here fails with the GPU already down.
    this.#sleep.register(new OtherDriver(() => this.#platform.abort));
  }

  /** Switches a machine on. Without an image its guest boots and finds its device; with one it is restored and inspected. */
  static async powerOn(order: OrderOf<"power-on">, say: Say): Promise<{ machine: Machine; slept: Slept | null }> {
    const { hardware, image } = order;
    const qemuMemory = hardware.host === "qemu" ? new QemuMemory(hardware.ramBytes) : null;
    const embedded = qemuMemory === null ? new EmbeddedHost(hardware) : null;
    const memory = qemuMemory?.memory ?? embedded?.memory;
    if (memory === undefined) throw new GpuError("ENODEV", "there is no memory");
    const onProgress = (done: number, total: number): void =>
      void say({ message: "progress", what: "read image", done, total });
    const load = { machine: hardware.id, memory, isNew: true, onProgress };
    const saved = image === null ? null : await readSnapshot(image, load);
    let host: MachineHost | null = null;
    try {
      host = qemuMemory === null ? embedded : await QemuMachineHost.start(hardware, qemuMemory);
      if (host === null) throw new GpuError("ENODEV", "there is no host");
      const machine = new Machine(host, order, say);
      const slept = saved === null ? await machine.#boot(order) : await machine.#comeBack(order, saved);
      return { machine, slept };
    } catch (error) {
      await host?.stop();
      throw error;
    } finally {
      await saved?.reader.close();
    }
  }

  /** Does what it is told; what it came to is in the answer. */
  async obey(
    order: Exclude<Order, { order: "power-on" | "off" }>,
  ): Promise<Partial<{ slept: Slept; inventory: Inventory }>> {
    switch (order.order) {
      case "draw":
        await this.#draw(order);
        return {};
      case "sleep":
        return { slept: await this.#goToSleep(order) };
      case "look":
        return { inventory: await this.#look(order.shows) };
      case "flow":
        await this.#running.scene.show(order.frames);
        return {};
    }
  }

  /** Switches it off, whatever it is doing. */
  async stop(): Promise<void> {
    await this.#host.stop();
  }

  get #running(): { readonly gpu: VirtioGpu; readonly scene: Scene } {
    if (this.#gpu === null || this.#scene === null) throw new GpuError("ENODEV", "nothing was drawn on this machine");
    return { gpu: this.#gpu, scene: this.#scene };
  }

  // --- Power on ---

  async #boot({ policy }: OrderOf<"power-on">): Promise<null> {
    this.#gpu = await VirtioGpu.probe({ ...this.#driverOptions(), policy });
    this.#gpu.register(this.#sleep);
    return null;
  }

  async #comeBack({ policy }: OrderOf<"power-on">, saved: OpenSnapshot): Promise<Slept> {
    const gpu = VirtioGpu.load({ ...this.#driverOptions(), policy }, saved.gpu);
    this.#gpu = gpu;
    gpu.register(this.#sleep);
    this.#scene = Scene.adopt(this.#sceneParts(gpu), parseSceneState(saved.scene));
    if (this.#has("damage-page")) this.#damagePage();
    this.#timeline.record();
    this.#reader = saved.reader;
    const slept = await this.#outcome(await this.#sleep.continueFromImage());
    this.#reader = null;
    if (this.#refusal !== null) throw this.#refusal;
    if (this.#has("forget-object")) this.#forgetObject();
    return slept;
  }

  #driverOptions(): VirtioGpuOptions {
    const { faults } = { faults: this.#faults };
    return {
      transport: this.#hostGpu.connect(),
      clock: this.#clock,
      allocator: this.#allocator,
      dma: this.#dma,
      tracer: this.#tracer,
      ...(faults.length > 0 ? { deadlines: IMPATIENT } : {}),
    };
  }

  #sceneParts(gpu: VirtioGpu): SceneParts {
    return { gpu, allocator: this.#allocator, dma: this.#dma, clock: this.#clock };
  }

  // --- Orders ---

  async #draw({ outputs, objects, game }: OrderOf<"draw">): Promise<void> {
    const gpu = this.#gpu;
    if (gpu === null) throw new GpuError("ENODEV", "the machine is off");
    const total = objects;
    this.#scene = await Scene.draw(this.#sceneParts(gpu), { outputs, objects }, (done) => {
      void this.#say({ message: "progress", what: "draw", done: Math.min(done, total), total });
    });
    if (game) await this.#startGame(gpu);
    const kinds = [...new Set(this.#scene.objects.map(({ kind }) => kind))];
    const { name, version, label } = this.#host;
    await this.#say({ message: "host", name, version, label, kinds });
    this.#scene.run();
  }

  /** A program that renders on the host's GPU: a used context, which no sleep can bring back. */
  async #startGame(gpu: VirtioGpu): Promise<void> {
    const context = await gpu.rendering.createContext({ name: "a game", key: "a game" });
    await context.submit(Uint8Array.of(0, 0, 0, 0));
    this.#game = (): void => context.destroy();
  }

  async #goToSleep({ way: name, hard, image }: OrderOf<"sleep">): Promise<Slept> {
    const way = SLEEP_WAYS[name];
    if (way === undefined) throw new UsageError(`there is no way to sleep called "${name}"`);
    this.#imagePath = image;
    this.#isHard = hard;
    this.#platform.abort = way.abort;
    this.#timeline.record();
    const { gpu, scene } = this.#running;
    scene.run();
    if (this.#game !== null && gpu.policy === "wait") this.#clock.after(GAME_MS, this.#game);
    if (this.#game !== null && gpu.policy === "lose") {
      await this.#say({ message: "note", text: "the game goes on, and what it rendered is let go (--policy lose)" });
    }
    let result = await way.run(this.#sleep);
    if (this.#game !== null && gpu.policy === "veto" && isVetoed(result)) {
      await this.#say({ message: "note", text: `vetoed: ${result.failures[0]?.error.message ?? ""}` });
      this.#game();
      this.#game = null;
      await this.#say({ message: "note", text: "the game has ended; once more" });
      scene.run();
      result = await way.run(this.#sleep);
    }
    this.#platform.abort = null;
    return this.#afterwards(way, await this.#outcome(result));
  }

  /** What hung answers again, and whoever is left without a device gets it back. */
  async #afterwards(way: SleepWay, slept: Slept): Promise<Slept> {
    if (slept.outcome === "off" || this.#faults.length === 0) return slept;
    this.#host.release();
    const { gpu } = this.#running;
    if (gpu.state === "lost" || gpu.isHung || slept.outcome !== way.outcome) await gpu.recover();
    return slept;
  }

  async #look(shows: boolean): Promise<Inventory> {
    const { gpu, scene } = this.#running;
    await scene.stop();
    const parts = { host: this.#host, hostGpu: this.#hostGpu, gpu, scene };
    return takeInventory(parts, shows, (done, total) => {
      void this.#say({ message: "progress", what: "look", done, total });
    });
  }

  async #outcome(result: SleepResult): Promise<Slept> {
    const reports = await result.complete;
    return {
      outcome: result.outcome,
      failures: result.failures.map(({ device, phase, error }) => ({ device, phase, message: error.message })),
      reports: lastReports(reports).map(({ device, report, error }) => ({
        device,
        restored: report?.restored ?? 0,
        outputs: report?.outputs ?? 0,
        lost: [...(report?.lost ?? [])],
        error: error?.message ?? null,
      })),
      commands: [...this.#timeline.take()],
      image: this.#image,
      timeToPictureMs: this.#timeline.timeToPictureMs,
      timeToCompleteMs: this.#timeline.timeToCompleteMs,
    };
  }

  // --- What the platform does ---

  #platformMachine(): ConstructorParameters<typeof LabPlatform>[0] {
    return {
      stopTasks: () => this.#running.scene.stop(),
      thawTasks: () => this.#useImage(),
      frozen: () => this.#tellWhatThereIs(),
      takeSnapshot: () => this.#takeSnapshot(),
      writeImage: () => this.#writeImage(),
      discardImage: () => discardSnapshot(this.#imagePath),
      openImage: async () => {},
      loadImage: () => this.#loadImage(),
      dropSnapshot: () => {
        this.#snapshot = null;
      },
      sleep: async (target) => {
        if (this.#isHard) await this.#losePower();
        return this.#host.sleep(target);
      },
      powerOff: async (mode) => {
        if (this.#isHard) await this.#losePower();
        await this.#host.powerOff(mode);
      },
    };
  }

  /** From here on the image is of the past. One whose pictures did not come back stays as good as it was. */
  async #useImage(): Promise<void> {
    if (this.#reader === null) return;
    try {
      if (this.#gpu?.state !== "running") {
        throw this.#gpu?.error ?? new GpuError("ENODEV", "the GPU did not come back from the image");
      }
      await this.#reader.consume();
    } catch (error) {
      this.#refusal = error instanceof Error ? error : new Error(String(error));
      throw error;
    }
  }

  async #tellWhatThereIs(): Promise<void> {
    const inventory = await this.#look(false);
    this.#seen = remember(inventory);
    await this.#say({ message: "frozen", inventory, frames: this.#running.scene.frames });
  }

  #takeSnapshot(): void {
    const { gpu, scene } = this.#running;
    const seen = this.#seen ?? { outputs: [], cursors: [], objects: [] };
    const state = { hardware: this.#hardware, seen, scene: scene.save(), gpu: gpu.save() };
    this.#snapshot = takeSnapshot(this.#host.memory, this.#allocator, state);
  }

  async #writeImage(): Promise<void> {
    if (this.#snapshot === null) throw new GpuError("EINVAL", "there is no snapshot to write");
    this.#sleeps += 1;
    const disk = this.#faults.find(({ kind }) => kind === "full-disk");
    this.#image = await writeSnapshot(this.#imagePath, this.#host.memory, this.#snapshot, {
      identity: { machine: this.#hardware.id, generation: this.#sleeps },
      onProgress: (done, total) => void this.#say({ message: "progress", what: "write image", done, total }),
      diskBytes: disk === undefined ? null : (disk.number ?? DISK_BYTES),
    });
  }

  /** In the kernel that wrote it: what memory held since is gone first, so that all comes from the image. */
  async #loadImage(): Promise<void> {
    const blank = new Uint8Array(PAGE_BYTES).fill(0xdb);
    for (const frame of usedFrames(this.#allocator)) this.#host.memory.write(frame * PAGE_BYTES, blank);
    const load = { machine: this.#hardware.id, memory: this.#host.memory, isNew: false, onProgress: () => {} };
    const { reader } = await readSnapshot(this.#imagePath, load);
    await reader.consume();
    await reader.close();
  }

  /** Says that the power may go, and waits for it to do so. */
  async #losePower(): Promise<never> {
    await this.#say({ message: "power-off" });
    // The timer keeps the process there until it is killed.
    return new Promise<never>(() => setInterval(() => {}, 60_000));
  }

  // --- Faults ---

  #onPhase(mark: PhaseMark): void {
    void this.#say({ message: "phase", phase: mark });
    if (mark.state !== "begin") return;
    const phase = faultPhase(mark.phase);
    if (phase === null) return;
    this.#phase = phase;
    this.#commands = 0;
    for (const fault of this.#faults) {
      const planned = fault.phase === phase ? commandFault(fault) : null;
      if (planned !== null) this.#hostGpu.faults?.inject(planned);
    }
  }

  #onCommand(): void {
    this.#commands += 1;
    const isDue = this.#faults.some(
      ({ kind, phase, number }) => kind === "kill-host" && phase === this.#phase && (number ?? 1) === this.#commands,
    );
    if (isDue) void this.#host.kill();
  }

  #has(kind: string): boolean {
    return this.#faults.some((fault) => fault.kind === kind);
  }

  /** One bit of an off-screen buffer's memory is another than it was. */
  #damagePage(): void {
    const hidden = this.#running.scene.objects.find(({ kind, isShown }) => kind === "image" && !isShown);
    const pages = hidden?.buffer;
    if (pages === null || pages === undefined) return;
    const byte = new Uint8Array(1);
    pages.read(100, byte);
    pages.write(100, Uint8Array.of((byte[0] ?? 0) ^ 1));
  }

  #forgetObject(): void {
    const hidden = this.#running.scene.objects.find(({ kind, isShown }) => kind === "image" && !isShown);
    if (hidden !== undefined) this.#hostGpu.forget?.(hidden.id);
  }
}

/** A driver of something else, which fails when that is planned. */
class OtherDriver implements PowerClient {
  readonly name: string = "disk0";
  readonly #abort: () => LabPlatform["abort"];

  constructor(abort: () => LabPlatform["abort"]) {
    this.#abort = abort;
  }

  async notify(event: string): Promise<void> {
    if (this.#abort() === "prepare" && event.endsWith("_PREPARE")) {
      throw new GpuError("EPERM", "it is in use, as planned", { device: this.name });
    }
  }

  async freeze(): Promise<void> {
    if (this.#abort() === "freeze") throw new GpuError("EIO", "it can't be frozen, as planned", { device: this.name });
  }

  restore(): RestoreProgress {
    return { picture: Promise.resolve(), complete: Promise.resolve({ restored: 0, lost: [], outputs: 0 }) };
  }

  async shutdown(): Promise<void> {}
}

function isVetoed({ outcome, failures }: SleepResult): boolean {
  return outcome === "aborted" && failures[0]?.error.code === "EPERM";
}

/** A device that was restored twice has two; the last one counts. */
function lastReports(reports: readonly DeviceReport[]): readonly DeviceReport[] {
  const last = new Map(reports.map((report) => [report.device, report]));
  return [...last.values()].filter(({ device }) => device !== "disk0");
}
