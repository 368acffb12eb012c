/**
 * One thing that happens at one step of a sleep: a desktop on a simulated machine, a model of what its user believes, and
 * a cycle of freeze and restore into which an operation falls. A step is a command, as the host sees it, or a link of
 * the chain of promises: between two of them nothing else can come in.
 *
 * The model knows buffers with their bytes, outputs and a cursor. It knows no driver, no host and no sleep: an operation
 * changes it at once, a sleep never does.
 */
import { expect } from "vitest";
import type { FreezeMessage, RestoreMessage } from "../../src/base/power.ts";
import { GpuError } from "../../src/base/errors.ts";
import type { SavedResource } from "../../src/device/index.ts";
import type { GpuBuffer } from "../../src/driver/index.ts";
import { CURSOR_SIZE, Format } from "../../src/wire/index.ts";
import { commandName } from "../../src/wire/names.ts";
import { DriverBench, rgbaOf } from "./driver-bench.ts";
import { FakeExporter, SCENE_DEVICE } from "./scene.ts";

/** What a user, a monitor or a system does. */
export const OPERATIONS = ["free", "create", "import", "flip", "flush", "cursor", "hotplug", "remove"] as const;

/** See {@link OPERATIONS}. */
export type Operation = (typeof OPERATIONS)[number];

/** Targets that an operation may have, at most. */
export const TARGETS_MAX = 5;

/** A way to sleep: what is put down and brought back, and whether the host is another one in between. */
export interface Way {
  readonly name: string;
  readonly halves: readonly { readonly freeze: FreezeMessage; readonly restore: RestoreMessage }[];
  /** The host is replaced before the last restore. */
  readonly newHost: boolean;
}

const HIBERNATION: Way = { name: "hibernation", halves: [{ freeze: "FREEZE", restore: "RESTORE" }], newHost: true };

/** Hibernation in the image's time line, in the other one to its end, an aborted one, and suspend to RAM. */
export const WAYS: readonly Way[] = [
  HIBERNATION,
  { name: "aborted hibernation", halves: [{ freeze: "FREEZE", restore: "THAW" }], newHost: false },
  {
    name: "hibernation and power-off",
    halves: [
      { freeze: "FREEZE", restore: "THAW" },
      { freeze: "HIBERNATE", restore: "RESTORE" },
    ],
    newHost: true,
  },
  { name: "suspend on a host that keeps all", halves: [{ freeze: "SUSPEND", restore: "RESUME" }], newHost: false },
  { name: "suspend on a host that is reset", halves: [{ freeze: "SUSPEND", restore: "RESUME" }], newHost: true },
];

/** Where in a cycle something happens: at the k-th command or link, from 1. */
export interface Moment {
  readonly unit: "command" | "link";
  readonly at: number;
}

/** Milliseconds after which a slow host answers. */
const SLOW_MS = 1;
/** Links of promises that no cycle takes. */
const LINKS_MAX = 100_000;

interface Held {
  readonly handle: GpuBuffer;
  readonly bytes: Uint8Array;
  readonly exporter: FakeExporter | null;
}

/** Bytes that no other buffer or seed has. */
function pattern(byteLength: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(byteLength);
  for (let at = 0; at < byteLength; at += 1) bytes[at] = (at * 7 + (at >> 8) * 3 + seed * 41) & 0xff;
  return bytes;
}

/** An operation that happens once. */
class Deed {
  readonly moment: Moment;
  /** Resolves when it has come to an end, good or bad. */
  readonly done: Promise<void>;
  failure: Error | null = null;
  readonly #perform: () => Promise<void>;
  #end: () => void = () => {};
  #hasBegun = false;

  constructor(moment: Moment, perform: () => Promise<void>) {
    this.moment = moment;
    this.#perform = perform;
    this.done = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  happen(): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    const failed = (error: unknown): void => {
      this.failure = error instanceof Error ? error : new Error(String(error));
    };
    void this.#perform().catch(failed).finally(this.#end);
  }
}

/** See the file's head. */
export class InterleavedDesktop {
  readonly bench: DriverBench;
  readonly #held: Map<string, Held> = new Map();
  readonly #outputs: (string | null)[] = [null, null];
  /** Lenders whose buffer was freed. */
  #givenBack: FakeExporter[] = [];
  #cursor: { name: string | null; x: number; y: number } = { name: null, x: 0, y: 0 };
  #isRemoved = false;
  #isFreed = false;
  #made = 0;
  #named = 0;

  readonly #isSlow: boolean;

