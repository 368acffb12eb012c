/**
 * Save and restore: what is restored is the same, to the last field; what was tampered with is refused, field by field, and
 * changes nothing.
 */
import { serialize } from "node:v8";
import { describe, expect, it } from "vitest";
import { SeededRandom } from "../sim/index.ts";
import { GuestRam } from "../memory/guest-ram.ts";
import type { Command } from "../wire/gpu.gen.ts";
import { BlobFlag, BlobMemory, GpuReply } from "../wire/gpu.ts";
import { Cursor, GpuState } from "./gpu-state.ts";
import { MemoryRenderer } from "./memory-renderer.ts";
import { setUp, type VirtioGpuDeviceOptions } from "./options.ts";
import type { Renderer } from "./renderer.ts";
import { Resource } from "./resource.ts";
import { Scanout } from "./scanout.ts";
import { firstDifference, FREE_MEMORY, GpuBench, patterned, RAM_BYTES } from "./test-bench.ts";

const full = { x: 0, y: 0, width: 64, height: 64 };
const OPTIONS = {
  outputs: [{ width: 1280, height: 800 }, { width: 800, height: 600, name: "left", widthMm: 300, heightMm: 200 }, null],
  blob: true,
};

const blobs: readonly Command[] = [
  {
    op: "resourceCreateBlob",
    resourceId: 5,
    blobMemory: BlobMemory.GUEST,
    blobFlags: BlobFlag.USE_SHAREABLE,
    blobIdLow: 0,
    blobIdHigh: 0,
    size: 2 ** 33,
    entries: [0, 2, 1, 3].map((page) => ({ address: FREE_MEMORY + (1 << 20) + page * 8192, byteLength: 4096 })),
  },
  {
    op: "setScanoutBlob",
    ...full,
    scanoutId: 1,
    resourceId: 5,
    framebufferWidth: 64,
    framebufferHeight: 64,
    format: 68,
    strides: [256, 0, 0, 0],
    offsets: [0, 0, 0, 0],
  },
];

/** A device with something of everything. */
function scene(options: VirtioGpuDeviceOptions = {}): GpuBench {
  const bench = new GpuBench({ ...OPTIONS, random: new SeededRandom(3), ...options });
  bench.ram.write(FREE_MEMORY + (1 << 20), patterned(1 << 16, 11));
  bench.picture(1, { width: 64, height: 64 });
  bench.picture(2, { width: 64, height: 64, format: 1 });
  bench.run(
    ...blobs,
    { op: "resourceCreate2d", resourceId: 3, format: 121, width: 20, height: 30 },
    { op: "resourceCreate2d", resourceId: 4, format: 2, width: 0, height: 30 },
    { op: "setScanout", x: 16, y: 8, width: 32, height: 40, scanoutId: 0, resourceId: 1 },
    { op: "resourceAssignUuid", resourceId: 1 },
    { op: "resourceDetachBacking", resourceId: 2 },
  );
  bench.cursor({ op: "updateCursor", scanoutId: 1, x: 0xffff_fffe, y: 9, resourceId: 2, hotX: 3, hotY: 4 });
  bench.device.setOutput(2, { width: 640, height: 480 });
  return bench;
}

/** Deep equality, fast where all is well. */
function expectSame(one: unknown, other: unknown): void {
  if (!serialize(one).equals(serialize(other))) expect(one).toEqual(other);
}

function pictures(bench: GpuBench): unknown[] {
  return [0, 1, 2].map((output) => bench.device.screenshot(output));
}

/** Another device on a copy of the same memory, which takes the state over. */
function restored(from: GpuBench, state: unknown, options: VirtioGpuDeviceOptions = {}): GpuBench {
  const ram = new GuestRam([{ address: 0, buffer: from.ram.view(0, RAM_BYTES).slice() }]);
  const bench = new GpuBench({ ...OPTIONS, random: new SeededRandom(4), ...options }, ram);
  bench.device.restore(state);
  return bench;
}

