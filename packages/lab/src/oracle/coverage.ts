/**
 * What the sequences reached: how often each command was answered how.
 */
import type { GuestAnswer, QueueIndex, GuestRequest } from "./ring-guest.ts";

const COMMANDS: ReadonlyMap<number, string> = new Map([
  [0x100, "GET_DISPLAY_INFO"],
  [0x101, "RESOURCE_CREATE_2D"],
  [0x102, "RESOURCE_UNREF"],
  [0x103, "SET_SCANOUT"],
  [0x104, "RESOURCE_FLUSH"],
  [0x105, "TRANSFER_TO_HOST_2D"],
  [0x106, "RESOURCE_ATTACH_BACKING"],
  [0x107, "RESOURCE_DETACH_BACKING"],
  [0x10a, "GET_EDID"],
  [0x10c, "RESOURCE_CREATE_BLOB"],
  [0x10d, "SET_SCANOUT_BLOB"],
  [0x300, "UPDATE_CURSOR"],
  [0x301, "MOVE_CURSOR"],
]);

/** Counts of pairs of command and answer. */
export class Coverage {
  readonly #counts = new Map<string, number>();

  /** Counts one exchange, by QEMU's answer. */
  count(queue: QueueIndex, { request }: GuestRequest, { used, reply }: GuestAnswer): void {
    const row = `${queue === 0 ? "control" : "cursor "} ${commandName(request)}`;
    this.#add(`${row.padEnd(34)} ${answerName(used, reply)}`);
  }

  /** Counts anything else that happened. */
  met(what: string): void {
    this.#add(what);
  }

  /** Lines of text, sorted: what, and how often. */
  lines(): readonly string[] {
    return [...this.#counts].map(([what, times]) => `${String(times).padStart(9)}  ${what}`).toSorted(byText);
  }

  /** Whether this pair was reached, e.g. `("SET_SCANOUT", "1202")`. */
  has(command: string, answer: string): boolean {
    return [...this.#counts.keys()].some((key) => key.includes(` ${command} `) && key.endsWith(` ${answer}`));
  }

  #add(key: string): void {
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
  }
}

function byText(left: string, right: string): number {
  return left.slice(9) < right.slice(9) ? -1 : 1;
}

function commandName(request: Uint8Array): string {
  if (request.length < 24) return "(less than a header)";
  const type = new DataView(request.buffer, request.byteOffset).getUint32(0, true);
  return COMMANDS.get(type) ?? "(other)";
}

function answerName(used: number | null, reply: Uint8Array): string {
  if (used === null) return "none";
  if (used < 4) return "cut";
  return new DataView(reply.buffer, reply.byteOffset).getUint32(0, true).toString(16);
}
