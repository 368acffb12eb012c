/**
 * The Chrome trace, held against the rules of the Trace Event Format.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { chromeTrace, nestingTracks, type ChromeTrace, type TraceEventJson } from "../src/report/chrome-trace.ts";
import type { PhaseRecord } from "../src/report/run-record.ts";
import { HOSTILE, sampleCommands, sampleRun } from "./support/report-samples.ts";

/**
 * What a reader relies on: times are numbers from 0 on, each "b" has its "e" by process, category and id, complete events
 * nest on their track, and each track has its name.
 */
function check({ traceEvents }: ChromeTrace): void {
  const open = new Map<string, TraceEventJson>();
  const named = new Set<string>();
  for (const { name, ph, pid, tid, args } of traceEvents) {
    if (ph === "M" && name === "thread_name") named.add(`${pid} ${tid}`);
    if (ph === "M") expect(Object.keys(args ?? {})).toHaveLength(1);
  }
  for (const event of traceEvents) {
    const { ph, pid, tid, ts = NaN, name, cat } = event;
    expect(typeof name).toBe("string");
    if (ph === "M") continue;
    expect(ts).toBeGreaterThanOrEqual(0);
    expect(named).toContain(`${pid} ${tid}`);
    expect(cat).not.toMatch(/,|^$/);
    const key = JSON.stringify([pid, cat, event.id2?.local]);
    if (ph === "X") expect(event.dur).toBeGreaterThanOrEqual(0);
    if (ph === "b") {
      expect(open.has(key)).toBe(false);
      open.set(key, event);
    }
    if (ph === "e") {
      const begin = open.get(key);
      expect(begin?.name).toBe(name);
      expect(begin?.ts).toBeLessThanOrEqual(ts);
      open.delete(key);
    }
  }
  expect(open.size).toBe(0);
  const spans = new Map<string, [number, number][]>();
  for (const { ph, pid, tid, ts = NaN, dur = NaN } of traceEvents) {
    if (ph !== "X") continue;
    const key = `${pid} ${tid}`;
    spans.set(key, [...(spans.get(key) ?? []), [ts, ts + dur]]);
  }
  for (const track of spans.values()) expectNested(track);
}

function expectNested(spans: readonly (readonly [number, number])[]): void {
  const inOrder = [...spans].sort(([one, oneEnd], [other, otherEnd]) => one - other || otherEnd - oneEnd);
  const open: number[] = [];
  for (const [start, end] of inOrder) {
    while ((open.at(-1) ?? Infinity) <= start) open.pop();
    expect(end).toBeLessThanOrEqual((open.at(-1) ?? Infinity) + 0.002);
    open.push(end);
  }
}

describe("a Chrome trace", () => {
  it("keeps the rules of the format", () => {
    check(chromeTrace(sampleRun()));
    check(chromeTrace(sampleRun({ commands: sampleCommands(500), phases: [], processes: [] })));
  });

  it("has a process for each machine process, a track of phases for each device, one for each queue", () => {
    const { traceEvents } = chromeTrace(sampleRun());
    const names = traceEvents.filter(({ ph }) => ph === "M").flatMap(({ args }) => Object.values(args ?? {}));
    expect(names).toEqual(
      expect.arrayContaining([
        "process 1: draws and sleeps (pid 4711)",
        "process 2: comes back from the image (pid 4730)",
        "system phases",
        "gpu0 phases",
        "gpu0 control queue",
        "gpu0 cursor queue",
      ]),
    );
  });

  it("gives times in microseconds, commands from submission to reply, and says where no reply came", () => {
    const { traceEvents } = chromeTrace(sampleRun());
    const freeze = traceEvents.find(({ name }) => name === "freeze FREEZE");
    expect(freeze).toMatchObject({ ph: "X", pid: 1, ts: 819_500, dur: 20_000, args: { outcome: "done" } });
    const begins = traceEvents.filter(({ ph }) => ph === "b");
    expect(begins).toHaveLength(160);
    expect(begins[0]).toMatchObject({ name: "RESOURCE_CREATE_2D", ts: 1_449_500, args: { reply: "OK_NODATA" } });
    expect(traceEvents.filter(({ ph }) => ph === "e")[0]).toMatchObject({ ts: 1_449_800 });
    expect(begins.at(-1)).toMatchObject({ args: { reply: "none" } });
  });

  it("is JSON whatever is in its names", () => {
    const phases = sampleRun().phases.map((phase) => ({ ...phase, device: HOSTILE, phase: HOSTILE, detail: HOSTILE }));
    const commands = sampleCommands(20).map((command) => ({ ...command, device: `${HOSTILE},a` }));
    const trace = chromeTrace(sampleRun({ phases, commands }));
    check(trace);
    expect(JSON.parse(JSON.stringify(trace))).toEqual(trace);
  });

  it("puts phases that overlap without nesting on tracks of their own, and loses none", () => {
    const phase = fc.record({ startMs: fc.integer({ min: 0, max: 50 }), durationMs: fc.integer({ min: 0, max: 20 }) });
    fc.assert(
      fc.property(fc.array(phase, { maxLength: 30 }), (times) => {
        const phases = times.map((time): PhaseRecord => {
          return { process: 1, device: "gpu0", phase: "p", outcome: "done", detail: null, ...time };
        });
        const tracks = nestingTracks(phases);
        expect(new Set(tracks.flat())).toEqual(new Set(phases));
        for (const track of tracks) {
          expectNested(track.map(({ startMs, durationMs }) => [startMs, startMs + durationMs]));
        }
      }),
    );
  });
});
