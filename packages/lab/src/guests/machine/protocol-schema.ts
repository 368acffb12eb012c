/**
 * The checks on what the supervisor and a machine process say to each other: the other end may be half dead, or another
 * version.
 */
import { GpuError } from "@virtgpu/core/base";
import * as v from "valibot";
import { SCENE_KINDS } from "../../scenarios/scene/scene-state.ts";
import type { Hardware } from "../../hosts/machine.ts";
import type { Remembered } from "../../scenarios/hibernate/compare.ts";
import type { Message, Order } from "./protocol.ts";

const whole = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER));
const ms = v.pipe(v.number(), v.finite());
const side = v.pipe(whole, v.minValue(1), v.maxValue(16384));
const text = v.pipe(v.string(), v.maxLength(64_000));
const bytes = v.instance(Uint8Array);

const picture = v.pipe(
  v.strictObject({ width: side, height: side, rgba: bytes }),
  v.check(({ width, height, rgba }) => rgba.length === width * height * 4, "a picture has four bytes a pixel"),
);

const hardware = v.strictObject({
  id: v.pipe(v.string(), v.uuid()),
  host: v.picklist(["embedded", "qemu"]),
  ramBytes: whole,
  outputs: v.pipe(v.array(v.strictObject({ width: side, height: side })), v.minLength(1), v.maxLength(16)),
  device: v.strictObject({ type: text, properties: v.record(v.string(), v.string()) }),
  qemu: v.nullable(text),
  machine: v.nullable(text),
});

const fault = v.strictObject({
  kind: text,
  phase: v.nullable(v.picklist(["freeze", "thaw", "power-off", "restore"])),
  number: v.nullable(whole),
});

/** What a machine is told to do; one order at a time, each answered. */
const order: v.GenericSchema<unknown, Order> = v.variant("order", [
  /** Power, and a guest that boots afresh; or, with an image, one that comes back from it, up to its last object. */
  v.strictObject({
    order: v.literal("power-on"),
    hardware,
    image: v.nullable(text),
    faults: v.array(fault),
    policy: v.picklist(["veto", "lose", "wait"]),
    trace: v.nullable(v.strictObject({ path: text, name: text, process: whole, startEpochMs: ms })),
  }),
  v.strictObject({
    order: v.literal("draw"),
    outputs: v.array(
      v.strictObject({
        width: side,
        height: side,
        picture: v.nullable(v.strictObject({ width: side, height: side, pixels: bytes })),
      }),
    ),
    objects: whole,
    /** Something that no sleep can bring back, for the policy to act on. */
    game: v.boolean(),
  }),
  v.strictObject({ order: v.literal("sleep"), way: text, hard: v.boolean(), image: text }),
  /** What there is, now. `shows`: objects that the host can't be asked for are shown, one after the other. */
  v.strictObject({ order: v.literal("look"), shows: v.boolean() }),
  v.strictObject({ order: v.literal("flow"), frames: whole }),
  v.strictObject({ order: v.literal("off") }),
]);

const inventory = v.strictObject({
  outputs: v.array(v.nullable(picture)),
  cursors: v.array(
    v.nullable(
      v.strictObject({
        ...picture.entries,
        hotX: whole,
        hotY: whole,
        place: v.nullable(v.strictObject({ x: ms, y: ms })),
      }),
    ),
  ),
  objects: v.array(
    v.strictObject({
      key: text,
      kind: v.picklist(SCENE_KINDS),
      bytes: whole,
      /** Of the guest's memory, or null where it has none of it. */
      guest: v.nullable(text),
      /** Of what the host holds, or shows; `absent` where it knows no such object. */
      host: text,
    }),
  ),
  errorLines: v.array(text),
});

const phase = v.strictObject({
  device: text,
  phase: text,
  state: v.picklist(["begin", "end", "fail"]),
  /** On the machine process's clock, from its `ready`'s `epochMs` on. */
  atMs: ms,
  detail: v.optional(text),
});

const command = v.strictObject({
  device: text,
  queue: v.picklist(["control", "cursor"]),
  sequence: whole,
  type: whole,
  object: whole,
  atMs: ms,
  /** When it was answered, and with what; null: not while anybody looked. */
  endMs: v.nullable(ms),
  reply: v.nullable(whole),
});

const failure = v.strictObject({ device: text, phase: text, message: text });

const slept = v.strictObject({
  outcome: text,
  failures: v.array(failure),
  /** What each device's restore came to: objects and outputs that are back, and what is lost with its reason. */
  reports: v.array(
    v.strictObject({
      device: text,
      restored: whole,
      outputs: whole,
      lost: v.array(v.strictObject({ object: text, reason: text })),
      error: v.nullable(text),
    }),
  ),
  commands: v.array(command),
  image: v.nullable(v.strictObject({ fileBytes: whole, ramBytes: whole, pages: whole, zeroPages: whole })),
  timeToPictureMs: v.nullable(ms),
  timeToCompleteMs: v.nullable(ms),
});

/** What a machine says. */
const message: v.GenericSchema<unknown, Message> = v.variant("message", [
  v.strictObject({ message: v.literal("ready"), epochMs: ms, pid: whole }),
  v.strictObject({
    message: v.literal("host"),
    name: text,
    version: v.nullable(text),
    label: text,
    kinds: v.array(text),
  }),
  v.strictObject({ message: v.literal("phase"), phase }),
  v.strictObject({ message: v.literal("progress"), what: text, done: whole, total: whole }),
  v.strictObject({ message: v.literal("note"), text }),
  v.strictObject({ message: v.literal("trace-failed"), code: text, sentence: text }),
  /** All that there is, at the moment when nothing runs any more and no device was touched yet. */
  v.strictObject({ message: v.literal("frozen"), inventory, frames: whole }),
  /** Now the power may go. */
  v.strictObject({ message: v.literal("power-off") }),
  v.strictObject({ message: v.literal("done"), slept: v.nullable(slept), inventory: v.nullable(inventory) }),
  v.strictObject({ message: v.literal("failed"), code: text, sentence: text, usage: v.boolean() }),
]);

const hashed = v.array(v.nullable(text));

/** Checks what an image says of its machine. */
export function parseHardware(value: unknown): Hardware {
  return checked<Hardware>(hardware, value, "the image");
}

/** Checks what an image says that there was to see. */
export function parseRemembered(value: unknown): Remembered {
  const schema = v.strictObject({ outputs: hashed, cursors: hashed, objects: inventory.entries.objects });
  return checked<Remembered>(schema, value, "the image");
}

/** Checks what a machine process heard. */
export function parseOrder(value: unknown): Order {
  return checked(order, value, "the supervisor");
}

/** Checks what a supervisor heard. */
export function parseMessage(value: unknown): Message {
  return checked(message, value, "the machine process");
}

function checked<T>(schema: v.GenericSchema<unknown, T>, value: unknown, who: string): T {
  const result = v.safeParse(schema, value, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new GpuError("EPROTO", `${who} says what can't be understood: ${v.getDotPath(issue) ?? ""} ${issue.message}`);
}
