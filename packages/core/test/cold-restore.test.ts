/**
 * A hibernation that a new process comes back from: it gets the memory image and the saved state of the driver, on a host
 * that knows nothing, and nothing else. The states are JSON, as a file would hold them; hostile ones are refused whole.
 */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GpuError } from "../src/base/errors.ts";
import { MemoryRenderer } from "../src/device/index.ts";
import { DesiredState } from "../src/driver/desired/desired-state.ts";
import { backingOf } from "../src/driver/desired/objects.ts";
import { loadState } from "../src/driver/desired/saved-state.ts";
import { type SavedState, VirtioGpu } from "../src/driver/index.ts";
import type { SimHost } from "../src/sim/sim-host.ts";
import { type RamImage, SimMachine } from "../src/sim/sim-machine.ts";
import { Format } from "../src/wire/index.ts";
import { type BenchOptions, DriverBench } from "./support/driver-bench.ts";
import { FakeExporter, SCENE_DEVICE, expectHeld } from "./support/scene.ts";

const OPTIONS: BenchOptions = {
  ramBytes: 4 << 20,
  device: { ...SCENE_DEVICE, renderer: new MemoryRenderer() },
  gpu: { policy: "lose" },
};
const TEXTURE = {
  target: 2,
  format: 1,
  bind: 2,
  width: 16,
  height: 16,
  depth: 1,
  arraySize: 1,
  lastLevel: 0,
  sampleCount: 0,
  flags: 0,
};
const LENT_BYTES = 32 * 32 * 4;

/** What a hibernation leaves: plain data. */
interface Image {
  readonly ram: RamImage;
  readonly states: readonly SavedState[];
}

/** Every kind of object, each with a key. */
async function drawEverything(bench: DriverBench): Promise<void> {
  const { gpu } = bench;
  await bench.show(0, 64, 48, { key: "left" });
  await bench.show(1, 32, 32, { key: "right", storage: "blob", format: Format.R8G8B8X8 });
  const cursor = await bench.buffer(64, 64, { key: "arrow", format: Format.B8G8R8A8 });
  await bench.run(gpu.output(0).cursor.set(cursor, { x: 5, y: 7 }));
  await bench.run(gpu.output(0).cursor.move(-3, 10));
  const detached = await bench.buffer(32, 32, { key: "detached" });
  await bench.run(detached.detach());
  await bench.buffer(48, 16);
  const exporter = new FakeExporter(bench, "lent", LENT_BYTES);
  exporter.paint(3);
  await bench.run(gpu.importBuffer(exporter, { width: 32, height: 32, key: "imported" }));
  await bench.run(gpu.rendering.createContext({ name: "unused", key: "ready" }));
  const used = await bench.run(gpu.rendering.createContext({ name: "a game", key: "game" }));
  await bench.run(gpu.rendering.createResource(used, TEXTURE, { key: "texture" }));
  await bench.run(used.submit(Uint8Array.of(0, 0, 0, 0)));
}

/** Freezes, keeps what an image holds, and is gone. */
async function powerOff(bench: DriverBench, gpus: readonly VirtioGpu[] = [bench.gpu]): Promise<Image> {
  for (const gpu of gpus) await bench.run(gpu.power.freeze("FREEZE"));
  const ram = bench.machine.snapshot();
  const states = gpus.map((gpu): SavedState => JSON.parse(JSON.stringify(gpu.save())));
  bench.machine.powerOff();
  return { ram, states };
}

/** A new process, before its restore. */
function load(image: Image, options: BenchOptions = OPTIONS): DriverBench {
  const bench = new DriverBench({ ...options, image: image.ram, seed: 2 });
  bench.gpu = VirtioGpu.load(bench.gpuOptions(), image.states[0]);
  return bench;
}

/** What the host shows, and the cursors it has. */
function picture({ device }: SimHost): unknown {
  const { cursors } = device.save();
  return { shots: [0, 1].map((output) => device.screenshot(output)), cursors };
}