describe("the field audit", () => {
  const keys = (value: object): string[] => Object.keys(value).sort();

  it("knows every field that a device remembers", () => {
    // Saved, rebuilt, or not needed: the table in gpu-state.ts says which. Decide before you add to these lists.
    const state = new GpuState(setUp({}), null);
    expect(keys(state)).toEqual(
      (
        "setup sink host access window life negotiated events outputs edids cursors resources scanouts hostBytes entries " +
        "pixelMemory contexts maps pendingFences"
      )
        .split(" ")
        .sort(),
    );
    expect(keys(new Cursor())).toEqual(["hotX", "hotY", "rgba", "visible", "x", "y"]);
    const resource = new Resource(1, "2d", { format: 1, width: 1, height: 1 });
    expect(keys(resource)).toEqual(
      "id kind format width height blob pixels backing uuid shownOn mapOffset".split(" ").sort(),
    );
    const framebuffer = { format: 1, width: 1, height: 1, stride: 4, offset: 0 };
    const scanout = new Scanout(state, resource, { x: 0, y: 0, width: 1, height: 1 }, framebuffer);
    expect(keys(scanout)).toEqual(["framebuffer", "rect", "resource"]);
  });

  it("saves every field of a resource and a cursor that is not made anew", () => {
    const { resources, cursors } = scene().device.save();
    const { entries, ...rest } = resources[0] ?? { entries: [] };
    expect(entries.length).toBeGreaterThan(0);
    expect(keys({ ...rest, backing: entries, shownOn: 0 })).toEqual(
      keys(new Resource(1, "2d", { format: 1, width: 1, height: 1 })),
    );
    expect(keys(cursors[0] ?? {})).toEqual(keys(new Cursor()));
  });
});

describe("a restored device", () => {
  it("saves the same again, shows the same, and goes on", () => {
    const bench = scene();
    const state = bench.device.save();
    expect(state.resources.length).toBe(5);
    const other = restored(bench, state);
    expectSame(other.device.save(), state);
    for (const [output, picture] of pictures(bench).entries()) {
      const shown = other.device.screenshot(output);
      expect(shown === null).toBe(picture === null);
      const rgba = picture === null ? undefined : bench.device.screenshot(output)?.rgba;
      if (rgba !== undefined) expect(firstDifference(shown?.rgba, rgba)).toBe(-1);
    }
    expect(other.device.usage).toEqual(bench.device.usage);
    expect(other.device.readConfig8(0)).toBe(1);
    for (const device of [bench, other]) {
      device.ram.write(FREE_MEMORY, patterned(16384, 50));
      device.run(
        { op: "transferToHost2d", ...full, offset: 0, resourceId: 1 },
        { op: "resourceFlush", ...full, resourceId: 1 },
        { op: "resourceFlush", ...full, resourceId: 5 },
        { op: "resourceUnref", resourceId: 5 },
      );
    }
    expectSame(other.device.save(), bench.device.save());
    expect(other.reply({ op: "resourceAssignUuid", resourceId: 1 })).toEqual(
      bench.reply({ op: "resourceAssignUuid", resourceId: 1 }),
    );
  });

  it("is independent of the state it came from", () => {
    const bench = scene();
    const state = bench.device.save();
    const before = structuredClone(state);
    const other = restored(bench, state);
    bench.run({ op: "resourceUnref", resourceId: 1 });
    state.resources[0]?.pixels?.fill(0);
    state.cursors[1]?.rgba.fill(0);
    expectSame(other.device.save(), before);
  });

  it("forgets what it had before", () => {
    const bench = scene();
    const empty = new GpuBench({ ...OPTIONS, random: new SeededRandom(1) }).device.save();
    bench.device.restore(empty);
    expectSame(bench.device.save(), empty);
    expect(pictures(bench)).toEqual([null, null, null]);
    expect(bench.device.usage).toEqual({ resources: 0, hostBytes: 0, entries: 0 });
  });

  it("tells its sink of scanouts and cursors", () => {
    const bench = scene();
    const heard: string[] = [];
    const sink = {
      scanout: (output: number, pixels: object | null) => void heard.push(`scanout ${output} ${pixels !== null}`),
      flush: () => {},
      moveCursor: () => {},
      updateCursor: (output: number) => void heard.push(`update ${output}`),
      hideCursor: (output: number) => void heard.push(`hide ${output}`),
    };
    restored(bench, bench.device.save(), { sink });
    expect(heard).toEqual(["scanout 0 true", "scanout 1 true", "scanout 2 false", "hide 0", "update 1", "hide 2"]);
  });

  it("survives a state that went through text, but for its bytes", () => {
    const state = scene().device.save();
    const isBytes = (value: unknown): value is Uint8Array => value instanceof Uint8Array;
    const text = JSON.stringify(state, (_key, value: unknown) => (isBytes(value) ? { bytes: [...value] } : value));
    const revive = (_key: string, value: unknown): unknown =>
      typeof value === "object" && value !== null && "bytes" in value && Array.isArray(value.bytes)
        ? Uint8Array.from(value.bytes)
        : value;
    expectSame(JSON.parse(text, revive), state);
  });
});

