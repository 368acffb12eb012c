/**
 * The device against bytes exchanged with a real QEMU (packages/core/test/golden): the same requests, the same replies. Where
 * the device differs on purpose, docs/device-differences.md says so, and the list below is what it comes to here.
 */
import { readdirSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { GpuReply } from "../wire/gpu.ts";
import { GpuBench } from "./test-bench.ts";

const FOLDER = new URL("../../test/golden/", import.meta.url);

interface Exchange {
  readonly name: string;
  readonly queue: "control" | "cursor";
  readonly request: string;
  readonly capacity: number;
  readonly used: number;
  readonly reply: string;
}

/** A request that is cut short, which QEMU says it did: the device refuses it. */
const shortRequest = { name: "create that is cut short", type: GpuReply.ERR_INVALID_PARAMETER };

function fromHex(digits: string): Uint8Array {
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

function toHex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** What QEMU's reply becomes where the device differs on purpose. */
function expectedReply(exchange: Exchange): string {
  const bytes = new Uint8Array(exchange.used);
  bytes.set(fromHex(exchange.reply));
  if (exchange.name === shortRequest.name) bytes.set([shortRequest.type & 0xff, shortRequest.type >> 8]);
  return toHex(bytes);
}

const files = readdirSync(FOLDER).filter((name) => name.endsWith(".jsonl"));

it.each(files)("answers every request of %s as QEMU did", (file) => {
  const lines = readFileSync(new URL(file, FOLDER), "utf8").trim().split("\n");
  const [first, ...rest] = lines;
  const head: { outputs: number; plain: number; features: string; config: string } = JSON.parse(first ?? "");
  const exchanges = rest.map((line): Exchange => JSON.parse(line));
  const bench = new GpuBench({ outputs: [{ width: 1280, height: 800 }, null] });
  expect(bench.device.outputs.length).toBe(head.outputs);
  expect(bench.device.features).toBe(BigInt(`0x${head.features}`) & 0xffffn);
  expect(toHex(Uint8Array.from({ length: 16 }, (_, at) => bench.device.readConfig8(at)))).toBe(head.config);
  for (const [index, exchange] of exchanges.entries()) {
    if (index === head.plain) bench.reset();
    const isCursor = exchange.queue === "cursor";
    const { used, bytes } = bench.send(fromHex(exchange.request), {
      queue: isCursor ? 1 : 0,
      capacity: exchange.capacity,
    });
    const isEdid = exchange.name.startsWith("EDID of output");
    const shown = isEdid ? bytes.subarray(0, 24) : bytes;
    const expected = isEdid ? expectedReply(exchange).slice(0, 48) : expectedReply(exchange);
    expect({ name: exchange.name, used, reply: toHex(shown) }).toEqual({
      name: exchange.name,
      used: exchange.used,
      reply: expected,
    });
  }
});