async function hibernated(): Promise<{ readonly image: Image; readonly shown: unknown; readonly bench: DriverBench }> {
  const bench = await DriverBench.start(OPTIONS);
  await drawEverything(bench);
  const shown = picture(bench.host);
  return { image: await powerOff(bench), shown, bench };
}

function codeOf(work: () => unknown): string {
  try {
    work();
    return "nothing";
  } catch (error) {
    return error instanceof GpuError ? error.code : String(error);
  }
}

describe("a new process", () => {
  it("shows the same pictures, and its buffers are adopted by their keys", async () => {
    const { image, shown } = await hibernated();
    const next = load(image);
    expect(next.gpu.unclaimed).toEqual(["left", "right", "arrow", "detached", "imported"]);
    const report = await next.restore();
    expect(picture(next.host)).toEqual(shown);
    expect(report).toMatchObject({ outputs: 2, restored: 6 });
    const [left, right] = ["left", "right"].map((key) => next.gpu.adopt(key));
    if (left !== undefined) next.expectShown(0, left);
    if (right !== undefined) next.expectShown(1, right);
    const detached = next.gpu.adopt("detached");
    expectHeld(next, detached);
    expect(detached.isAttached).toBe(false);
    expect(next.host.device.save().resources.find(({ id }) => id === detached.id)?.entries).toEqual([]);
    expect(next.gpu.unclaimed).toEqual(["arrow", "imported"]);
    expect(codeOf(() => next.gpu.adopt("left"))).toBe("EINVAL");
    expect(codeOf(() => next.gpu.adopt("nothing of that name"))).toBe("EINVAL");
    next.expectNoErrors();
    next.machine.assertClean();
  });

  it("finds its pixels where the memory lies now, whatever the frames were", async () => {
    const { image, shown } = await hibernated();
    const next = load(image);
    const before = JSON.stringify(next.machine.frames.save());
    next.machine.frames.moveFrames();
    expect(JSON.stringify(next.machine.frames.save())).not.toBe(before);
    await next.restore();
    expect(picture(next.host)).toEqual(shown);
    next.machine.assertClean();
  });

  it("R-25 (b) gives no id a second time, of fences, resources and contexts", async () => {
    const bench = await DriverBench.start(OPTIONS);
    await drawEverything(bench);
    const last = await bench.buffer(16, 16);
    last.destroy();
    const fence = bench.gpu.fence();
    await bench.run(fence.wait());
    const context = await bench.run(bench.gpu.rendering.createContext());
    context.destroy();
    const next = load(await powerOff(bench));
    await next.restore();
    expect((await next.buffer(16, 16)).id).toBe(last.id + 1);
    expect(next.gpu.fence().id).toBeGreaterThan(fence.id);
    expect((await next.run(next.gpu.rendering.createContext())).id).toBe(context.id + 1);
  });

  it("reports an import that nobody claims, takes no wrong exporter, and shows it once it is claimed", async () => {
    const { image } = await hibernated();
    const next = load(image);
    const reasons = (await next.restore()).lost.map(({ object, reason }) => `${object}: ${reason}`);
    expect(reasons).toContain('resource 6 "imported": its import was not claimed');
    expect(next.host.device.save().resources.some(({ id }) => id === 6)).toBe(false);
    expect(codeOf(() => next.gpu.adopt("imported"))).toBe("EINVAL");
    expect(codeOf(() => next.gpu.adopt("left", new FakeExporter(next, "lent", LENT_BYTES)))).toBe("EINVAL");
    expect(codeOf(() => next.gpu.adopt("imported", new FakeExporter(next, "other", LENT_BYTES)))).toBe("EINVAL");
    expect(codeOf(() => next.gpu.adopt("imported", new FakeExporter(next, "lent", LENT_BYTES - 1)))).toBe("EINVAL");
    const exporter = new FakeExporter(next, "lent", LENT_BYTES);
    exporter.paint(4);
    const imported = next.gpu.adopt("imported", exporter);
    await next.run(next.gpu.output(1).show(imported));
    expect(exporter.mapped).toBe(1);
    const pixels = new Uint8Array(LENT_BYTES);
    exporter.pages.read(0, pixels);
    const shown = next.host.device.screenshot(1)?.rgba ?? [];
    expect([shown[0], shown[1], shown[2]]).toEqual([pixels[2], pixels[1], pixels[0]]);
    await next.run(exporter.move());
    expect(exporter.mapped, "the new exporter is listened to").toBe(1);
    next.machine.assertClean();
  });

  it("claims an import before the restore, and has it back like the rest", async () => {
    const { image } = await hibernated();
    const next = load(image);
    const exporter = new FakeExporter(next, "lent", LENT_BYTES);
    next.gpu.adopt("imported", exporter);
    const report = await next.restore();
    expect(report.lost.filter(({ object }) => object.includes("imported"))).toEqual([]);
    expect(exporter.mapped).toBe(1);
  });

  it("is told what no host could give back, also after another hibernation, until nobody wants to know", async () => {
    const { image } = await hibernated();
    const next = load(image);
    const lost = (await next.restore()).lost.map(({ object }) => object);
    expect(lost).toEqual(expect.arrayContaining(['context 2 "game"', 'resource 7 "texture"']));
    expect(codeOf(() => next.gpu.adopt("texture"))).toBe("ENOTRECOVERABLE");
    expect(codeOf(() => next.gpu.rendering.adoptContext("game"))).toBe("ENOTRECOVERABLE");
    const third = load(await powerOff(next));
    expect((await third.restore()).lost.map(({ object }) => object)).toEqual(lost);
    expect(codeOf(() => third.gpu.adopt("texture"))).toBe("ENOTRECOVERABLE");
    third.gpu.dropUnclaimed();
    expect(codeOf(() => third.gpu.adopt("texture"))).toBe("EINVAL");
    expect(third.gpu.save().lost).toEqual([]);
  });

  it("adopts a context that nothing was done in, and works with it", async () => {
    const { image } = await hibernated();
    const next = load(image);
    await next.restore();
    const context = next.gpu.rendering.adoptContext("ready");
    expect([context.name, context.lost]).toEqual(["unused", null]);
    const fence = await next.run(context.submit(Uint8Array.of(0, 0, 0, 0)));
    await next.run(fence.wait());
    expect(codeOf(() => next.gpu.rendering.adoptContext("ready"))).toBe("EINVAL");
  });

  it("gives up what nobody adopts, also what has no key", async () => {
    const { image } = await hibernated();
    const next = load(image);
    await next.restore();
    const left = next.gpu.adopt("left");
    next.gpu.dropUnclaimed();
    await next.run(left.flush());
    await next.run(next.gpu.fence().wait());
    expect(next.host.device.save().resources.map(({ id }) => id)).toEqual([left.id]);
    expect(next.gpu.unclaimed).toEqual([]);
    expect(next.gpu.save().contexts).toEqual([]);
    expect(next.host.device.screenshot(1)).toBeNull();
    next.expectShown(0, left);
    await next.run(next.gpu.remove());
    expect(next.machine.allocator.allocatedBytes).toBe(0);
  });

  it("loads two GPUs, each with its own, and one more hibernation later still has both", async () => {
    const bench = await DriverBench.start(OPTIONS);
    await bench.show(0, 64, 48, { key: "first" });
    const second = bench.machine.addHost({ device: SCENE_DEVICE });
    const other = await bench.run(VirtioGpu.probe(bench.gpuOptions(second)));
    const buffer = await bench.run(other.createBuffer({ width: 32, height: 32, key: "second" }));
    buffer.map((pixels) => pixels.fill(0x5a));
    await bench.run(other.output(0).show(buffer));
    const shown = [picture(bench.host), picture(second)];
    let image = await powerOff(bench, [bench.gpu, other]);
    for (const round of [1, 2]) {
      const next = load(image);
      const host = next.machine.addHost({ device: SCENE_DEVICE });
      const another = VirtioGpu.load(next.gpuOptions(host), image.states[1]);
      const { complete } = another.power.restore("RESTORE");
      await next.restore();
      await next.run(complete);
      expect([picture(next.host), picture(host)], `round ${round}`).toEqual(shown);
      next.machine.assertClean();
      image = await powerOff(next, [next.gpu, another]);
    }
  });

  it("saves, freshly loaded, exactly what it was loaded from", async () => {
    const { image } = await hibernated();
    const next = load(image);
    expect(JSON.parse(JSON.stringify(next.gpu.save()))).toEqual(image.states[0]);
  });
});

