import { describe, expect, it } from "vitest";
import type { TraceEvent } from "../base/tracer.ts";
import { GpuCommand, GpuReply } from "../wire/gpu.ts";
import { Recorder } from "./recorder.ts";
import { VirtualClock } from "./virtual-clock.ts";

const device = "gpu0";
const command = (sequence: number, type: number, object: number, of: string = device): TraceEvent => {
  return { kind: "command", device: of, queue: "control", sequence, type, object };
};
const reply = (sequence: number, type: number, answer: number): TraceEvent => {
  return { kind: "reply", device, queue: "control", sequence, type, reply: answer };
};

describe("a recorder", () => {
  it("renders a line an event", () => {
    const recorder = new Recorder();
    recorder.trace({ kind: "phase", device, phase: "freeze", state: "begin" });
    recorder.trace(command(1, GpuCommand.RESOURCE_UNREF, 7));
    recorder.trace(command(2, GpuCommand.GET_DISPLAY_INFO, 0));
    recorder.trace({ kind: "kick", device, queue: "control" });
    recorder.trace(reply(1, GpuCommand.RESOURCE_UNREF, GpuReply.OK_NODATA));
    recorder.trace(reply(2, GpuCommand.GET_DISPLAY_INFO, 0x1299));
    recorder.trace({ kind: "object", device, object: 7, what: "lost" });
    recorder.trace({ kind: "phase", device, phase: "freeze", state: "fail", detail: "no answer" });
    recorder.trace({ kind: "state", device, from: "running", to: "frozen", event: "freeze" });
    recorder.trace({ kind: "message", device, level: "warn", text: "the host is slow" });
    expect(recorder.render()).toMatchInlineSnapshot(`
      "phase freeze begin
      control 1 RESOURCE_UNREF of resource 7
      control 2 GET_DISPLAY_INFO
      control kick
      control 1 RESOURCE_UNREF -> OK_NODATA
      control 2 GET_DISPLAY_INFO -> reply 0x1299
      object 7 lost
      phase freeze fail: no answer
      state running -> frozen on freeze
      warn: the host is slow"
    `);
  });

  it("tells the devices, kinds and moments apart", () => {
    const recorder = new Recorder();
    recorder.trace(command(1, GpuCommand.RESOURCE_CREATE_2D, 1));
    recorder.trace(command(1, GpuCommand.RESOURCE_CREATE_2D, 1, "gpu1"));
    const mark = recorder.mark();
    recorder.trace(command(2, GpuCommand.RESOURCE_FLUSH, 1));
    recorder.trace(reply(2, GpuCommand.RESOURCE_FLUSH, GpuReply.ERR_INVALID_RESOURCE_ID));
    recorder.trace(reply(1, GpuCommand.RESOURCE_CREATE_2D, GpuReply.OK_NODATA));
    expect(recorder.commands(device).map((event) => event.sequence)).toEqual([1, 2]);
    expect(recorder.commands("gpu1")).toHaveLength(1);
    expect(recorder.commands(undefined, mark)).toHaveLength(1);
    expect(recorder.replies()).toHaveLength(2);
    expect(recorder.errorReplies().map((event) => event.sequence)).toEqual([2]);
    expect(recorder.commandCounts(device)).toEqual({ RESOURCE_CREATE_2D: 1, RESOURCE_FLUSH: 1 });
    expect(recorder.render({ kinds: ["reply"], since: mark }).split("\n")).toHaveLength(2);
    expect(recorder.phases()).toEqual([]);
  });

  it("stays within its bound, says how much it forgot, and keeps marks right", () => {
    const recorder = new Recorder({ eventsMax: 10 });
    for (let sequence = 0; sequence < 95; sequence += 1) recorder.trace(command(sequence, 0x101, 0));
    const mark = recorder.mark();
    for (let sequence = 95; sequence < 98; sequence += 1) recorder.trace(command(sequence, 0x101, 0));
    expect(recorder.events().length).toBeLessThanOrEqual(10);
    expect(recorder.events().length + recorder.dropped).toBe(98);
    expect(recorder.commands(device, mark).map((event) => event.sequence)).toEqual([95, 96, 97]);
    recorder.clear();
    expect(recorder.events({ since: mark })).toEqual([]);
    recorder.trace(command(98, 0x101, 0));
    expect(recorder.commands(device, mark)).toHaveLength(1);
  });

  it("knows when each event was heard", async () => {
    const clock = new VirtualClock();
    const recorder = new Recorder({ clock });
    await clock.advance(250);
    recorder.trace({ kind: "kick", device, queue: "cursor" });
    expect(recorder.render({ times: true })).toBe("250 ms  cursor kick");
  });
});
