import { describe, expect, it } from "vitest";
import { GuestRam } from "../../memory/guest-ram.ts";
import type { DeviceHost, DeviceModel } from "../../virtio/device-model.ts";
import { Chain, DescriptorList, type DeviceQueue } from "../../virtio/queue.ts";
import { createSplitDeviceQueue, createSplitDriverQueue, splitLayout } from "../../virtio/split/index.ts";
import { GpuReply } from "../../wire/gpu.ts";
import { encodeCommand, readHeader } from "../../wire/gpu.gen.ts";
import { VirtualClock } from "../virtual-clock.ts";
import type { CommandEffect, CommandFault } from "./command-faults.ts";
import { FaultyModel } from "./faulty-model.ts";

const SIZE = 8;
const RINGS_AT = 0x1000;
const REQUESTS_AT = 0x8000;
const REPLIES_AT = 0xa000;
const SLOT_BYTES = 64;
const UNTOUCHED = 0x55;

/** Answers OK to everything, echoing fences, and remembers what it carried out. */
class EchoModel implements DeviceModel {
  readonly deviceId: number = 16;
  readonly features: bigint = 0n;
  readonly queueSizes: readonly number[] = [SIZE];
  readonly configBytes: number = 16;
  readonly sharedMemory: readonly [] = [];
  readonly carriedOut: number[] = [];
  resets = 0;
  #host: DeviceHost | null = null;
  attach(host: DeviceHost): void {
    this.#host = host;
  }
  readConfig8(offset: number): number {
    return offset;
  }
  writeConfig(): void {}
  activate(): void {}
  process(index: number, queue: DeviceQueue): void {
    const chain = new Chain();
    const before = this.carriedOut.length;
    while (queue.pop(chain)) {
      const request = new Uint32Array(8);
      this.#host?.memory.read(chain.list.addresses[0] ?? 0, new Uint8Array(request.buffer));
      this.carriedOut.push(request[6] ?? 0);
      request[0] = GpuReply.OK_NODATA;
      this.#host?.memory.write(chain.list.addresses[1] ?? 0, new Uint8Array(request.buffer, 0, 24));
      queue.push(chain, 24);
    }
    if (this.carriedOut.length > before && queue.flush()) this.#host?.queueInterrupt(index);
  }
  reset(): void {
    this.resets += 1;
  }
}

/** A driver's queue onto a faulty model, with a slot of memory a command. */
class Bench {
  readonly clock: VirtualClock = new VirtualClock();
  readonly ram: GuestRam = GuestRam.of(0x10000);
  readonly echo: EchoModel = new EchoModel();
  readonly deaths: number[] = [];
  readonly model: FaultyModel;
  interrupts = 0;
  broken: string | null = null;
  readonly #driver;
  readonly #device;
  readonly #slots: Map<number, number> = new Map();
  #sent = 0;

  constructor(...faults: readonly CommandFault[]) {
    this.model = new FaultyModel(this.echo, {
      clock: this.clock,
      onDie: (command) => this.deaths.push(command.sequence),
    });
    this.model.attach({
      memory: this.ram,
      configChanged: () => {},
      needsReset: (reason) => {
        this.broken = reason;
      },
      queueInterrupt: () => {
        this.interrupts += 1;
      },
    });
    for (const fault of faults) this.model.faults.inject(fault);
    const layout = { size: SIZE, indirectEntries: 4 };
    const memory = this.ram.ringMemory(RINGS_AT, splitLayout(layout).byteLength);
    this.#driver = createSplitDriverQueue({ ...layout, eventIndex: true, memory, address: RINGS_AT });
    const { addresses } = this.#driver;
    this.#device = createSplitDeviceQueue({ memory: this.ram, addresses, indirect: true, eventIndex: true });
    this.ram.view(REPLIES_AT, SLOT_BYTES * SIZE).fill(UNTOUCHED);
    this.#driver.enableInterrupts();
  }

  get sick(): string | null {
    return this.#driver.broken;
  }