// --- Hostile states ---

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
type Path = readonly (string | number)[];

/** Every place in a state, containers before what they hold. */
function* places(value: unknown, path: Path = []): Generator<{ readonly path: Path; readonly value: unknown }> {
  yield { path, value };
  if (typeof value !== "object" || value === null) return;
  for (const [name, child] of Object.entries(value)) {
    yield* places(child, [...path, Array.isArray(value) ? Number(name) : name]);
  }
}

/** A copy of `state` with something else at `path`; undefined takes it away. */
function withAt(state: unknown, path: Path, value: unknown): unknown {
  const [first, ...rest] = path;
  if (first === undefined) return value;
  const copy: unknown = Array.isArray(state) ? [...state] : Object.assign({}, state);
  const record = copy as Record<string | number, unknown>;
  if (rest.length === 0 && value === undefined && !Array.isArray(copy)) delete record[first];
  else record[first] = withAt(record[first], rest, value);
  return copy;
}

/** What can't stand where `value` stands. */
function badValues(value: unknown, path: Path): readonly unknown[] {
  const name = path.at(-1);
  const isSigned = path[0] === "cursors" && (name === "x" || name === "y");
  const isOptional = name === "key" || path[0] === "scanouts";
  switch (typeof value) {
    case "number":
      return ["1", null, undefined, true, [], 1.5, NaN, Infinity, 2 ** 53, ...(isSigned ? [] : [-1])];
    case "boolean":
      return [0, 1, "true", null, undefined, []];
    case "string":
      return [undefined, 7, {}, [], "x".repeat(65_537), ...(isOptional ? [] : [null])];
    default:
      if (value === null) return [undefined, 7, true, {}, []];
      if (Array.isArray(value)) return [undefined, null, {}, 7, "[]"];
      return [undefined, [], 7, "{}", ...(path.length === 2 && path[0] === "scanouts" ? [] : [null])];
  }
}

