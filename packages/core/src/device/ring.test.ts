/**
 * Between ring and device: batches, interrupts, buffers in the wrong places, and what happens when the device is reset or
 * kicked from inside a command.
 */
import { describe, expect, it } from "vitest";
import type { TraceEvent } from "../base/tracer.ts";
import { GuestRam } from "../memory/guest-ram.ts";
import { RingViolation } from "../virtio/queue.ts";
import { createSplitDeviceQueue } from "../virtio/split/index.ts";
import { type Command, encodeCommand } from "../wire/gpu.gen.ts";
import { GpuCommand, GpuReply } from "../wire/gpu.ts";
import { DescriptorFlag } from "../wire/ring.ts";
import type { DisplaySink } from "./display-sink.ts";
import type { VirtioGpuDeviceOptions } from "./options.ts";
import { FREE_MEMORY, GpuBench, RAM_BYTES, toBytes, toWords } from "./test-bench.ts";

const WRITE = DescriptorFlag.WRITE;
const full = { x: 0, y: 0, width: 64, height: 64 };
const flushOf = (resourceId: number): Command => ({ op: "resourceFlush", ...full, resourceId });
const AT = FREE_MEMORY + (1 << 20);
const END = RAM_BYTES;

function sinkThat(react: (what: string) => void): DisplaySink {
  return {
    scanout: () => react("scanout"),
    flush: () => react("flush"),
    updateCursor: () => react("update"),
    moveCursor: () => react("move"),
    hideCursor: () => react("hide"),
  };
}

/** A bench whose resource 1 is shown, with a request to flush it at {@link AT}. */
function shown(react: (what: string, bench: GpuBench) => void, options: VirtioGpuDeviceOptions = {}): GpuBench {
  let bench: GpuBench | null = null;
  const sink = sinkThat((what) => {
    if (bench !== null) react(what, bench);
  });
  const made = new GpuBench({ ...options, sink });
  made.picture(1, { width: 64, height: 64 });
  made.run({ op: "setScanout", ...full, scanoutId: 0, resourceId: 1 });
  made.ram.write(AT, toBytes(encodeCommand(flushOf(1))));
  bench = made;
  return made;
}

/** A flush whose sink reacts. */
function sendFlush(bench: GpuBench, replyAt: number = AT + 4096): number {
  return bench.chain(0, [
    { address: AT, length: 48 },
    { address: replyAt, length: 24, flags: WRITE },
  ]);
}

describe("a kick", () => {
  it("works off everything available, in order, with one interrupt", () => {
    const bench = new GpuBench();
    const [driver] = bench.drivers;
    const [queue] = bench.queues;
    if (driver === undefined || queue === undefined) throw new Error("no queue");
    const commands: Command[] = [
      { op: "resourceCreate2d", resourceId: 1, format: 2, width: 16, height: 16 },
      flushOf(1),
      { op: "resourceUnref", resourceId: 1 },
      { op: "resourceUnref", resourceId: 1 },
    ];
    for (const [index, command] of commands.entries()) {
      const request = toBytes(encodeCommand(command));
      bench.ram.write(AT + index * 256, request);
      driver.chain(index * 2, [
        { address: AT + index * 256, length: request.byteLength },
        { address: AT + index * 256 + 128, length: 24, flags: WRITE },
      ]);
    }
    bench.device.process(0, queue);
    expect(driver.usedIndex).toBe(4);
    expect([0, 1, 2, 3].map((slot) => driver.used(slot).id)).toEqual([0, 2, 4, 6]);
    const types = commands.map((_, index) => toWords(bench.ram.view(AT + index * 256 + 128, 4))[0]);
    expect(types).toEqual([0x1100, 0x1205, 0x1100, 0x1203]);
    expect(bench.host.interrupts).toEqual([0]);
    bench.device.process(0, queue);
    expect(bench.host.interrupts).toEqual([0]);
  });

  it("of a queue that there is not does nothing", () => {
    const bench = new GpuBench();
    const [queue] = bench.queues;
    if (queue === undefined) throw new Error("no queue");
    expect(() => bench.device.process(2, queue)).not.toThrow();
  });

  it("returns what was done before the ring was broken, then throws", () => {
    const bench = new GpuBench();
    const [driver] = bench.drivers;
    const [queue] = bench.queues;
    if (driver === undefined || queue === undefined) throw new Error("no queue");
    bench.ram.write(AT, toBytes(encodeCommand({ op: "getDisplayInfo" })));
    driver.chain(0, [
      { address: AT, length: 24 },
      { address: AT + 4096, length: 408, flags: WRITE },
    ]);
    driver.available(999);
    expect(() => bench.device.process(0, queue)).toThrow(RingViolation);
    expect(driver.usedIndex).toBe(1);
    expect(driver.used(0).length).toBe(408);
    expect(bench.host.interrupts).toEqual([0]);
    expect(() => bench.device.process(0, queue)).toThrow(RingViolation);
    bench.reset();
    expect(bench.type({ op: "getDisplayInfo" })).toBe(GpuReply.OK_DISPLAY_INFO);
  });
});

