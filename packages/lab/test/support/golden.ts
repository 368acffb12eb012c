/**
 * The golden file's shape, and how it is captured.
 */
import { readFileSync } from "node:fs";
import type { QemuHost } from "../../src/hosts/qemu/qemu-host.ts";
import { GOLDEN_OUTPUTS, goldenPlan } from "./golden-plan.ts";
import { NO_FENCE, type RawCommand, requestBytes, toHex } from "../../src/oracle/raw-commands.ts";
import { RawGpu } from "../../src/oracle/raw-gpu.ts";

/** A command by the specification's field names, to be built anew by other means; a raw body is hexadecimal here. */
export type GoldenFields =
  | Exclude<RawCommand, { readonly command: "raw" }>
  | { readonly command: "raw"; readonly type: number; readonly body: string };

/** One request and its reply. Hexadecimal strings are bytes as they lie in memory. */
export interface GoldenExchange {
  readonly name: string;
  readonly queue: "control" | "cursor";
  readonly fields: GoldenFields;
  /** Absent where all of it is 0. */
  readonly header?: {
    readonly flags: number;
    /** 64-bit, hexadecimal. */
    readonly fenceId: string;
    readonly contextId: number;
    readonly ringIndex: number;
  };
  readonly request: string;
  /** Bytes of the reply buffer; 0: there was none. */
  readonly capacity: number;
  /** Bytes that the device claimed to have written. */
  readonly used: number;
  /** These bytes, without the zeros at their end. */
  readonly reply: string;
}

/** All that was captured from one QEMU. */
export interface GoldenFile {
  /** Its version, e.g. `7.2.22`. */
  readonly qemu: string;
  readonly outputs: number;
  readonly ramBytes: number;
  /** Offered feature bits, hexadecimal. */
  readonly features: string;
  /** The first 16 bytes of device configuration space. */
  readonly config: string;
  /** The plan without fences, and after a reset once more with a fence in every request. */
  readonly plain: readonly GoldenExchange[];
  readonly fenced: readonly GoldenExchange[];
}

/** The bytes up to the last one that is not 0. */
function withoutEnd(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(0, bytes.findLastIndex((byte) => byte !== 0) + 1);
}

/** How an exchange is made: the used bytes of the reply. */
export type GoldenSend = (queue: 0 | 1, request: Uint8Array, capacity: number) => Uint8Array;

/** Plays one pass of the plan on a device that was just reset and has {@link GOLDEN_OUTPUTS} outputs. */
export function playGolden(send: GoldenSend, fenced: boolean): readonly GoldenExchange[] {
  return goldenPlan(fenced).map(({ name, command, fence, capacity }): GoldenExchange => {
    const isCursor = command.command === "update_cursor" || command.command === "move_cursor";
    const request = requestBytes(command, fence);
    const reply = send(isCursor ? 1 : 0, request, capacity);
    return {
      name,
      queue: isCursor ? "cursor" : "control",
      fields: command.command === "raw" ? { ...command, body: toHex(Uint8Array.from(command.body)) } : command,
      ...(fence === NO_FENCE ? {} : { header: { ...fence, fenceId: fence.fenceId.toString(16) } }),
      request: toHex(request),
      capacity,
      used: reply.length,
      reply: toHex(withoutEnd(reply)),
    };
  });
}

async function version(host: QemuHost): Promise<string> {
  const answer = JSON.stringify(await host.qmp.execute("query-version"));
  const match = /"qemu":\{([^}]*)\}/.exec(answer);
  const part = (name: string): string => new RegExp(`"${name}":(\\d+)`).exec(match?.[1] ?? "")?.[1] ?? "0";
  return `${part("major")}.${part("minor")}.${part("micro")}`;
}

/** Plays both passes on a freshly started host with {@link GOLDEN_OUTPUTS} outputs. */
export async function captureGolden(host: QemuHost): Promise<GoldenFile> {
  const gpu = new RawGpu(host);
  const config = Uint8Array.from({ length: 16 }, (_, offset) => gpu.config.read8(offset));
  const features = gpu.offered().toString(16);
  const send: GoldenSend = (queue, request, capacity) => gpu.send(queue, request, capacity);
  const plain = playGolden(send, false);
  gpu.reset();
  const fenced = playGolden(send, true);
  return {
    qemu: await version(host),
    outputs: GOLDEN_OUTPUTS,
    ramBytes: host.ram.byteLength,
    features,
    config: toHex(config),
    plain,
    fenced,
  };
}

/** Where the core keeps what was captured from this version; patch releases share one file. */
export function goldenPath(version: string): URL {
  const name = version.split(".").slice(0, 2).join(".");
  return new URL(`../../../core/test/golden/qemu-${name}.jsonl`, import.meta.url);
}

/** The file's text: a line about the device, then a line for each exchange, to be read and compared by eye. */
export function goldenText(golden: GoldenFile): string {
  const { plain, fenced, ...head } = golden;
  const counted = { ...head, plain: plain.length, fenced: fenced.length };
  return [counted, ...plain, ...fenced].map((line) => `${JSON.stringify(line)}\n`).join("");
}

/** Reads such a file. */
export function readGolden(path: URL): GoldenFile {
  const [first, ...lines] = readFileSync(path, "utf8").trim().split("\n");
  const { plain, ...head }: Omit<GoldenFile, "plain" | "fenced"> & { readonly plain: number } = JSON.parse(first ?? "");
  const exchanges = lines.map((line): GoldenExchange => JSON.parse(line));
  return { ...head, plain: exchanges.slice(0, plain), fenced: exchanges.slice(plain) };
}