  private constructor(bench: DriverBench, isSlow: boolean) {
    this.bench = bench;
    this.#isSlow = isSlow;
  }

  /** A desktop on a fast host, or on one that answers every command a millisecond later over rings of eight entries. */
  static async start(isSlow: boolean): Promise<InterleavedDesktop> {
    const bench = await DriverBench.start({
      ramBytes: 768 << 10,
      bootBytes: 4096,
      device: SCENE_DEVICE,
      features: { suspend: true },
      watchDma: isSlow,
      ...(isSlow ? { gpu: { queueSizeMax: 8 } } : {}),
    });
    const desktop = new InterleavedDesktop(bench, isSlow);
    await bench.run(desktop.#draw());
    if (isSlow) bench.host.commands.inject({ times: Infinity, effect: { kind: "slow", ms: SLOW_MS } });
    bench.host.log.clear();
    return desktop;
  }

  /** Draws what there should be and is not; shows and points at it as in the beginning. */
  async #draw(): Promise<void> {
    const create = async (name: string, width: number, height: number, storage: "image" | "blob"): Promise<void> => {
      if (!this.#has(name)) await this.#create(name, width, height, storage);
    };
    await create("left", 32, 16, "image");
    await create("spare", 32, 16, "image");
    await create("right", 16, 16, "blob");
    await create("pointer", CURSOR_SIZE, CURSOR_SIZE, "image");
    await create("other pointer", CURSOR_SIZE, CURSOR_SIZE, "image");
    if (!this.#has("lent")) await this.#import("lent");
    await this.#show(0, "left");
    await this.#show(1, "right");
    await this.#point("pointer", 3, 4);
  }

  /** Frees what operations made, makes again what they freed, and forgets what was written down: for a long life. */
  async tidyUp(): Promise<void> {
    const { bench } = this;
    for (const name of this.#held.keys()) if (/ \d+$/.test(name)) await this.#free(name);
    await bench.machine.clock.settle();
    for (const exporter of this.#givenBack.splice(0)) {
      expect(exporter.mapped, "mappings of memory that was given back").toBe(0);
      bench.machine.allocator.free(exporter.pages);
    }
    await bench.run(this.#draw());
    bench.host.log.clear();
    bench.machine.recorder.clear();
    bench.host.commands.forgetLog();
    bench.machine.allocator.forgetHistory();
  }

  // --- Operations: the model at once, the driver with it ---

  /**
   * Performs one; rejects with what the driver says. `turn`: which of several targets it takes. What the user does not have
   * any more he does nothing with.
   */
  async perform(operation: Operation, turn: number): Promise<void> {
    if (this.#isRemoved) return;
    const pick = <T extends string | null>(targets: readonly [T, ...T[]]): T =>
      targets[turn % targets.length] ?? targets[0];
    switch (operation) {
      case "free":
        return this.#free(pick(["left", "pointer", "lent", "right", "spare"]));
      case "create":
        return this.#create(this.#name("made"), 24, 16, pick<"image" | "blob">(["image", "blob"]));
      case "import":
        return this.#import(this.#name("lent"));
      case "flip":
        return turn % 2 === 0 ? this.#show(0, "spare") : this.#show(1, "lent");
      case "flush":
        return this.#paint(pick(["left", "right", "spare"]));
      case "cursor":
        return this.#point(pick<string | null>(["other pointer", "pointer", null]), 9 + turn, 8);
      case "hotplug":
        return this.#plug(turn);
      case "remove":
        this.#isRemoved = true;
        return this.bench.gpu.remove();
    }
  }

  #name(kind: string): string {
    this.#named += 1;
    return `${kind} ${this.#named}`;
  }

  #has(name: string): boolean {
    return this.#held.has(name);
  }

  #get(name: string): Held {
    const held = this.#held.get(name);
    if (held === undefined) throw new GpuError("ENODEV", `the user has no "${name}"`);
    return held;
  }

  async #create(name: string, width: number, height: number, storage: "image" | "blob"): Promise<void> {
    // A cursor's picture has an alpha channel.
    const format = width === CURSOR_SIZE ? Format.B8G8R8A8 : Format.B8G8R8X8;
    const handle = await this.bench.gpu.createBuffer({ width, height, storage, format });
    this.#made += 1;
    this.#held.set(name, { handle, bytes: new Uint8Array(handle.byteLength), exporter: null });
    await this.#paint(name);
  }

  async #import(name: string): Promise<void> {
    const exporter = new FakeExporter(this.bench, name, 32 * 16 * 4);
    this.#made += 1;
    exporter.paint(this.#made);
    const bytes = new Uint8Array(exporter.byteLength);
    exporter.pages.read(0, bytes);
    const handle = await this.bench.gpu.importBuffer(exporter, { width: 32, height: 16 });
    this.#held.set(name, { handle, bytes, exporter });
  }

  async #paint(name: string): Promise<void> {
    if (!this.#has(name)) return;
    const { handle, bytes } = this.#get(name);
    this.#made += 1;
    bytes.set(pattern(bytes.length, this.#made));
    handle.write(0, bytes);
    await handle.flush();
  }

  async #show(output: number, name: string): Promise<void> {
    if (!this.#has(name)) return;
    const { handle } = this.#get(name);
    this.#outputs[output] = name;
    await this.bench.gpu.output(output).show(handle);
  }

  async #point(name: string | null, x: number, y: number): Promise<void> {
    if (name !== null && !this.#has(name)) return;
    const { cursor } = this.bench.gpu.output(0);
    this.#cursor = { name, x, y };
    if (name === null) return cursor.hide();
    await Promise.all([cursor.set(this.#get(name).handle), cursor.move(x, y)]);
  }

  async #free(name: string): Promise<void> {
    if (!this.#has(name)) return;
    const held = this.#get(name);
    this.#held.delete(name);
    if (held.exporter !== null) this.#givenBack.push(held.exporter);
    this.#isFreed = true;
    this.#outputs.forEach((shown, output) => {
      if (shown === name) this.#outputs[output] = null;
    });
    if (this.#cursor.name === name) this.#cursor.name = null;
    held.handle.destroy();
  }

  #plug(turn: number): void {
    const { host } = this.bench;
    if (host.isOn) host.device.setOutput(1, turn % 2 === 0 ? { width: 40, height: 30 } : null);
  }

  // --- Sleeping ---

  /** Sleeps and wakes, and performs what is planned on the way; gives what the host saw, and the links it took. */
  async cycle(
    way: Way,
    plan: readonly { readonly moment: Moment; readonly operation: Operation; readonly turn: number }[],
  ): Promise<{ readonly commands: readonly string[]; readonly links: number }> {
    const { bench } = this;
    const before = bench.host.commands.count;
    const deeds = plan.map(({ moment, operation, turn }) => new Deed(moment, () => this.perform(operation, turn)));
    const atCommands = deeds.filter(({ moment }) => moment.unit === "command");
    bench.host.commands.onStrike = ({ sequence }) => {
      for (const deed of atCommands) if (deed.moment.at === sequence - before) deed.happen();
    };
    for (const deed of deeds) if (deed.moment.unit === "link") void afterLinks(deed.moment.at, () => deed.happen());
    let isOver = false;
    const links = this.#isSlow ? Promise.resolve(0) : countLinks(() => isOver);
    const sleep = this.#sleep(way).finally(() => {
      isOver = true;
    });
    await bench.run(Promise.all([sleep, links]));
    const commands = bench.host.commands.log(before).map(({ type }) => commandName(type));
    // What was planned for behind the cycle's end happens now.
    for (const deed of deeds) deed.happen();
    await bench.run(Promise.all(deeds.map(({ done }) => done)));
    for (const { failure } of deeds) if (failure !== null && !this.#mayHear(failure)) throw failure;
    return { commands, links: await links };
  }

  /** Nobody hears of a failure, but that the device was removed, or that what he used was freed meanwhile. */
  #mayHear(failure: Error): boolean {
    if (!(failure instanceof GpuError)) return false;
    return (this.#isRemoved && failure.code === "ENODEV") || (this.#isFreed && failure.code === "ECANCELED");
  }

  async #sleep({ halves, newHost }: Way): Promise<void> {
    const { bench } = this;
    const { power } = bench.gpu;
    for (const [index, { freeze, restore }] of halves.entries()) {
      try {
        await power.freeze(freeze);
        if (newHost && index === halves.length - 1) bench.replaceHost();
        const { picture, complete } = power.restore(restore);
        await picture;
        const report = await complete;
        expect(report.lost, "what the restore calls lost").toEqual([]);
      } catch (error) {
        if (!(this.#isRemoved && isGone(error))) throw error;
        return;
      }
    }
  }

  // --- What must be true ---

  /** The host shows and holds what the user believes, and nothing else; and heard nothing that it had to refuse. */
  async check(): Promise<void> {
    const { bench } = this;
    await bench.machine.clock.advance(50);
    bench.machine.assertClean();
    bench.expectNoErrors();
    if (this.#isRemoved) return this.#checkRemoved();
    expect(bench.gpu.state).toBe("running");
    const saved = bench.host.device.save();
    const ids = [...this.#held.values()].map(({ handle }) => handle.id);
    expect(saved.resources.map(({ id }) => id).sort((a, b) => a - b)).toEqual(ids.sort((a, b) => a - b));
    for (const [name, held] of this.#held) {
      const resource = saved.resources.find(({ id }) => id === held.handle.id);
      this.#checkHeld(name, held, resource);
    }
    this.#outputs.forEach((name, output) => this.#checkOutput(name, output));
    this.#checkCursor(saved.cursors[0]);
    bench.host.device.outputs.forEach(({ enabled, width, height }, output) => {
      const { connector } = bench.gpu.output(output);
      expect([output, connector.connected], "monitors").toEqual([output, enabled]);
      if (enabled) expect([connector.width, connector.height]).toEqual([width, height]);
    });
  }

  #checkHeld(name: string, { handle, bytes, exporter }: Held, resource: SavedResource | undefined): void {
    const guest = new Uint8Array(bytes.length);
    if (exporter === null) handle.read(0, guest);
    else exporter.pages.read(0, guest);
    expect(Buffer.compare(guest, bytes), `the guest's memory of "${name}"`).toBe(0);
    expect(resource?.entries.length, `backing of "${name}"`).toBeGreaterThan(0);
    if (exporter !== null) expect(exporter.mapped, `mappings of "${name}"`).toBe(1);
    if (resource?.kind === "2d") expect(Buffer.compare(resource.pixels ?? bytes, bytes), `"${name}"`).toBe(0);
  }

  #checkOutput(name: string | null, output: number): void {
    const shot = this.bench.host.device.screenshot(output);
    if (name === null) return expect(shot, `output ${output} is off`).toBeNull();
    const { handle, bytes, exporter } = this.#get(name);
    expect([shot?.width, shot?.height], `output ${output}`).toEqual([handle.width, handle.height]);
    // The bytes were compared with the model's already; an import's can't be read by way of its buffer.
    const wanted = exporter === null ? rgbaOf(handle) : rgbaOfBytes(bytes);
    expect(Buffer.compare(shot?.rgba ?? new Uint8Array(), wanted), `the picture on output ${output}`).toBe(0);
  }

  #checkCursor(seen: { visible: boolean; x: number; y: number; rgba: Uint8Array } | undefined): void {
    const { name, x, y } = this.#cursor;
    expect(seen?.visible, "the cursor is shown").toBe(name !== null);
    if (name === null) return;
    expect([seen?.x, seen?.y], "the cursor's place").toEqual([x, y]);
    const { bytes } = this.#get(name);
    expect(seen?.rgba.every((value, at) => value === bytes[at % 4 === 3 ? at : at + 2 - 2 * (at % 4)])).toBe(true);
  }

  async #checkRemoved(): Promise<void> {
    const { machine } = this.bench;
    expect(this.bench.gpu.state).toBe("removed");
    machine.dma.assertBalanced();
    expect(machine.clock.timers, "timers").toBe(0);
  }

  /** Sleeps once more without anything on the way, is removed, and has left nothing anywhere. */
  async checkEnd(): Promise<void> {
    const { bench } = this;
    if (!this.#isRemoved) {
      await bench.run(this.#sleep(HIBERNATION));
      await this.check();
      this.#isRemoved = true;
      await bench.run(bench.gpu.remove());
      await bench.machine.clock.settle();
      await this.check();
    }
    for (const held of this.#held.values()) expect(held.exporter?.mapped ?? 0, "mappings of an import").toBe(0);
  }
}

function isGone(error: unknown): boolean {
  return error instanceof GpuError && error.code === "ENODEV";
}

/** B8G8R8X8 as red, green, blue, opaque. */
function rgbaOfBytes(bytes: Uint8Array): Uint8Array {
  return bytes.map((_, at) => (at % 4 === 3 ? 0xff : (bytes[at + 2 - 2 * (at % 4)] ?? 0)));
}

async function afterLinks(links: number, happen: () => void): Promise<void> {
  for (let link = 1; link < links; link += 1) await Promise.resolve();
  happen();
}

async function countLinks(isOver: () => boolean): Promise<number> {
  let links = 0;
  for (; !isOver() && links < LINKS_MAX; links += 1) await Promise.resolve();
  return links;
}