/** Every place in a state, as a path of keys. */
function paths(value: unknown, path: readonly (string | number)[] = []): (string | number)[][] {
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return [[...path]];
  const inner = Object.entries(value).flatMap(([key, field]) => paths(field, [...path, key]));
  return [[...path], ...inner].filter((one) => one.length > 0);
}

/** The state with one field changed; all but the way there is shared. */
function withChange(state: unknown, path: readonly (string | number)[], value: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  if (Array.isArray(state)) {
    return state.map((entry: unknown, index) => (index === Number(key) ? withChange(entry, rest, value) : entry));
  }
  const record: Record<string, unknown> = { ...(state as object) };
  return { ...record, [key]: withChange(record[key], rest, value) };
}

describe("a state that was tampered with", () => {
  const bench = scene();
  const state = bench.device.save();
  const target = new GpuBench({ ...OPTIONS, random: new SeededRandom(4) });
  target.picture(9, { width: 16, height: 16 });
  const before = target.device.save();

  const refused = (hostile: unknown): void => {
    expect(() => target.device.restore(hostile)).toThrow(expect.objectContaining({ code: "EINVAL" }));
  };

  it.each(paths(state).map((path) => [path.join("."), path] as const))("is refused: %s", (_name, path) => {
    for (const value of [undefined, "x", -7, 0.5, Number.NaN, {}, true, new Uint8Array(3)]) {
      const isText = path.at(-1) === "name" && value === "x";
      const isFlag = (path.at(-1) === "enabled" || path.at(-1) === "visible") && value === true;
      const isPlace = ["x", "y"].includes(String(path.at(-1))) && path[0] === "cursors" && value === -7;
      if (isText || isFlag || isPlace) continue;
      refused(withChange(state, path, value));
    }
  });

  it("leaves the device as it was", () => {
    expectSame(target.device.save(), before);
  });

  it.each<readonly [string, readonly (string | number)[], unknown]>([
    ["another version", ["version"], 2],
    ["a feature not offered", ["features"], 1],
    ["an event that there is not", ["events"], 2],
    ["fewer outputs", ["outputs"], []],
    ["an output of no size", ["outputs", 0, "width"], 0],
    ["a name beyond EDID's", ["outputs", 0, "name"], "a name that is too long"],
    ["id 0", ["resources", 0, "id"], 0],
    ["an id twice", ["resources", 1, "id"], 3],
    ["a kind that there is not", ["resources", 0, "kind"], "4d"],
    ["another kind", ["resources", 0, "kind"], "3d"],
    ["an unknown format", ["resources", 0, "format"], 77],
    ["another format than is shown", ["resources", 0, "format"], 1],
    ["more pixels than bytes", ["resources", 0, "width"], 65],
    ["more than host memory", ["resources", 0, "height"], 0xffff_ffff],
    ["an image beyond the limit that was never written", ["resources", 3, "height"], 0xffff_ffff],
    ["backing outside memory", ["resources", 0, "entries", 0, "address"], RAM_BYTES],
    ["empty backing", ["resources", 0, "entries", 0, "byteLength"], 0],
    ["a blob of unknown memory", ["resources", 2, "blob", "memory"], 4],
    ["a blob with host storage", ["resources", 2, "blob", "memory"], 2],
    ["a blob with unknown flags", ["resources", 2, "blob", "flags"], 8],
    ["a blob smaller than what it shows", ["resources", 2, "blob", "size"], 4096],
    ["a map of the guest's own", ["resources", 2, "mapOffset"], 0],
    ["a scanout of nothing", ["scanouts", 0, "resourceId"], 77],
    ["a scanout outside", ["scanouts", 0, "rect", "x"], 33],
    ["a scanout too small", ["scanouts", 0, "rect", "width"], 15],
    ["a stride beside the image's", ["scanouts", 0, "framebuffer", "stride"], 260],
    ["a blob's stride too small", ["scanouts", 1, "framebuffer", "stride"], 252],
    ["contexts without a renderer", ["contexts"], { ids: [1], renderer: {} }],
  ])("is refused with %s", (_name, path, value) => {
    refused(withChange(state, path, value));
  });

  it("is refused when a limit of this device is lower", () => {
    for (const limit of [
      { resourcesMax: 4 },
      { entriesMax: 3 },
      { entriesTotalMax: 4 },
      { hostMemoryBytesMax: 2 * 16384 + 2400 },
      { blob: false },
      { outputs: [null] },
    ]) {
      expect(() => restored(bench, state, limit)).toThrow(expect.objectContaining({ code: "EINVAL" }));
    }
  });

  it("is refused when it is nothing of the kind", () => {
    for (const hostile of [null, undefined, 1, "state", [], {}, new Uint8Array(9), () => {}]) refused(hostile);
    const trap = { ...state };
    Object.defineProperty(trap, "events", { get: () => 0 });
    refused(trap);
  });
});

