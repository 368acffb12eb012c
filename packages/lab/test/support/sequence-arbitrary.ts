/**
 * Sequences of commands as fast-check makes them: mostly well-formed, over few ids and sizes so that commands meet each
 * other, with every kind of malformation now and then. Intents are drawn (they shrink well) and then turned into bytes.
 */
import * as fc from "fast-check";
import { NO_FENCE, type RawCommand, type RawFence, requestBytes } from "../../src/oracle/raw-commands.ts";
import { RING_VIOLATIONS, type RingViolationKind } from "../../src/oracle/ring-violations.ts";
import type { Sequence, SequenceRequest, SequenceStep } from "../../src/oracle/sequence.ts";
import { type BufferIntent, buffers, shaped } from "./buffer-arbitrary.ts";
import { type EntriesIntent, entries, entriesOf } from "./entries-arbitrary.ts";

/** What resource 1, 2, 3 and 4 of a sequence are, as a rule. */
interface Profile {
  readonly format: number;
  readonly width: number;
  readonly height: number;
}

type RectIntent =
  | { readonly kind: "full" }
  | { readonly kind: "part"; readonly parts: readonly [number, number, number, number] }
  | { readonly kind: "edge"; readonly edges: readonly [number, number, number, number] };

type OffsetIntent =
  | { readonly kind: "matching" }
  | { readonly kind: "zero" }
  | { readonly kind: "bytes"; readonly bytes: number }
  | { readonly kind: "edge"; readonly edge: number };

type CommandIntent =
  | { readonly kind: "create"; readonly id: number; readonly odd: Profile | null }
  | { readonly kind: "unref" | "detach"; readonly id: number }
  | { readonly kind: "attach"; readonly id: number; readonly entries: EntriesIntent }
  | { readonly kind: "transfer"; readonly id: number; readonly rect: RectIntent; readonly offset: OffsetIntent }
  | { readonly kind: "scanout"; readonly id: number; readonly rect: RectIntent; readonly output: number }
  | { readonly kind: "flush"; readonly id: number; readonly rect: RectIntent }
  | { readonly kind: "info" }
  | { readonly kind: "edid"; readonly output: number }
  | { readonly kind: "raw"; readonly type: number; readonly body: readonly number[] };

interface CursorIntent {
  readonly move: boolean;
  readonly output: number;
  readonly id: number;
  readonly x: number;
  readonly y: number;
  readonly hot: number;
}

interface RequestIntent<T> {
  readonly command: T;
  readonly fence: RawFence;
  readonly buffers: BufferIntent;
}

type StepIntent =
  | { readonly kind: "control"; readonly requests: readonly RequestIntent<CommandIntent>[] }
  | { readonly kind: "cursor"; readonly requests: readonly RequestIntent<CursorIntent>[] }
  | { readonly kind: "draw"; readonly offset: number; readonly byteLength: number; readonly seed: number }
  | { readonly kind: "look" }
  | { readonly kind: "reset"; readonly queue: 0 | 1 | null }
  | { readonly kind: "violate"; readonly queue: 0 | 1; readonly how: RingViolationKind };

const FORMATS = [1, 2, 3, 4, 67, 68, 121, 134] as const;
const SIZES = [16, 17, 24, 32, 40, 64] as const;
const ODD_SIZES = [0, 1, 15, 63, 100, 4096, 16384] as const;
/** The usual ids have a profile. */
const USUAL_IDS = [1, 2, 3, 4] as const;