describe("buffers", () => {
  it("may be split as finely as the driver likes", () => {
    const bench = new GpuBench();
    const request = toBytes(encodeCommand({ op: "resourceCreate2d", resourceId: 1, format: 2, width: 16, height: 16 }));
    const parts = [...request.keys()].map((at) => ({ address: AT + at * 3, length: 1 }));
    for (const [at, byte] of request.entries()) bench.ram.write(AT + at * 3, Uint8Array.of(byte));
    const replies = Array.from({ length: 20 }, (_, at) => ({ address: AT + 8192 + at * 5, length: 2, flags: WRITE }));
    expect(bench.chain(0, [...parts, ...replies])).toBe(24);
    expect(bench.device.usage.resources).toBe(1);
    expect([...bench.ram.view(AT + 8192, 2)]).toEqual([0x00, 0x11]);
  });

  it("that are not memory: nothing is executed, and the chain comes back (unreadable-request)", () => {
    const bench = new GpuBench();
    for (const address of [END, END - 10, 2 ** 52, 0xffff_ffff_ffff_f000n]) {
      const reply = { address: AT + 4096, length: 24, flags: WRITE };
      expect(bench.chain(0, [{ address, length: 40 }, reply])).toBe(24);
      expect([...toWords(bench.ram.view(AT + 4096, 24))]).toEqual([GpuReply.ERR_UNSPEC, 0, 0, 0, 0, 0]);
      expect(bench.chain(1, [{ address, length: 56 }])).toBe(0);
    }
  });

  it("for replies that are not memory count for nothing (unwritable-reply)", () => {
    const bench = new GpuBench();
    bench.ram.write(AT, toBytes(encodeCommand({ op: "getDisplayInfo" })));
    const request = { address: AT, length: 24 };
    expect(bench.chain(0, [request, { address: END, length: 408, flags: WRITE }])).toBe(0);
    expect(bench.chain(0, [request, { address: END - 100, length: 408, flags: WRITE }])).toBe(0);
    const parts = [
      { address: AT + 4096, length: 100, flags: WRITE },
      { address: END, length: 100, flags: WRITE },
      { address: AT + 8192, length: 400, flags: WRITE },
    ];
    bench.ram.write(AT + 8192, new Uint8Array(400).fill(0x55));
    expect(bench.chain(0, [request, ...parts])).toBe(100);
    expect(bench.ram.view(AT + 8192, 400).every((byte) => byte === 0x55)).toBe(true);
  });

  it("may alias one another and the rings: the request is copied before the reply is written", () => {
    const bench = new GpuBench();
    bench.ram.write(AT, toBytes(encodeCommand(flushOf(99), { flags: 1, fenceLow: 5 })));
    const used = bench.chain(0, [
      { address: AT, length: 48 },
      { address: AT + 8, length: 24, flags: WRITE },
    ]);
    expect(used).toBe(24);
    expect([...toWords(bench.ram.view(AT + 8, 24))]).toEqual([GpuReply.ERR_INVALID_RESOURCE_ID, 1, 5, 0, 0, 0]);
    const rings = bench.drivers[0]?.addresses ?? { descriptors: 0, device: 0 };
    for (const address of [rings.descriptors, rings.device + 4]) {
      bench.chain(0, [
        { address: rings.descriptors, length: 64 },
        { address, length: 24, flags: WRITE },
      ]);
    }
    bench.reset();
    expect(bench.type({ op: "getDisplayInfo" })).toBe(GpuReply.OK_DISPLAY_INFO);
  });
});

