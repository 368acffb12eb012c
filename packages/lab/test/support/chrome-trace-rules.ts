/**
 * The rules of the Trace Event Format (JSON object form) that a viewer relies on: the fields of each phase of event, numbers
 * for times and tracks, metadata by its known names, a name for every track and process, "b" and "e" in pairs by process,
 * category and id, and complete events that nest on their track.
 */
import * as v from "valibot";
import { expect } from "vitest";

const name = v.string();
const pid = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const tid = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const microseconds = v.pipe(v.number(), v.finite(), v.minValue(0));
/** Categories are separated by commas: one with a comma in it would be two. */
const cat = v.pipe(v.string(), v.regex(/^[^,]+$/));
const args = v.record(v.string(), v.unknown());
const id2 = v.strictObject({ local: v.pipe(v.string(), v.regex(/^0x[0-9a-f]+$/)) });

const metadata = <Name extends string, Args extends v.ObjectEntries>(kind: Name, entries: Args) =>
  v.strictObject({ ph: v.literal("M"), name: v.literal(kind), pid, tid, args: v.strictObject(entries) });
const event = v.union([
  v.strictObject({ ph: v.literal("X"), name, cat, pid, tid, ts: microseconds, dur: microseconds, args }),
  v.strictObject({ ph: v.picklist(["b", "e"]), name, cat, pid, tid, ts: microseconds, id2, args: v.optional(args) }),
  metadata("process_name", { name }),
  metadata("thread_name", { name }),
  metadata("process_sort_index", { sort_index: v.number() }),
  metadata("thread_sort_index", { sort_index: v.number() }),
]);
const file = v.strictObject({
  displayTimeUnit: v.picklist(["ms", "ns"]),
  otherData: args,
  traceEvents: v.array(event),
});

type Event = v.InferOutput<typeof event>;
type Span = readonly [start: number, end: number];

/** Expects a parsed file to keep them. */
export function expectChromeTrace(json: unknown): void {
  const result = v.safeParse(file, json);
  expect(result.issues?.map((issue) => `${v.getDotPath(issue)}: ${issue.message}`) ?? []).toEqual([]);
  if (!result.success) return;
  const { traceEvents } = result.output;
  expectNames(traceEvents);
  expectPairs(traceEvents);
  const tracks = new Map<string, Span[]>();
  for (const found of traceEvents) {
    if (found.ph !== "X") continue;
    const key = `${found.pid} ${found.tid}`;
    tracks.set(key, [...(tracks.get(key) ?? []), [found.ts, found.ts + found.dur]]);
  }
  for (const track of tracks.values()) expectNested(track);
}

/** Each track is named, once. */
function expectNames(events: readonly Event[]): void {
  const names = events.filter((found) => found.ph === "M" && found.name === "thread_name");
  const named = new Set(names.map((found) => `${found.pid} ${found.tid}`));
  expect(named.size).toBe(names.length);
  const used = events.filter(({ ph }) => ph !== "M").map((found) => `${found.pid} ${found.tid}`);
  expect(used.filter((track) => !named.has(track))).toEqual([]);
}

function expectPairs(events: readonly Event[]): void {
  const open = new Map<string, Event & { readonly ph: "b" | "e" }>();
  for (const found of events) {
    if (found.ph !== "b" && found.ph !== "e") continue;
    const key = JSON.stringify([found.pid, found.cat, found.id2.local]);
    const begin = open.get(key);
    if (found.ph === "b") {
      expect(begin).toBe(undefined);
      open.set(key, found);
    } else {
      expect(begin).toMatchObject({ name: found.name, tid: found.tid });
      expect(begin?.ts).toBeLessThanOrEqual(found.ts);
      open.delete(key);
    }
  }
  expect([...open.keys()]).toEqual([]);
}

/** Of two spans of a track one is within the other, or they do not touch. */
export function expectNested(spans: readonly Span[]): void {
  const inOrder = [...spans].sort(([one, oneEnd], [other, otherEnd]) => one - other || otherEnd - oneEnd);
  const open: number[] = [];
  for (const [start, end] of inOrder) {
    while ((open.at(-1) ?? Infinity) <= start) open.pop();
    expect(end).toBeLessThanOrEqual((open.at(-1) ?? Infinity) + 0.002);
    open.push(end);
  }
}