/** The value once in a while; null `often` times as often. */
function rarely<T>(often: number, arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> {
  return fc.oneof({ weight: often, arbitrary: fc.constant(null) }, { weight: 1, arbitrary });
}

const word = fc.integer({ min: 0, max: 0xffffffff });
const id = fc.oneof({ weight: 12, arbitrary: fc.constantFrom(...USUAL_IDS) }, fc.constantFrom(0, 5, 99, 0xffffffff));
const output = fc.oneof({ weight: 12, arbitrary: fc.constantFrom(0, 1) }, fc.constantFrom(2, 15, 16, 0xffffffff));
const size = fc.constantFrom(...SIZES);
const profile: fc.Arbitrary<Profile> = fc.record({ format: fc.constantFrom(...FORMATS), width: size, height: size });
const oddProfile: fc.Arbitrary<Profile> = fc.record({
  format: fc.constantFrom(...FORMATS, 0, 5, 77, 0xffffffff),
  width: fc.constantFrom(...SIZES, ...ODD_SIZES),
  height: fc.constantFrom(...SIZES, ...ODD_SIZES),
});
const permille = fc.integer({ min: 0, max: 1000 });
const edge = fc.nat({ max: 13 });
const rect: fc.Arbitrary<RectIntent> = fc.oneof(
  { weight: 5, arbitrary: fc.constant({ kind: "full" } as const) },
  {
    weight: 6,
    arbitrary: fc.tuple(permille, permille, permille, permille).map((parts) => ({ kind: "part", parts }) as const),
  },
  { weight: 2, arbitrary: fc.tuple(edge, edge, edge, edge).map((edges) => ({ kind: "edge", edges }) as const) },
);
const offset: fc.Arbitrary<OffsetIntent> = fc.oneof(
  { weight: 12, arbitrary: fc.constant({ kind: "matching" } as const) },
  { weight: 6, arbitrary: fc.constant({ kind: "zero" } as const) },
  { weight: 2, arbitrary: fc.nat({ max: 2000 }).map((bytes) => ({ kind: "bytes", bytes }) as const) },
  { weight: 1, arbitrary: fc.nat({ max: 5 }).map((which) => ({ kind: "edge", edge: which }) as const) },
);
const fence: fc.Arbitrary<RawFence> = fc.oneof(
  { weight: 4, arbitrary: fc.constant(NO_FENCE) },
  {
    weight: 2,
    arbitrary: fc
      .bigInt({ min: 0n, max: (1n << 64n) - 1n })
      .map((fenceId) => ({ flags: 1, fenceId, contextId: 0, ringIndex: 0 })),
  },
  fc.record({
    flags: fc.oneof(fc.constantFrom(0, 1, 2, 3), word),
    fenceId: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
    contextId: word,
    ringIndex: fc.nat({ max: 255 }),
  }),
);

/** Types that QEMU's 2D device does not know, or refuses; bodies of any bytes. */
const raw = fc.record({
  kind: fc.constant("raw" as const),
  type: fc.oneof(
    fc.constantFrom(0, 0xff, 0x108, 0x109, 0x10b, 0x10c, 0x10d, 0x10e, 0x1100, 0x1200, 0x300, 0x301),
    fc.integer({ min: 0x200, max: 0x20a }),
    word,
  ),
  body: fc.array(fc.oneof({ weight: 3, arbitrary: fc.constantFrom(0, 1, 2) }, fc.nat({ max: 255 })), {
    maxLength: 100,
  }),
});

const command: fc.Arbitrary<CommandIntent> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("create" as const),
      id,
      odd: rarely(4, oddProfile),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom("unref" as const, "detach" as const), id }) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("attach" as const), id, entries }) },
  { weight: 14, arbitrary: fc.record({ kind: fc.constant("transfer" as const), id, rect, offset }) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("scanout" as const), id, rect, output }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("flush" as const), id, rect }) },
  { weight: 1, arbitrary: fc.constant({ kind: "info" } as const) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("edid" as const), output }) },
  { weight: 2, arbitrary: raw },
);

const place = fc.oneof(fc.nat({ max: 100 }), word);
const cursor: fc.Arbitrary<CursorIntent> = fc.record({
  move: fc.boolean(),
  output,
  id,
  x: place,
  y: place,
  hot: fc.nat({ max: 70 }),
});

function request<T>(body: fc.Arbitrary<T>): fc.Arbitrary<RequestIntent<T>> {
  return fc.record({ command: body, fence, buffers });
}

const step: fc.Arbitrary<StepIntent> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("control" as const),
      requests: fc.array(request(command), { minLength: 1, maxLength: 8 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("cursor" as const),
      requests: fc.array(request(cursor), { minLength: 1, maxLength: 4 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("draw" as const),
      offset: fc.nat({ max: 0x10000 }),
      byteLength: fc.nat({ max: 0x8000 }),
      seed: word,
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "look" } as const) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("reset" as const), queue: fc.constantFrom(null, 0 as const, 1 as const) }),
  },
);

/** How one sequence in some ends. */
const violation: fc.Arbitrary<StepIntent> = fc.record({
  kind: fc.constant("violate" as const),
  queue: fc.constantFrom(0 as const, 1 as const),
  how: fc.constantFrom(...RING_VIOLATIONS),
});

/** The usual beginning of a resource: without it most sequences would meet nothing but unknown ids. */
function opening(which: number): StepIntent {
  const plain = { fence: NO_FENCE, buffers: { cut: null, capacity: "right", pieces: 1, indirect: false } } as const;
  const all = { kind: "full" } as const;
  const commands: readonly CommandIntent[] = [
    { kind: "create", id: which, odd: null },
    { kind: "attach", id: which, entries: { kind: "cover", start: which * 20000, piece: 4096, step: 4096 } },
    { kind: "transfer", id: which, rect: all, offset: { kind: "zero" } },
    { kind: "scanout", id: which, rect: all, output: (which - 1) % 2 },
  ];
  return { kind: "control", requests: commands.map((one) => ({ command: one, ...plain })) };
}