describe("a reset from inside a command", () => {
  it("ends it: no reply, no used element, nothing of it left", () => {
    const bench = shown((what, { device }) => {
      if (what === "flush") device.reset();
    });
    const before = bench.host.interrupts.length;
    bench.ram.write(AT + 4096, new Uint8Array(24).fill(0x55));
    expect(sendFlush(bench)).toBe(-1);
    expect(bench.ram.view(AT + 4096, 24).every((byte) => byte === 0x55)).toBe(true);
    expect(bench.host.interrupts.length).toBe(before);
    expect(bench.device.usage.resources).toBe(0);
    bench.start();
    bench.picture(1, { width: 64, height: 64 });
  });

  it("may go on to a new life at once, which works while the old command returns", () => {
    const types: number[] = [];
    const bench = shown((what, inner) => {
      if (what !== "flush") return;
      inner.reset();
      types.push(inner.type({ op: "resourceCreate2d", resourceId: 7, format: 2, width: 64, height: 64 }));
      types.push(inner.type(flushOf(1)));
    });
    sendFlush(bench);
    expect(types).toEqual([GpuReply.OK_NODATA, GpuReply.ERR_INVALID_RESOURCE_ID]);
    expect(bench.device.usage.resources).toBe(1);
    expect(bench.type(flushOf(7))).toBe(GpuReply.OK_NODATA);
  });

  it("while a resource is destroyed does no harm", () => {
    const bench = shown((what, { device }) => {
      if (what === "scanout") device.reset();
    });
    bench.send(toBytes(encodeCommand({ op: "resourceUnref", resourceId: 1 })));
    expect(bench.device.usage).toEqual({ resources: 0, hostBytes: 0, entries: 0 });
  });

  it("by the write of a reply ends it too", () => {
    class TriggeringRam extends GuestRam {
      onWrite: (() => void) | null = null;
      override write(address: number, source: Uint8Array): void {
        super.write(address, source);
        if (address >= 64 << 20) this.onWrite?.();
      }
      override view(address: number, byteLength: number): Uint8Array {
        // Not mapped, so that the device's writes come by here.
        return address >= 64 << 20 ? (null as unknown as Uint8Array) : super.view(address, byteLength);
      }
    }
    const ram = new TriggeringRam([
      { address: 0, byteLength: END },
      { address: 64 << 20, byteLength: 4096 },
    ]);
    const bench = new GpuBench({}, ram);
    ram.onWrite = () => bench.device.reset();
    bench.ram.write(AT, toBytes(encodeCommand({ op: "getDisplayInfo" })));
    const used = bench.chain(0, [
      { address: AT, length: 24 },
      { address: 64 << 20, length: 408, flags: WRITE },
    ]);
    expect(used).toBe(-1);
    expect(bench.host.interrupts).toEqual([]);
  });
});