  /** Sends fenced UNREFs of resources 1, 2, 3, ... and kicks once. */
  send(count: number): void {
    const list = new DescriptorList();
    for (let index = 0; index < count; index += 1) {
      const slot = this.#sent % SIZE;
      this.#sent += 1;
      const request = encodeCommand(
        { op: "resourceUnref", resourceId: this.#sent },
        { flags: 1, fenceLow: this.#sent },
      );
      this.ram.write(REQUESTS_AT + slot * SLOT_BYTES, new Uint8Array(request.buffer));
      list.clear();
      list.pushReadable(REQUESTS_AT + slot * SLOT_BYTES, request.byteLength);
      list.pushWritable(REPLIES_AT + slot * SLOT_BYTES, 24);
      this.#slots.set(this.#driver.add(list), slot);
    }
    this.kick();
  }

  kick(): void {
    this.model.process(0, this.#device);
  }

  /** Takes what came back: per reply its type and fence, and its used length where that is not 24. */
  take(): string[] {
    const seen: string[] = [];
    while (this.#driver.pop()) {
      const { id, byteLength } = this.#driver.used;
      const header = this.replyIn(this.#slots.get(id) ?? -1);
      const length = byteLength === 24 ? "" : ` in ${byteLength} bytes`;
      seen.push(`${header.type.toString(16)} #${header.fenceLow}${length}`);
    }
    this.#driver.enableInterrupts();
    return seen;
  }

  replyIn(slot: number) {
    const words = new Uint32Array(6);
    this.ram.read(REPLIES_AT + slot * SLOT_BYTES, new Uint8Array(words.buffer));
    return readHeader(words, 0);
  }

  untouched(slot: number): boolean {
    return this.ram.view(REPLIES_AT + slot * SLOT_BYTES, 24).every((byte) => byte === UNTOUCHED);
  }
}

const second = (effect: CommandEffect): CommandFault => ({ at: 2, effect });

describe("a faulty model", () => {
  it("is the model it wraps where no fault is planned", () => {
    const bench = new Bench();
    bench.send(3);
    expect(bench.take()).toEqual(["1100 #1", "1100 #2", "1100 #3"]);
    expect(bench.interrupts).toBe(1);
    expect(bench.model.faults.render()).toBe("RESOURCE_UNREF 1\nRESOURCE_UNREF 2\nRESOURCE_UNREF 3");
    expect(bench.model.deviceId).toBe(16);
    expect(bench.model.readConfig8(3)).toBe(3);
  });

  it("hangs: takes the command and all behind it, carries none out, and goes on in order when released", () => {
    const bench = new Bench(second({ kind: "hang" }));
    bench.send(3);
    bench.send(1);
    expect(bench.take()).toEqual(["1100 #1"]);
    expect(bench.echo.carriedOut).toEqual([1]);
    expect(bench.model.faults.count).toBe(4);
    expect(bench.model.pending).toBe(3);
    bench.model.release();
    expect(bench.take()).toEqual(["1100 #2", "1100 #3", "1100 #4"]);
    expect(bench.echo.carriedOut).toEqual([1, 2, 3, 4]);
    expect(bench.interrupts).toBe(2);
    bench.send(1);
    expect(bench.take()).toEqual(["1100 #5"]);
  });

  it("hangs again in what hung, and keeps the order", () => {
    const bench = new Bench({ times: 2, effect: { kind: "hang" } });
    bench.send(3);
    bench.model.release();
    expect(bench.take()).toEqual(["1100 #1"]);
    bench.model.release();
    expect(bench.take()).toEqual(["1100 #2", "1100 #3"]);
  });

  it("holds a reply, bytes and all, until released; others overtake it", () => {
    const bench = new Bench(second({ kind: "hold" }));
    bench.send(3);
    expect(bench.take()).toEqual(["1100 #1", "1100 #3"]);
    expect(bench.echo.carriedOut).toEqual([1, 2, 3]);
    expect(bench.untouched(1)).toBe(true);
    bench.model.release();
    expect(bench.take()).toEqual(["1100 #2"]);
    expect(bench.interrupts).toBe(2);
  });

  it("answers slowly, each reply so many milliseconds late", async () => {
    const bench = new Bench({ times: Infinity, effect: { kind: "slow", ms: 30 } });
    bench.send(2);
    await bench.clock.advance(29);
    expect(bench.take()).toEqual([]);
    expect(bench.untouched(0)).toBe(true);
    await bench.clock.advance(1);
    expect(bench.take()).toEqual(["1100 #1", "1100 #2"]);
  });

  it("lets other replies go first", () => {
    const bench = new Bench({ effect: { kind: "reorder", replies: 2 } });
    bench.send(4);
    expect(bench.take()).toEqual(["1100 #2", "1100 #3", "1100 #1", "1100 #4"]);
  });

  it("never answers", () => {
    const bench = new Bench(second({ kind: "drop" }));
    bench.send(3);
    expect(bench.take()).toEqual(["1100 #1", "1100 #3"]);
    expect(bench.echo.carriedOut).toEqual([1, 2, 3]);
    expect(bench.untouched(1)).toBe(true);
    bench.model.release();
    expect(bench.take()).toEqual([]);
  });

  it("refuses a command without carrying it out, with the fence echoed", () => {
    const bench = new Bench(second({ kind: "refuse", reply: GpuReply.ERR_OUT_OF_MEMORY }));
    bench.send(3);
    expect(bench.take()).toEqual(["1100 #1", "1201 #2", "1100 #3"]);
    expect(bench.echo.carriedOut).toEqual([1, 3]);
  });

  it("refuses a lone command, and interrupts for that", () => {
    const bench = new Bench({ effect: { kind: "refuse", reply: GpuReply.ERR_UNSPEC } });
    bench.send(1);
    expect(bench.interrupts).toBe(1);
    expect(bench.take()).toEqual(["1200 #1"]);
  });

  it("carries a command out and claims it failed", () => {
    const bench = new Bench(second({ kind: "mask", reply: GpuReply.ERR_UNSPEC }));
    bench.send(2);
    expect(bench.take()).toEqual(["1100 #1", "1200 #2"]);
    expect(bench.echo.carriedOut).toEqual([1, 2]);
  });

  it("lies in the reply's header and in its length", () => {
    const header = { type: GpuReply.OK_EDID, fenceLow: 77 };
    const bench = new Bench(second({ kind: "lie", header }), { at: 3, effect: { kind: "lie", usedLength: 8 } });
    bench.send(3);
    expect(bench.take()).toEqual(["1100 #1", "1104 #77", "1100 #3 in 8 bytes"]);
  });

  it("claims to have written more than it could, which the driver's queue finds out", () => {
    const bench = new Bench({ effect: { kind: "lie", usedLength: 25 } });
    bench.send(1);
    expect(bench.take()).toEqual([]);
    expect(bench.sick).not.toBeNull();
  });

  it("returns an id that is not outstanding, which the driver's queue finds out", () => {
    const bench = new Bench({ effect: { kind: "lie", usedId: 5 } });
    bench.send(1);
    expect(bench.take()).toEqual([]);
    expect(bench.sick).not.toBeNull();
  });

  it("returns a used element twice, which the driver's queue finds out", () => {
    const bench = new Bench({ effect: { kind: "duplicate" } });
    bench.send(3);
    expect(bench.take()).toEqual(["1100 #1"]);
    expect(bench.sick).not.toBeNull();
  });

  it("dies before the command is carried out", () => {
    const bench = new Bench(second({ kind: "die" }));
    bench.send(3);
    expect(bench.deaths).toEqual([2]);
    expect(bench.echo.carriedOut).toEqual([1]);
    expect(bench.take()).toEqual([]);
  });

  it("breaks down at a command", () => {
    const bench = new Bench(second({ kind: "break" }));
    bench.send(3);
    expect(bench.broken).toBe("command 2 broke the device");
    expect(bench.echo.carriedOut).toEqual([1]);
  });

  it("lets something else happen just before a command", () => {
    const bench = new Bench();
    const before: number[][] = [];
    bench.model.faults.inject(second({ kind: "call", run: () => before.push([...bench.echo.carriedOut]) }));
    bench.send(3);
    expect(before).toEqual([[1]]);
    expect(bench.echo.carriedOut).toEqual([1, 2, 3]);
  });

  it.each([
    ["reset", (bench: Bench) => bench.model.reset()],
    ["reset of the queue", (bench: Bench) => bench.model.closeQueue(0)],
  ])("touches no memory after a %s, whatever it held back", async (_, reset) => {
    const bench = new Bench(
      { effect: { kind: "hold" } },
      { at: 2, effect: { kind: "slow", ms: 10 } },
      { at: 3, effect: { kind: "hang" } },
    );
    bench.send(4);
    reset(bench);
    await bench.clock.advance(100);
    bench.model.release();
    expect([0, 1, 2, 3].map((slot) => bench.untouched(slot))).toEqual([true, true, true, true]);
    expect(bench.take()).toEqual([]);
    expect(bench.model.pending).toBe(0);
    expect(bench.echo.carriedOut).toEqual([1, 2]);
  });
});
