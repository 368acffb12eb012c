/**
 * The Chrome trace, held against the rules of the Trace Event Format.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { chromeTrace, nestingTracks } from "../src/report/chrome-trace.ts";
import type { PhaseRecord } from "../src/report/run-record.ts";
import { expectChromeTrace, expectNested } from "./support/chrome-trace-rules.ts";
import { HOSTILE, sampleCommands, sampleRun } from "./support/report-samples.ts";

describe("a Chrome trace", () => {
  it("keeps the rules of the format", () => {
    expectChromeTrace(chromeTrace(sampleRun()));
    expectChromeTrace(chromeTrace(sampleRun({ commands: sampleCommands(500), phases: [], processes: [] })));
  });

  it.each([
    ["a time that is none", { ts: NaN }],
    ["a negative duration", { dur: -1 }],
    ["a track without a name", { tid: 99 }],
    ["two categories", { cat: "a,b" }],
    ["a phase of event that is not ours", { ph: "B" }],
  ])("is refused by the rules where it has %s", (_, wrong) => {
    const trace = chromeTrace(sampleRun());
    const at = trace.traceEvents.findIndex(({ ph }) => ph === "X");
    const traceEvents = trace.traceEvents.map((event, index) => (index === at ? { ...event, ...wrong } : event));
    expect(() => expectChromeTrace({ ...trace, traceEvents })).toThrow();
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
    expectChromeTrace(trace);
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