describe("a kick from inside a command", () => {
  it("of the same queue is worked off afterwards, of the other at once", () => {
    const order: string[] = [];
    const bench = shown((what, inner) => {
      order.push(what);
      const [control] = inner.queues;
      if (what !== "flush" || control === undefined || order.length > 1) return;
      inner.cursor({ op: "updateCursor", scanoutId: 0, x: 1, y: 1, resourceId: 1, hotX: 0, hotY: 0 });
      inner.drivers[0]?.available(0);
      inner.device.process(0, control);
      order.push("returned");
    });
    sendFlush(bench);
    expect(order).toEqual(["flush", "update", "returned", "flush"]);
    expect(bench.drivers[0]?.usedIndex).toBe(6);
  });

  it("of a ring that replaced the one being worked on is worked off afterwards", () => {
    let replaced = false;
    const bench = shown((what, inner) => {
      if (what !== "flush" || replaced) return;
      replaced = true;
      const [old] = inner.queues;
      const [driver] = inner.drivers;
      if (old === undefined || driver === undefined) return;
      old.close();
      inner.ram.write(driver.addresses.driver, new Uint8Array(4));
      inner.ram.write(driver.addresses.device, new Uint8Array(4));
      const fresh = createSplitDeviceQueue({
        memory: inner.ram,
        addresses: driver.addresses,
        indirect: true,
        eventIndex: false,
      });
      inner.ram.write(driver.addresses.driver + 2, Uint8Array.of(1, 0, 0, 0));
      inner.device.process(0, fresh);
    });
    sendFlush(bench);
    expect(replaced).toBe(true);
    expect(bench.drivers[0]?.usedIndex).toBe(1);
  });

  it("after which the queue is reset: the reply's buffer is the driver's again, and is not written", () => {
    const bench = shown((what, inner) => {
      if (what === "flush") inner.queues[0]?.close();
    });
    bench.ram.write(AT + 4096, new Uint8Array(24).fill(0x55));
    expect(sendFlush(bench)).toBe(-1);
    expect(bench.ram.view(AT + 4096, 24).every((byte) => byte === 0x55)).toBe(true);
  });

  it("can't save or restore the device", () => {
    const codes: unknown[] = [];
    const bench = shown((what, { device }) => {
      if (what !== "flush") return;
      for (const attempt of [() => device.save(), () => device.restore({})]) {
        try {
          attempt();
        } catch (error) {
          codes.push(error instanceof Error && "code" in error ? error.code : error);
        }
      }
    });
    sendFlush(bench);
    expect(codes).toEqual(["EBUSY", "EBUSY"]);
  });
});

describe("the tracer", () => {
  it("hears each command and its reply, with the object it names", () => {
    const events: TraceEvent[] = [];
    const tracer = { enabled: true, trace: (event: TraceEvent) => void events.push(event) };
    const bench = new GpuBench({ tracer, label: "host" });
    bench.picture(3, { width: 64, height: 64 });
    bench.type({ op: "setScanout", ...full, scanoutId: 0, resourceId: 3 });
    bench.type(flushOf(9));
    bench.cursor({ op: "moveCursor", scanoutId: 0, x: 1, y: 1, resourceId: 3, hotX: 0, hotY: 0 });
    const told = events.map((event) =>
      event.kind === "command" || event.kind === "reply"
        ? [event.kind, event.queue, event.sequence, event.type, event.kind === "command" ? event.object : event.reply]
        : event.kind,
    );
    const { RESOURCE_CREATE_2D, RESOURCE_ATTACH_BACKING, TRANSFER_TO_HOST_2D } = GpuCommand;
    expect(told).toEqual([
      ["command", "control", 1, RESOURCE_CREATE_2D, 3],
      ["reply", "control", 1, RESOURCE_CREATE_2D, 0x1100],
      ["command", "control", 2, RESOURCE_ATTACH_BACKING, 3],
      ["reply", "control", 2, RESOURCE_ATTACH_BACKING, 0x1100],
      ["command", "control", 3, TRANSFER_TO_HOST_2D, 3],
      ["reply", "control", 3, TRANSFER_TO_HOST_2D, 0x1100],
      ["command", "control", 4, GpuCommand.SET_SCANOUT, 3],
      ["reply", "control", 4, GpuCommand.SET_SCANOUT, 0x1100],
      ["command", "control", 5, GpuCommand.RESOURCE_FLUSH, 9],
      ["reply", "control", 5, GpuCommand.RESOURCE_FLUSH, 0x1203],
      ["command", "cursor", 1, GpuCommand.MOVE_CURSOR, 3],
    ]);
    expect(events.every((event) => event.device === "host")).toBe(true);
  });
});
