/** What a tracer hears of commands. */
import { describe, expect, it } from "vitest";
import { CommandBench, OwnerLog, okReply } from "../../../test/support/command-bench.ts";
import type { TraceEvent } from "../../base/tracer.ts";
import { Recorder } from "../../sim/recorder.ts";
import { GpuReply } from "../../wire/index.ts";

describe("a command", () => {
  it("is traced with the sequence of its command", () => {
    const recorder = new Recorder();
    const bench = new CommandBench({ tracer: recorder });
    bench.send(new OwnerLog(), { object: 9 });
    bench.send(new OwnerLog());
    const [first, second] = bench.takeAll();
    bench.complete(second, okReply(GpuReply.ERR_UNSPEC));
    bench.complete(first);
    expect(recorder.render()).toBe(
      [
        "control 0 RESOURCE_FLUSH of resource 9",
        "control kick",
        "control 1 RESOURCE_FLUSH",
        "control kick",
        "control 1 RESOURCE_FLUSH -> ERR_UNSPEC",
        "control 0 RESOURCE_FLUSH -> OK_NODATA",
      ].join("\n"),
    );
  });

  it("is traced byte by byte for whoever wants that", () => {
    const events: TraceEvent[] = [];
    const tracer = { enabled: true, detailed: true, trace: (event: TraceEvent) => void events.push(event) };
    const bench = new CommandBench({ tracer });
    bench.send(new OwnerLog(), { object: 9 });
    const chain = bench.take();
    const request = new Uint8Array(bench.request(chain).buffer);
    bench.complete(chain, okReply(GpuReply.ERR_UNSPEC));
    bench.queue.u32.fill(0);
    const [command, , reply] = events;
    expect(command).toMatchObject({ kind: "command", request, capacity: chain.writableBytes });
    expect(reply).toMatchObject({
      kind: "reply",
      bytes: new Uint8Array(Uint32Array.from(okReply(GpuReply.ERR_UNSPEC)).buffer),
    });
  });
});