/** Tries to load it. The outcome, and how many bytes of memory were taken. */
function tryLoad(machine: SimMachine, state: unknown): readonly [outcome: string, bytes: number] {
  const { transport, clock, allocator, dma } = machine;
  const outcome = codeOf(() => VirtioGpu.load({ transport, clock, allocator, dma }, state));
  return [outcome, allocator.allocatedBytes];
}

const REFUSED = ["EINVAL", 0];
/** What JSON is made of. */
const CHARACTERS = "0123456789-.eE\"',:[]{}tfn ".split("");

/** Fields that don't go together, each wrong in one place. The state is that of `drawEverything`. */
const lies: readonly (readonly [what: string, path: Path, value: Json])[] = [
  ["another version", ["version"], 2],
  ["no version", ["version"], 0],
  ["an id that is given out later", ["nextResourceId"], 2],
  ["a context's id that is given out later", ["nextContextId"], 1],
  ["no next resource", ["nextResourceId"], 0],
  ["no next context", ["nextContextId"], 0],
  ["no next fence", ["nextFenceId"], 0],
  ["buffer 0", ["buffers", 0, "id"], 0],
  ["two buffers of one id", ["buffers", 0, "id"], 2],
  ["two buffers of one key", ["buffers", 0, "key"], "right"],
  ["context 0", ["contexts", 0, "id"], 0],
  ["a capability set that no context can have", ["contexts", 0, "capset"], 256],
  ["an unknown kind", ["buffers", 0, "kind"], "hostBlob"],
  ["an image said to be a blob", ["buffers", 0, "kind"], "guestBlob"],
  ["a blob said to be an image", ["buffers", 1, "kind"], "image2d"],
  ["an image wider than its memory", ["buffers", 0, "width"], 65],
  ["an image narrower than its memory", ["buffers", 0, "width"], 63],
  ["an image without rows", ["buffers", 0, "height"], 0],
  ["an image in no known format", ["buffers", 0, "format"], 5],
  ["an image with a blob's flags", ["buffers", 0, "flags"], 1],
  ["a blob with an unknown flag", ["buffers", 1, "flags"], 8],
  ["a drawn blob", ["buffers", 1, "drawn"], true],
  ["a blob with a width of its own", ["buffers", 1, "width"], 32],
  ["a blob that is no picture", ["buffers", 1, "layout"], null],
  ["rows that overlap", ["buffers", 1, "layout", "stride"], 124],
  ["rows between pixels", ["buffers", 1, "layout", "stride"], 130],
  ["a picture that begins between pixels", ["buffers", 1, "layout", "offset"], 2],
  ["a picture behind its blob", ["buffers", 1, "layout", "offset"], 4],
  ["a picture longer than its blob", ["buffers", 1, "layout", "height"], 33],
  ["a picture without rows", ["buffers", 1, "layout", "height"], 0],
  ["memory of nobody", ["buffers", 0, "backing", "source"], "found"],
  ["own memory said to be lent", ["buffers", 0, "backing", "source"], "import"],
  ["lent memory said to be own", ["buffers", 5, "backing", "source"], "own"],
  ["fewer bytes than pixels", ["buffers", 0, "backing", "byteLength"], 12_284],
  ["no bytes at all", ["buffers", 1, "backing", "byteLength"], 0],
  ["more bytes than pages", ["buffers", 1, "backing", "byteLength"], 4097],
  ["pages of another size", ["buffers", 0, "backing", "pages", "byteLength"], 4096],
  ["one frame twice", ["buffers", 0, "backing", "pages", "frames"], [5, 5, 6]],
  ["a frame outside memory", ["buffers", 0, "backing", "pages", "frames", 1], 1_000_000],
  ["the frame at address 0", ["buffers", 0, "backing", "pages", "frames", 1], 0],
  ["no frames", ["buffers", 0, "backing", "pages", "frames"], []],
  ["pages of no key", ["buffers", 0, "backing", "pages", "key"], 0],
  ["scattered pages said to be contiguous", ["buffers", 0, "backing", "pages", "contiguous"], true],
  ["an output that shows nothing there is", ["scanouts", 0, "object"], 77],
  ["an output that shows no buffer", ["scanouts", 0, "object"], 0],
  ["an output that shows too much", ["scanouts", 0, "rect", "x"], 1],
  ["an output that shows too little", ["scanouts", 0, "rect", "width"], 15],
  ["an image shown as a blob", ["scanouts", 0, "object"], 2],
  ["a blob shown as an image", ["scanouts", 1, "layout"], null],
  ["a blob shown in another format", ["scanouts", 1, "layout", "format"], 1],
  ["too few outputs", ["scanouts"], []],
  ["too few cursors", ["cursors"], []],
  ["a cursor of another size", ["cursors", 0, "object"], 1],
  ["a cursor out of a blob", ["cursors", 0, "object"], 2],
  ["a cursor that is not there", ["cursors", 0, "object"], 77],
  ["a hot spot outside the cursor", ["cursors", 0, "hotX"], 64],
];

