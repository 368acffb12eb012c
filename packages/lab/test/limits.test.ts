/** What others can make grow in the lab, row by row of docs/security.md (packages/core/test/limits.test.ts has the rest). */
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex } from "node:stream";
import { afterAll, expect, it } from "vitest";
import { AgentChannel } from "../src/guests/linux/agent-channel.ts";
import { QmpClient } from "../src/hosts/qemu/qmp-client.ts";
import { QtestChannel } from "../src/hosts/qemu/qtest-channel.ts";
import { RfbClient } from "../src/hosts/qemu/rfb-client.ts";
import { writeImage } from "../src/image/index.ts";
import { openTrace } from "../src/trace/trace-file.ts";

const folder = mkdtempSync(join(tmpdir(), "virtgpu-limits-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const port = (): Duplex => new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
const MIB = Buffer.alloc(1 << 20, 0x20);

it("limit 13: a line of QMP has at most 32 MiB, then the connection ends", async () => {
  const socket = port();
  const client = new QmpClient(socket);
  const asked = client.execute("query-status");
  const refused = expect(asked).rejects.toMatchObject({
    code: "ENODEV",
    message: expect.stringContaining("a line of"),
  });
  for (let mib = 0; mib < 33; mib += 1) socket.push(MIB);
  await refused;
  expect(socket.destroyed).toBe(true);
});

it("limit 14: a line of qtest has at most 64 KiB, then QEMU is given up", () => {
  const file = join(folder, "qtest");
  writeFileSync(file, Buffer.alloc(1 << 20, 0x41));
  const channel = new QtestChannel({ deadlineMs: 20 });
  channel.attach(openSync(file, "r"), openSync("/dev/null", "w"));
  expect(() => channel.ask("clock_step")).toThrow(expect.objectContaining({ code: "ENODEV" }));
  expect(channel.isOpen).toBe(false);
});

it("limit 15: a line of the agent has at most 32 MiB, then its calls end", async () => {
  const channel = new AgentChannel({ alive: () => undefined, failed: () => undefined, noise: () => undefined });
  const stream = port();
  channel.attach(stream);
  const refused = expect(channel.call("hello", {})).rejects.toMatchObject({ code: "EPROTO" });
  for (let mib = 0; mib < 33; mib += 1) stream.push(MIB);
  await refused;
});

/** A VNC server that shakes hands, and then says this. */
async function vnc(width: number, height: number, name: number, says: readonly number[]): Promise<string> {
  const stream = port();
  const word = (value: number): number[] => [value >>> 24, (value >> 16) & 255, (value >> 8) & 255, value & 255];
  const half = (value: number): number[] => [value >> 8, value & 255];
  stream.push(Uint8Array.from([...Buffer.from("RFB 003.008\n"), 1, 1, 0, 0, 0, 0]));
  const format = Array<number>(16).fill(0);
  stream.push(Uint8Array.from([...half(width), ...half(height), ...format, ...word(name), ...says]));
  try {
    const client = await RfbClient.over(stream as Socket);
    await client.until(() => false, 200);
    return "shown";
  } catch (error) {
    return error instanceof Error ? error.message : "";
  } finally {
    stream.destroy();
  }
}

it("limit 16: a VNC picture has at most 16,384 pixels a side and 64 Mi in all, a cursor 1,024, a text 1 MiB", async () => {
  expect(await vnc(8, 8, 0, [])).toMatch(/showed nothing/);
  expect(await vnc(16_385, 8, 0, [])).toMatch(/16385x8/);
  expect(await vnc(16_384, 16_384, 0, [])).toMatch(/16384x16384/);
  expect(await vnc(8, 8, (1 << 20) + 1, [])).toMatch(/a text of/);
  expect(await vnc(8, 8, 0, [3, 0, 0, 0, 255, 255, 255, 255])).toMatch(/a text of/);
  const rectangle = [0, 0, 0, 1, 0, 0, 0, 0];
  expect(await vnc(8, 8, 0, [...rectangle, 0, 9, 0, 8, 0, 0, 0, 0])).toMatch(/outside its picture/);
  expect(await vnc(8, 8, 0, [...rectangle, 4, 1, 4, 1, 255, 255, 255, 17])).toMatch(/a cursor of 1025x1025/);
  expect(await vnc(8, 8, 0, [...rectangle, 255, 255, 255, 255, 255, 255, 255, 33])).toMatch(/65535x65535/);
});

it("limit 17: an image has at most 256 sections of 256 MiB, and chunks of 16 MiB", async () => {
  const identity = { machine: "00000000-0000-4000-8000-000000000001", generation: 1 };
  const ram = { byteLength: 4096, read: () => Promise.resolve() };
  const write = (sections: ReadonlyMap<string, Uint8Array>, chunkBytes?: number): Promise<unknown> =>
    writeImage(join(folder, "image"), { identity, ram, sections }, chunkBytes === undefined ? {} : { chunkBytes });
  const many = new Map(Array.from({ length: 257 }, (_, index) => [`s${String(index)}`, new Uint8Array(1)]));
  await expect(write(many)).rejects.toMatchObject({ message: expect.stringContaining("257 sections") });
  await expect(write(new Map([["large", new Uint8Array((256 << 20) + 1)]]))).rejects.toMatchObject({ code: "EINVAL" });
  await expect(write(new Map(), 32 << 20)).rejects.toMatchObject({ message: expect.stringContaining("chunks") });
});

it("limit 18: a line of a trace has at most 4 MiB", async () => {
  const file = join(folder, "trace");
  const header = JSON.stringify({ kind: "virtgpu-trace", version: 1, host: "x", outputs: [{ width: 16, height: 16 }] });
  writeFileSync(file, Buffer.concat([Buffer.from(`${header}\n`), Buffer.alloc(8 << 20, 0x41)]));
  const readAll = async (): Promise<void> => {
    const { entries } = await openTrace(file);
    for await (const entry of entries) expect(entry).toBeNull();
  };
  await expect(readAll()).rejects.toThrow(/trace/);
  closeSync(openSync(file, "r"));
});
