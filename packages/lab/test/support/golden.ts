/**
 * The golden file's shape, and how it is captured.
 */
import type { QemuHost } from "../../src/hosts/qemu/qemu-host.ts";
import { GOLDEN_OUTPUTS, goldenPlan } from "./golden-plan.ts";
import { type RawCommand, requestBytes, toHex } from "./raw-commands.ts";
import { RawGpu } from "./raw-gpu.ts";

/** One request and its reply. Hexadecimal strings are bytes as they lie in memory. */
export interface GoldenExchange {
  readonly name: string;
  readonly queue: "control" | "cursor";
  /** The command by the specification's field names, to be built anew by other means. */
  readonly fields: RawCommand;
  readonly header: {
    readonly flags: number;
    /** 64-bit, hexadecimal. */
    readonly fenceId: string;
    readonly contextId: number;
    readonly ringIndex: number;
  };
  readonly request: string;
  /** Bytes of the reply buffer. */
  readonly capacity: number;
  /** As many bytes as the device claimed to have written. */
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
  readonly exchanges: readonly GoldenExchange[];
}

async function version(host: QemuHost): Promise<string> {
  const answer = JSON.stringify(await host.qmp.execute("query-version"));
  const match = /"qemu":\{([^}]*)\}/.exec(answer);
  const part = (name: string): string => new RegExp(`"${name}":(\\d+)`).exec(match?.[1] ?? "")?.[1] ?? "0";
  return `${part("major")}.${part("minor")}.${part("micro")}`;
}

/** Plays the plan on a freshly started host with {@link GOLDEN_OUTPUTS} outputs. */
export async function captureGolden(host: QemuHost): Promise<GoldenFile> {
  const gpu = new RawGpu(host);
  const config = Uint8Array.from({ length: 16 }, (_, offset) => gpu.config.read8(offset));
  const exchanges = goldenPlan().map(({ name, command, fence, capacity }): GoldenExchange => {
    const isCursor = command.command === "update_cursor" || command.command === "move_cursor";
    const request = requestBytes(command, fence);
    return {
      name,
      queue: isCursor ? "cursor" : "control",
      fields: command,
      header: { ...fence, fenceId: fence.fenceId.toString(16) },
      request: toHex(request),
      capacity,
      reply: toHex(gpu.send(isCursor ? 1 : 0, request, capacity)),
    };
  });
  return {
    qemu: await version(host),
    outputs: GOLDEN_OUTPUTS,
    ramBytes: host.ram.byteLength,
    features: gpu.offered().toString(16),
    config: toHex(config),
    exchanges,
  };
}
