/** What each deed of a schedule does to a machine. Nothing is awaited: what a deed begins ends when it ends. */
import { type ErrorCode, GpuError } from "@virtgpu/core/base";
import type { GpuBuffer, VirtioGpu } from "@virtgpu/core/driver";
import { CURSOR_SIZE, Format } from "@virtgpu/core/wire";
import { cursorPattern, pattern } from "../scenarios/suspend/pixels.ts";
import type { Boot } from "./boot.ts";
import { performContextDeed } from "./contexts.ts";
import { demand } from "./failure.ts";
import type { Guest } from "./guest.ts";
import { performHostDeed } from "./host-deeds.ts";
import type { ModelBuffer, ModelCursor, Rows } from "./model.ts";
import type { Deed, Size } from "./schedule.ts";

/** A machine that is up, with its driver. */
interface Up {
  readonly guest: Guest;
  readonly boot: Boot;
  readonly gpu: VirtioGpu;
}

/** Carries a deed out, or begins it. */
export function perform(guest: Guest, deed: Deed): void {
  const { boot } = guest;
  if (deed.op === "changeHost") {
    guest.nextHost = deed.host;
    return;
  }
  if (boot === null || boot.isOver) return;
  if (performHostDeed(guest, boot, deed)) return;
  const { gpu } = boot;
  if (gpu === null) return;
  const up: Up = { guest, boot, gpu };
  if ("slot" in deed) performBufferDeed(up, deed);
  else if ("context" in deed) performContextDeed(guest, boot, gpu, deed);
  else performOtherDeed(up, deed);
}

type SlotDeed = Extract<Deed, { readonly slot: number }>;

function performBufferDeed(up: Up, deed: SlotDeed): void {
  const { model } = up.guest;
  const buffer = model.inSlot(deed.slot);
  if (deed.op === "create") {
    if (buffer === undefined) create(up, deed.slot, deed.size, deed.storage, Format.B8G8R8X8);
    return;
  }
  if (deed.op === "createCursor") {
    if (buffer === undefined) create(up, deed.slot, CURSOR, "image", Format.B8G8R8A8);
    return;
  }
  if (deed.op === "import") {
    if (buffer === undefined) importLent(up, deed.slot, deed.size);
    return;
  }
  const handle = buffer === undefined ? undefined : up.boot.handles.get(buffer.key);
  if (buffer !== undefined && handle !== undefined) performWith(up, deed, buffer, handle);
}

function performWith(up: Up, deed: SlotDeed, buffer: ModelBuffer, handle: GpuBuffer): void {
  switch (deed.op) {
    case "free":
      return free(up, buffer, handle);
    case "paint":
      return paint(up, buffer, handle, deed);
    case "draw":
      paint(up, buffer, handle, { seed: deed.seed, row: 0, rows: buffer.size.height });
      return flush(up, buffer, handle);
    case "flush":
      return flush(up, buffer, handle);
    case "detach":
    case "attach":
      return attach(up, buffer, handle, deed.op);
    case "uuid":
      return up.boot.track(`the UUID of "${buffer.key}"`, handle.uuid(), {
        forgives: (error) => isOne(error, NO_UUID),
      });
    case "show":
      return show(up, deed.output, buffer, handle, deed.part);
    case "setCursor":
      return setCursor(up, deed.output, buffer, handle, deed.hot);
    default:
      return lend(up, deed.op, buffer);
  }
}

function performOtherDeed({ guest, boot, gpu }: Up, deed: Deed): void {
  switch (deed.op) {
    case "disable":
      if (gpu.state === "lost") return;
      guest.model.outputs[deed.output] = null;
      return boot.track(`switching output ${deed.output} off`, gpu.output(deed.output).disable());
    case "moveCursor":
      return changeCursor({ guest, boot, gpu }, deed.output, { x: deed.x, y: deed.y }, (cursor) =>
        cursor.move(deed.x, deed.y),
      );
    case "hideCursor":
      return changeCursor({ guest, boot, gpu }, deed.output, { key: null }, (cursor) => cursor.hide());
    case "capsets":
      return boot.track("the capability sets", gpu.rendering.capsets(), { forgives: ({ code }) => code === "ENOTSUP" });
    case "recover":
      // It is in the way of a sleep that begins meanwhile.
      guest.disturb("fault");
      return boot.track("a recovery", gpu.recover(), { forgives: () => boot.isSleeping });
    case "reload":
      return reload({ guest, boot, gpu });
    case "sleep":
      if (boot.isSleeping || boot.system.state !== "awake") return;
      boot.asides = [...deed.asides];
      guest.sleep(boot, deed.way, deed.pmTest ?? undefined).catch((error: unknown) => {
        // The last one may still have a call that was given up and has not ended.
        const isLate = error instanceof GpuError && error.code === "EBUSY" && guest.isFaulty;
        if (!isLate && !boot.isOver) guest.fail(error);
      });
      return;
    default:
  }
}

