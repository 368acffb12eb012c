/**
 * The host's capability sets (VIRTIO 1.2 section 5.7.6.8, GET_CAPSET_INFO). Another host may have others: a context that
 * needs one which is gone is given up before the host is asked for it.
 */
import type { CancelTimer } from "../../base/clock.ts";
import { GpuError } from "../../base/errors.ts";
import {
  CAPSET_INFO_REPLY_BYTES,
  GET_CAPSET_INFO_BYTES,
  GpuCommand,
  readCapsetInfoReply,
  writeGetCapsetInfo,
  writeHeader,
} from "../../wire/index.ts";
import type { CommandSender } from "./command-sender.ts";

/** A capability set that the host offers. */
export interface HostCapset {
  readonly id: number;
  readonly versionMax: number;
  /** Bytes of its data at most. */
  readonly byteLengthMax: number;
}

/** Asks for all `count` of them. Rejects as {@link CommandSender.send}. */
export async function readCapsets(sender: CommandSender, count: number): Promise<readonly HostCapset[]> {
  const infos: HostCapset[] = [];
  for (let index = 0; index < count; index += 1) {
    const answer = await sender.send(
      { requestBytes: GET_CAPSET_INFO_BYTES, replyBytes: CAPSET_INFO_REPLY_BYTES, object: 0 },
      (u32, at) => {
        writeHeader(u32, at, GpuCommand.GET_CAPSET_INFO, 0, 0, 0, 0, 0);
        writeGetCapsetInfo(u32, at, index);
      },
    );
    const { capsetId, maxVersion, maxSize } = readCapsetInfoReply(answer.words, 0);
    infos.push({ id: capsetId, versionMax: maxVersion, byteLengthMax: maxSize });
  }
  return infos;
}

/** Which there are, asked in a session when somebody needs to know, once. */
export class CapsetIds {
  readonly #read: () => Promise<readonly HostCapset[]>;
  readonly #waiting: Set<() => void> = new Set();
  #isAsked = false;
  #ids: ReadonlySet<number> | "unreadable" | null = null;

  constructor(read: () => Promise<readonly HostCapset[]>) {
    this.#read = read;
  }

  /** False until {@link whenKnown} tells. */
  get isKnown(): boolean {
    return this.#ids !== null;
  }

  /** Whether the host has this one, as far as is known: what can't be read is the host's to refuse. */
  has(id: number): boolean {
    return this.#ids === null || this.#ids === "unreadable" || this.#ids.has(id);
  }

  /** Asks, and calls back once. Returns the deregistration. */
  whenKnown(tell: () => void): CancelTimer {
    this.#waiting.add(tell);
    if (!this.#isAsked) void this.#ask();
    return () => this.#waiting.delete(tell);
  }

  async #ask(): Promise<void> {
    this.#isAsked = true;
    try {
      this.#ids = new Set((await this.#read()).map(({ id }) => id));
    } catch (error) {
      if (!(error instanceof GpuError)) throw error;
      this.#ids = "unreadable";
    }
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const tell of waiting) tell();
  }
}
