/**
 * What a peer can make grow, row by row of docs/security.md: each bound is reached, and not passed. The lab's rows are in
 * packages/lab/test/limits.test.ts; the last test here holds the page against both.
 */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { GpuError } from "../src/base/errors.ts";
import { MemoryRenderer } from "../src/device/index.ts";
import { FREE_MEMORY, GpuBench, toBytes, toWords } from "../src/device/test-bench.ts";
import { RingViolation } from "../src/virtio/queue.ts";
import { encodeCommand } from "../src/wire/gpu.gen.ts";
import { GpuReply } from "../src/wire/gpu.ts";
import { DescriptorFlag, GpuCommand, GpuQueue } from "../src/wire/index.ts";
import { DriverBench } from "./support/driver-bench.ts";
import { SCENE_DEVICE } from "./support/scene.ts";

const { OK_NODATA: OK, ERR_OUT_OF_MEMORY: MEMORY, ERR_INVALID_PARAMETER: PARAMETER, ERR_UNSPEC: UNSPEC } = GpuReply;
const PAGE = { address: FREE_MEMORY, byteLength: 4096 };

const image = (resourceId: number, width = 16, height = 16) =>
  ({ op: "resourceCreate2d", resourceId, format: 2, width, height }) as const;
const backing = (resourceId: number, entries: number) =>
  ({
    op: "resourceAttachBacking",
    resourceId,
    // Every second page: neighbours would be one entry.
    entries: Array.from({ length: entries }, (_, k) => ({ ...PAGE, address: PAGE.address + (k % 2) * 8192 })),
  }) as const;
const small = { ramBytes: 4 << 20, device: SCENE_DEVICE };

describe("a device's guest", () => {
  it("limit 1: takes no more memory for pictures than hostMemoryBytesMax", () => {
    const bench = new GpuBench({ hostMemoryBytesMax: 10_000 });
    for (let id = 1; id <= 9; id += 1) expect(bench.type(image(id))).toBe(OK);
    for (let id = 10; id <= 99; id += 1) expect(bench.type(image(id))).toBe(MEMORY);
    expect(bench.device.usage).toMatchObject({ resources: 9, hostBytes: 9 * 1024 });
    expect(new GpuBench().type(image(1, 8192, 8192)), "256 MiB unless said otherwise").toBe(MEMORY);
  });

  it("limit 2: has no more resources than resourcesMax, also of no pixels", () => {
    const bench = new GpuBench({ resourcesMax: 4 });
    const answers = Array.from({ length: 9 }, (_, id) => bench.type(image(id + 1, 0, 0)));
    expect(answers).toEqual([OK, OK, OK, OK, MEMORY, MEMORY, MEMORY, MEMORY, MEMORY]);
    expect(bench.device.usage.resources).toBe(4);
  });

  it("limit 3: has no more contexts than contextsMax", () => {
    const bench = new GpuBench({ contextsMax: 2, renderer: new MemoryRenderer() });
    const context = { op: "ctxCreate", nameLength: 0, contextInit: 0, debugName: new Uint8Array(64) } as const;
    expect([1, 2, 3].map((contextId) => bench.type(context, { contextId }))).toEqual([OK, OK, MEMORY]);
  });

  it("limit 4: has no more entries in one backing than entriesMax", () => {
    const bench = new GpuBench({ entriesMax: 8 });
    bench.run(image(1), image(2));
    expect([bench.type(backing(1, 8)), bench.type(backing(2, 9))]).toEqual([OK, UNSPEC]);
    expect(bench.device.usage.entries).toBe(8);
  });

  it("limit 5: has no more entries in all than entriesTotalMax", () => {
    const bench = new GpuBench({ entriesTotalMax: 10 });
    bench.run(image(1), image(2), image(3));
    expect([1, 2, 3].map((id) => bench.type(backing(id, 5)))).toEqual([OK, OK, MEMORY]);
    expect(bench.device.usage.entries).toBe(10);
  });

  it("limit 6: submits at most 4 MiB in one command", () => {
    const renderer = new MemoryRenderer();
    const bench = new GpuBench({ renderer });
    bench.type({ op: "ctxCreate", nameLength: 0, contextInit: 0, debugName: new Uint8Array(64) }, { contextId: 1 });
    const header = toBytes(encodeCommand({ op: "submit3d", data: new Uint8Array(0) }, { contextId: 1 }));
    const submit = (bytes: number): number => {
      new DataView(header.buffer).setUint32(24, bytes, true);
      bench.ram.write(FREE_MEMORY, header);
      const parts = Array.from({ length: 20 }, () => ({ address: FREE_MEMORY + 4096, length: 1 << 20 }));
      const reply = { address: FREE_MEMORY + 2048, length: 24, flags: DescriptorFlag.WRITE };
      bench.chain(0, [{ address: FREE_MEMORY, length: 32 }, ...parts, reply]);
      return toWords(bench.ram.view(FREE_MEMORY + 2048, 4))[0] ?? 0;
    };
    expect([submit(4 << 20), submit((4 << 20) + 4), submit(20 << 20)]).toEqual([OK, PARAMETER, PARAMETER]);
    expect(renderer.submissions.map(({ commands }) => commands.length)).toEqual([4 << 20]);
  });

  it("limit 7: has chains of at most 1,024 descriptors", () => {
    const chainOf = (descriptors: number) => (): number => {
      const bench = new GpuBench();
      const table = new Uint32Array(4 * descriptors);
      for (let index = 0; index < descriptors; index += 1) {
        const next = index + 1 < descriptors ? DescriptorFlag.NEXT | ((index + 1) << 16) : 0;
        table.set([FREE_MEMORY + (1 << 20), 0, 1, next], 4 * index);
      }
      bench.ram.write(FREE_MEMORY, toBytes(table));
      return bench.chain(0, [{ address: FREE_MEMORY, length: 16 * descriptors, flags: DescriptorFlag.INDIRECT }]);
    };
    expect(chainOf(1024)).not.toThrow();
    expect(chainOf(1025)).toThrow(RingViolation);
  });
});