// --- Buffers ---

const CURSOR: Size = { width: CURSOR_SIZE, height: CURSOR_SIZE };
const NO_UUID: readonly ErrorCode[] = ["ENOTSUP", "EBUSY", "ECANCELED", "ENOTRECOVERABLE", "ENODEV"];
/** What users may be told of a buffer that they have given up, or that its owner has. */
const GONE: readonly ErrorCode[] = ["ECANCELED", "ENOTRECOVERABLE", "ENODEV"];

function isOne(error: GpuError, codes: readonly ErrorCode[]): boolean {
  return codes.includes(error.code);
}

function newBuffer({ guest }: Up, slot: number, size: Size): ModelBuffer {
  const byteLength = size.width * size.height * 4;
  const buffer: ModelBuffer = {
    key: guest.newKey("buffer"),
    slot,
    size,
    storage: null,
    bytes: new Uint8Array(byteLength),
    stale: null,
    paintings: 0,
    isAttached: true,
    lending: "own",
    isPending: true,
  };
  guest.model.buffers.set(buffer.key, buffer);
  return buffer;
}

function create(up: Up, slot: number, size: Size, storage: "image" | "blob", format: Format): void {
  const buffer = newBuffer(up, slot, size);
  const { key } = buffer;
  follow(up, buffer, up.gpu.createBuffer({ ...size, format, storage, key }));
}

function importLent(up: Up, slot: number, size: Size): void {
  const buffer = newBuffer(up, slot, size);
  const { key, bytes } = buffer;
  buffer.lending = "lent";
  try {
    const lender = up.boot.lend(key, bytes.length);
    buffer.bytes = pattern(bytes.length, slot);
    lender.pages.write(0, buffer.bytes);
    follow(up, buffer, up.gpu.importBuffer(lender, { ...size, key }));
  } catch (error) {
    if (!(error instanceof GpuError)) throw error;
    up.guest.model.remove(key);
  }
}

/** Follows the making of a buffer; what could not be made is gone. */
function follow({ guest, boot }: Up, buffer: ModelBuffer, making: Promise<GpuBuffer>): void {
  const { key } = buffer;
  const { model } = guest;
  const made = making.then((handle) => {
    if (boot.isOver) return;
    boot.handles.set(key, handle);
    buffer.isPending = false;
    buffer.storage = handle.storage;
  });
  boot.track(`making "${key}"`, made, {
    failed: () => {
      model.remove(key);
      if (guest.host.keeps) guest.hasStrangers = true;
    },
  });
}

function free({ guest, boot }: Up, buffer: ModelBuffer, handle: GpuBuffer): void {
  guest.model.remove(buffer.key);
  boot.handles.delete(buffer.key);
  // A host that keeps things over a reset is told of this one when it shows that it does.
  if (guest.host.keeps && guest.isDisturbed) guest.hasStrangers = true;
  handle.destroy();
}

function paint(
  { guest, boot }: Up,
  buffer: ModelBuffer,
  handle: GpuBuffer,
  what: { readonly seed: number; readonly row: number; readonly rows: number },
): void {
  if (buffer.lending === "ended" || (buffer.lending === "own" && handle.storage === "image" && !handle.isAttached))
    return;
  const { width, height } = buffer.size;
  const first = what.row % height;
  const rows: Rows = { first, end: Math.min(height, first + Math.max(1, what.rows)) };
  const isCursor = handle.shape.format === Format.B8G8R8A8;
  const bytes = (isCursor ? cursorPattern : pattern)((rows.end - rows.first) * width * 4, what.seed);
  if (buffer.lending === "own") handle.write(first * width * 4, bytes);
  else boot.lenders.get(buffer.key)?.pages.write(first * width * 4, bytes);
  guest.model.paint(buffer, rows, bytes);
}

function flush({ boot }: Up, buffer: ModelBuffer, handle: GpuBuffer): void {
  const { paintings } = buffer;
  boot.track(`flushing "${buffer.key}"`, handle.flush(), {
    ok: () => {
      // What its owner has at the moment follows when he gives it again.
      if (buffer.paintings === paintings && buffer.lending !== "away") buffer.stale = null;
    },
    forgives: (error) => isOne(error, GONE) && (handle.isDestroyed || handle.lost !== null),
  });
}