describe("a saved state that is not sound", () => {
  const machine = new SimMachine({ ramBytes: 4 << 20, watchDma: false });

  it("is refused with EINVAL for each wrong value of each field, and takes no page", async () => {
    const { image } = await hibernated();
    const [state] = image.states;
    let tried = 0;
    for (const { path, value } of places(state)) {
      for (const bad of badValues(value, path)) {
        tried += 1;
        expect(tryLoad(machine, withAt(state, path, bad)), `${path.join(".")} = ${String(bad)}`).toEqual(REFUSED);
      }
    }
    expect(tried).toBeGreaterThan(1500);
  });

  it("is refused for what does not go together, each by itself", async () => {
    const { image } = await hibernated();
    const [state] = image.states;
    for (const [what, path, value] of lies) {
      expect(tryLoad(machine, withAt(state, path, value)), what).toEqual(REFUSED);
    }
    const twice = state?.buffers[0]?.backing.source === "own" ? state.buffers[0].backing.pages : null;
    const shared = withAt(state, ["buffers", 3, "backing", "pages", "frames", 0], twice?.frames[0]);
    expect(tryLoad(machine, shared), "a frame of two buffers").toEqual(REFUSED);
    const sameKey = withAt(state, ["buffers", 3, "backing", "pages", "key"], twice?.key);
    expect(tryLoad(machine, sameKey), "pages of one key").toEqual(REFUSED);
  });

  it("is refused while a device that is no GPU is there, before a page is taken", async () => {
    const { image } = await hibernated();
    const { clock, allocator, dma } = machine;
    const other = new Proxy(machine.transport, {
      get: (transport, name) => (name === "deviceId" ? 2 : Reflect.get(transport, name, transport)),
    });
    expect(codeOf(() => VirtioGpu.load({ transport: other, clock, allocator, dma }, image.states[0]))).toBe("ENODEV");
    expect(allocator.allocatedBytes).toBe(0);
  });

  it("loads whole or not at all, whichever bytes of its text are changed", async () => {
    const { image } = await hibernated();
    const text = JSON.stringify(image.states[0]);
    const change = fc.record({ at: fc.nat(text.length - 1), by: fc.constantFrom(...CHARACTERS) });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
        let changed = text;
        for (const { at, by } of changes) changed = changed.slice(0, at) + by + changed.slice(at + 1);
        let value: unknown;
        try {
          value = JSON.parse(changed);
        } catch {
          return;
        }
        const { allocator } = machine;
        try {
          for (const object of loadState(value, allocator).desired.resources.values()) {
            const backing = backingOf(object);
            if (backing?.source === "own") allocator.free(backing.pages);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(GpuError);
          expect(error).toMatchObject({ code: "EINVAL" });
        }
        expect(allocator.allocatedBytes).toBe(0);
      }),
      { numRuns: 2000 },
    );
  });
});