/** See the file's head. */
export const sequences: fc.Arbitrary<Sequence> = fc
  .record({
    memorySeed: word,
    profiles: fc.tuple(profile, profile, profile, profile),
    openings: fc.subarray([...USUAL_IDS]),
    steps: fc.array(step, { minLength: 1, maxLength: 8 }),
    ending: rarely(11, violation),
  })
  .map(({ memorySeed, profiles, openings, steps, ending }): Sequence => {
    const intents = [...openings.map(opening), ...steps, ...(ending === null ? [] : [ending])];
    return { memorySeed, steps: intents.map((intent) => stepOf(intent, profiles)) };
  });

function stepOf(intent: StepIntent, profiles: readonly Profile[]): SequenceStep {
  switch (intent.kind) {
    case "draw":
    case "look":
    case "reset":
    case "violate":
      return intent;
    case "control":
      return {
        kind: "batch",
        queue: 0,
        requests: intent.requests.map((one) => requestOf(commandOf(one.command, profiles), one)),
      };
    case "cursor":
      return { kind: "batch", queue: 1, requests: intent.requests.map((one) => requestOf(cursorOf(one.command), one)) };
  }
}

function requestOf(given: RawCommand, { fence: header, buffers: shape }: RequestIntent<unknown>): SequenceRequest {
  return { name: given.command, ...shaped(requestBytes(given, header), given, shape) };
}

function cursorOf({ move, output: scanout_id, id: resource_id, x, y, hot }: CursorIntent): RawCommand {
  const command = move ? "move_cursor" : "update_cursor";
  return { command, cursor: { scanout_id, x, y, resource_id, hot_x: hot, hot_y: hot } };
}

function commandOf(intent: CommandIntent, profiles: readonly Profile[]): RawCommand {
  if (intent.kind === "info") return { command: "get_display_info" };
  if (intent.kind === "edid") return { command: "get_edid", scanout: intent.output };
  if (intent.kind === "raw") return { command: "raw", type: intent.type, body: intent.body };
  const usual = profiles[intent.id - 1] ?? { format: 2, width: 32, height: 32 };
  const resource_id = intent.id;
  switch (intent.kind) {
    case "create":
      return { command: "resource_create_2d", resource_id, ...(intent.odd ?? usual) };
    case "unref":
      return { command: "resource_unref", resource_id };
    case "detach":
      return { command: "resource_detach_backing", resource_id };
    case "attach":
      return {
        command: "resource_attach_backing",
        resource_id,
        entries: entriesOf(intent.entries, usual.width * usual.height * 4),
      };
    case "transfer": {
      const r = rectOf(intent.rect, usual);
      return { command: "transfer_to_host_2d", r, offset: offsetOf(intent.offset, r, usual), resource_id };
    }
    case "scanout":
      return { command: "set_scanout", r: rectOf(intent.rect, usual), scanout_id: intent.output, resource_id };
    case "flush":
      return { command: "resource_flush", r: rectOf(intent.rect, usual), resource_id };
  }
}

type Rect = readonly [number, number, number, number];

function rectOf(intent: RectIntent, { width, height }: Profile): Rect {
  if (intent.kind === "full") return [0, 0, width, height];
  if (intent.kind === "part") {
    const [left, top, right, bottom] = intent.parts;
    const x = Math.floor((left * width) / 1001);
    const y = Math.floor((top * height) / 1001);
    return [x, y, Math.ceil((right * (width - x)) / 1000), Math.ceil((bottom * (height - y)) / 1000)];
  }
  const wild = [0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff] as const;
  const values = [0, 1, 15, 16, width - 1, width, width + 1, height - 1, height, height + 1, ...wild];
  const [x, y, w, h] = intent.edges;
  return [values[x] ?? 0, values[y] ?? 0, values[w] ?? 0, values[h] ?? 0];
}

function offsetOf(intent: OffsetIntent, [x, y]: Rect, { width, height }: Profile): number {
  const total = width * height * 4;
  switch (intent.kind) {
    case "matching":
      return y * width * 4 + x * 4;
    case "zero":
      return 0;
    case "bytes":
      return intent.bytes;
    case "edge":
      return [total, total - 1, total + 1, total - 4, 2 ** 31, 2 ** 32 + 4][intent.edge] ?? 0;
  }
}