function attach({ guest, boot }: Up, buffer: ModelBuffer, handle: GpuBuffer, how: "attach" | "detach"): void {
  if (buffer.lending !== "own") return;
  const isDetaching = how === "detach";
  // A blob has no other copy of what is shown: to show it takes its memory.
  const isShown = guest.model.outputs.some((shown) => shown?.key === buffer.key);
  if (isDetaching && handle.storage === "blob" && isShown) return;
  const { paintings } = buffer;
  const done = isDetaching ? handle.detach() : handle.attach();
  boot.track(`to ${how} "${buffer.key}"`, done, {
    ok: () => {
      // A detached image's copy is the host's: it was brought there first.
      if (isDetaching && handle.storage === "image" && buffer.paintings === paintings) buffer.stale = null;
    },
    forgives: (error) => isOne(error, GONE) && handle.isDestroyed,
  });
}

function lend({ guest, boot }: Up, op: SlotDeed["op"], buffer: ModelBuffer): void {
  const lender = boot.lenders.get(buffer.key);
  if (lender === undefined || buffer.lending === "own" || buffer.lending === "ended") return;
  const isKept = (): boolean => guest.model.buffers.get(buffer.key) === buffer;
  switch (op) {
    case "takeLent":
    case "moveLent":
      if (buffer.lending === "away") return;
      buffer.lending = "away";
      return boot.track(
        `"${buffer.key}" is taken back`,
        lender.takeBack().then((isBack) => {
          if (!isBack || boot.isOver || buffer.lending !== "away") return;
          lender.away();
          if (op === "takeLent" || !isKept()) return;
          move(lender);
          buffer.lending = "lent";
          lender.giveAgain();
        }),
        { waitsForHost: true },
      );
    case "giveLent":
      if (buffer.lending !== "away") return;
      buffer.lending = "lent";
      return lender.giveAgain();
    case "endLent":
      buffer.lending = "ended";
      guest.model.darken(buffer.key);
      return boot.track(`"${buffer.key}" is ended`, lender.end(), { waitsForHost: true });
    default:
  }
}

function move(lender: { move(): void }): void {
  try {
    lender.move();
  } catch (error) {
    if (!(error instanceof GpuError) || error.code !== "ENOMEM") throw error;
  }
}

// --- Outputs and cursors ---

function show({ guest, boot, gpu }: Up, index: number, buffer: ModelBuffer, handle: GpuBuffer, part: boolean): void {
  const { width, height } = buffer.size;
  const rect = part && width > 16 ? { x: 0, y: 0, width: width - 8, height } : { x: 0, y: 0, width, height };
  if (rect.width < 16 || (handle.storage === "blob" && !handle.isAttached)) return;
  const output = gpu.output(index);
  const shown = output.show(handle, rect);
  // A device that is lost, and a buffer whose owner ended it, take no wishes.
  const isTaken = output.shown?.bufferId === handle.id && JSON.stringify(output.shown.rect) === JSON.stringify(rect);
  if (isTaken) guest.model.outputs[index] = { key: buffer.key, rect };
  else demand(gpu.state === "lost" || handle.lost !== null, `output ${index} does not take "${buffer.key}"`);
  const exists = index < guest.host.outputs.length;
  boot.track(`showing "${buffer.key}" on output ${index}`, shown, {
    forgives: (error) => !exists || isOne(error, GONE) || guest.model.outputs[index]?.key !== buffer.key,
  });
}

function setCursor(up: Up, index: number, buffer: ModelBuffer, handle: GpuBuffer, hot: number): void {
  if (handle.shape.format !== Format.B8G8R8A8) return;
  changeCursor(up, index, { key: buffer.key, hotX: hot, hotY: hot }, (cursor) =>
    cursor.set(handle, { x: hot, y: hot }),
  );
}

function changeCursor(
  { guest, boot, gpu }: Up,
  index: number,
  change: Partial<ModelCursor>,
  work: (cursor: ReturnType<VirtioGpu["output"]>["cursor"]) => Promise<void>,
): void {
  if (gpu.state === "lost") return;
  const { cursors } = guest.model;
  const before = cursors[index];
  if (before === undefined) return;
  const isUntouched = before.isUntouched && (change.key ?? null) === null;
  cursors[index] = { ...before, ...change, isUntouched };
  const exists = index < guest.host.outputs.length;
  boot.track(`a change of cursor ${index}`, work(gpu.output(index).cursor), {
    forgives: (error) => !exists || isOne(error, GONE),
  });
}

/** The driver is taken out, with everything that it had, and another one is loaded. */
function reload({ guest, boot, gpu }: Up): void {
  // A host that keeps what it has over a reset keeps it for a driver that is no more.
  if (boot.isSleeping || boot.system.state !== "awake" || guest.host.keeps) return;
  guest.disturb("sleep");
  boot.gpu = null;
  guest.model.forgetAll();
  boot.handles.clear();
  boot.contexts.clear();
  boot.operations.clear();
  const again = async (): Promise<void> => {
    await gpu.remove();
    if (!boot.isOver) await guest.probeAgain(boot);
  };
  boot.track("loading the driver again", again());
}