// --- Nothing forgotten ---

/** Field names of an interface, as its source has them. */
function fieldsOf(source: string, name: string): readonly string[] {
  const body = new RegExp(`interface ${name}[^{]*\\{([^]*?)\\n\\}`).exec(source)?.[1] ?? "";
  return [...body.matchAll(/^ {2}(?:readonly )?(\w+)\??: /gm)].map(([, field]) => field ?? "");
}

it("has a place for every field of the desired state: saved, or said in the table not to be", async () => {
  const read = (file: string): string =>
    readFileSync(new URL(`../src/driver/desired/${file}`, import.meta.url), "utf8");
  const table = read("saved-state.ts").split("*/")[0] ?? "";
  const { image } = await hibernated();
  const saved = new Set([...places(image.states[0])].map(({ path }) => path.at(-1)));
  const kinds = ["ResourceBase", "Image2dObject", "GuestBlobObject", "HostBlobObject", "Resource3dObject"];
  const planes = ["ContextObject", "DesiredScanout", "BlobLayout", "DesiredCursor", "OwnBacking", "ImportBacking"];
  const objects = read("objects.ts");
  const fields = [...kinds, ...planes].flatMap((name) => {
    const found = fieldsOf(objects, name);
    expect(found.length, `${name} has fields`).toBeGreaterThan(1);
    return found;
  });
  for (const field of [...fields, ...Object.keys(new DesiredState())]) {
    const isThere = saved.has(field) || new RegExp(`\\b${field}\\b`).test(table);
    expect(isThere, `the field ${field}`).toBe(true);
  }
  expect(fields).toEqual(expect.arrayContaining(["mapOffset", "moving", "hotY", "uuidWanted", "capset"]));
});