describe("a driver's host", () => {
  it("limit 8: is given no more commands than its rings have entries, however much is asked for", async () => {
    const bench = await DriverBench.start({ ...small, gpu: { queueSizeMax: 16 } });
    const picture = await bench.buffer(64, 64);
    const before = bench.host.commands.count;
    bench.host.commands.inject({ queue: GpuQueue.CONTROL, effect: { kind: "hang" } });
    const taken = bench.machine.allocator.allocatedBytes;
    const asked = Array.from({ length: 50 }, () => bench.gpu.createBuffer({ width: 16, height: 16 }));
    const flushes = Array.from({ length: 500 }, () => picture.flush());
    await bench.machine.clock.advance(1000);
    expect(bench.host.commands.count - before).toBeLessThanOrEqual(16);
    expect(bench.machine.allocator.allocatedBytes - taken, "the user's own pages and nothing else").toBe(50 * 4096);
    bench.host.resume();
    await bench.run(Promise.all([...asked, ...flushes]));
  });

  it("limit 9: that never confirms a reset costs the pages of one session, however often it is tried", async () => {
    const bench = await DriverBench.start(small);
    await bench.buffer(16, 16);
    bench.host.transport.faults.reset = { kind: "never" };
    const taken = bench.machine.allocator.allocatedBytes;
    for (let time = 0; time < 20; time += 1) {
      await bench.run(bench.gpu.recover().catch((error: unknown) => expect(error).toBeInstanceOf(GpuError)));
    }
    expect(bench.machine.allocator.allocatedBytes).toBeLessThanOrEqual(taken);
    bench.host.transport.faults.reset = null;
    await bench.run(bench.gpu.recover());
    expect(bench.machine.allocator.allocatedBytes).toBeLessThanOrEqual(taken);
  });

  it("limit 10: has at most 64 capability sets and 16 outputs, or is refused", async () => {
    for (const offset of [8, 12]) {
      const config = (at: number, real: number): number => (at === offset ? 65 : real);
      const bench = new DriverBench({ ...small, faults: { lies: { config } } });
      await expect(bench.probe()).rejects.toMatchObject({ code: "EPROTO" });
    }
  });

  it("limit 11: that breaks on and on is reset a few times, then lost", async () => {
    const bench = await DriverBench.start(small);
    const picture = await bench.buffer(16, 16);
    bench.host.commands.inject({ type: GpuCommand.TRANSFER_TO_HOST_2D, times: Infinity, effect: { kind: "break" } });
    const resets = bench.host.transport.resets;
    await expect(bench.run(picture.flush())).rejects.toBeInstanceOf(GpuError);
    await bench.machine.clock.advance(100_000);
    expect(bench.gpu.state).toBe("lost");
    expect(bench.host.transport.resets - resets).toBeLessThanOrEqual(10);
  });

  it("limit 12: that changes its monitors all the time is asked once in a while, not each time", async () => {
    const bench = await DriverBench.start(small);
    const before = bench.host.commands.count;
    for (let time = 0; time < 2000; time += 1) {
      bench.host.device.setOutput(1, { width: 64 + (time % 2) * 16, height: 48 });
    }
    await bench.machine.clock.advance(1000);
    expect(bench.host.commands.count - before).toBeLessThan(50);
    expect(bench.gpu.output(1).connector.width).toBe(80);
  });
});

describe("the page about security", () => {
  const read = (path: string): string => readFileSync(new URL(path, import.meta.url), "utf8");
  const page = read("../../../docs/security.md");
  const limits = (text: string): readonly number[] =>
    [...text.matchAll(/\blimit (\d+)\b(?=:| \|)/g)]
      .map(([, number]) => Number(number))
      .sort((one, other) => one - other);

  it("has a test for each limit, and a row for each test", () => {
    const tests = [...limits(read("limits.test.ts")), ...limits(read("../../lab/test/limits.test.ts"))];
    expect(limits(page)).toEqual(tests.sort((one, other) => one - other));
    expect(limits(page).length).toBeGreaterThanOrEqual(18);
  });

  it("says how to report what one has found", () => {
    expect(page).toMatch(/^## Reporting$/m);
  });
});