describe("3D in a saved state", () => {
  const blob: Command = {
    op: "resourceCreateBlob",
    resourceId: 20,
    blobMemory: BlobMemory.HOST3D,
    blobFlags: BlobFlag.USE_MAPPABLE,
    blobIdLow: 0,
    blobIdHigh: 0,
    size: 8192,
    entries: [],
  };
  const context: Command = { op: "ctxCreate", nameLength: 0, contextInit: 0, debugName: new Uint8Array(64) };
  const options = (renderer: Renderer): VirtioGpuDeviceOptions => ({ renderer, hostVisibleBytes: 1 << 16 });

  function scene3d(renderer: Renderer): GpuBench {
    const bench = scene(options(renderer));
    bench.run(blob, { op: "resourceMapBlob", resourceId: 20, offset: 4096 });
    bench.type(context, { contextId: 7 });
    bench.type({ op: "ctxAttachResource", resourceId: 20 }, { contextId: 7 });
    bench.device.sharedMemory[0]?.bytes.set(patterned(8192, 2), 4096);
    return bench;
  }

  it("is refused clearly when the renderer can't save itself, unless there is none", () => {
    const renderer: Renderer = new MemoryRenderer();
    Object.assign(renderer, { save: undefined });
    const bench = scene(options(renderer));
    bench.device.save();
    bench.type(context, { contextId: 7 });
    expect(() => bench.device.save()).toThrow(/1 contexts and 0 resources.*ENOTSUP/);
  });

  it("comes back with contexts, contents and maps", () => {
    const bench = scene3d(new MemoryRenderer());
    const state = bench.device.save();
    const renderer = new MemoryRenderer();
    const other = restored(bench, state, options(renderer));
    expectSame(other.device.save(), state);
    const window = other.device.sharedMemory[0]?.bytes;
    expect(firstDifference(window?.subarray(4096, 4096 + 8192), patterned(8192, 2))).toBe(-1);
    expect(other.type(context, { contextId: 7 })).toBe(GpuReply.ERR_INVALID_CONTEXT_ID);
    other.run({ op: "resourceUnmapBlob", resourceId: 20 });
    expect(window?.every((byte) => byte === 0)).toBe(true);
    expect(firstDifference(renderer.pixels(20)?.bytes, patterned(8192, 2))).toBe(-1);
  });

  it("that does not fit is refused, and the renderer keeps what it had, maps included", () => {
    const bench = scene3d(new MemoryRenderer());
    const state = bench.device.save();
    const target = scene3d(new MemoryRenderer());
    const before = target.device.save();
    const index = state.resources.findIndex(({ id }) => id === 20);
    for (const [path, value] of [
      [["resources", index, "id"], 21],
      [["resources", index, "mapOffset"], 100],
      [["resources", index, "mapOffset"], 61440],
      [["contexts", "ids", 0], 0],
      [["contexts", "renderer"], {}],
      [["contexts", "renderer", "resources", 0, "bytes"], new Uint8Array(1)],
      [["contexts"], null],
    ] as const) {
      expect(() => target.device.restore(withChange(state, path, value))).toThrow(
        expect.objectContaining({ code: "EINVAL" }),
      );
    }
    expectSame(target.device.save(), before);
    target.device.sharedMemory[0]?.bytes.fill(9, 4096, 8192);
    target.run({ op: "resourceUnmapBlob", resourceId: 20 }, { op: "resourceMapBlob", resourceId: 20, offset: 0 });
    expect(target.device.sharedMemory[0]?.bytes[0]).toBe(9);
  });
});
