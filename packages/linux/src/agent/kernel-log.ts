/** The kernel's log. Kernel interface: /dev/kmsg (Documentation/ABI/testing/dev-kmsg): a read gives one record. */
import { constants, openSync, readSync } from "node:fs";
import { errnoName } from "../native/index.ts";

const RECORD_MAX = 8192;
const LINE_MAX = 1000;
const LINES_MAX = 20_000;

/** Reads what has been added since the last time. */
export class KernelLog {
  readonly #fd: number;

  /** Throws what open(2) says. */
  constructor(path = "/dev/kmsg") {
    this.#fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  }

  /** All new lines, each with its time: `[   12.345678] text`. */
  next(): readonly string[] {
    const lines: string[] = [];
    const record = Buffer.alloc(RECORD_MAX);
    while (lines.length < LINES_MAX) {
      const bytes = this.#read(record);
      if (bytes === null) break;
      lines.push(...linesOf(record.toString("utf8", 0, bytes)));
    }
    return lines;
  }

  /** A record's length; null where there is none. Records that the kernel has overwritten (EPIPE) are skipped. */
  #read(record: Buffer): number | null {
    for (;;) {
      try {
        const bytes = readSync(this.#fd, record);
        return bytes === 0 ? null : bytes;
      } catch (error) {
        if (errnoName(error) === "EAGAIN") return null;
        if (errnoName(error) !== "EPIPE") throw error;
      }
    }
  }
}

/** The lines of a record: `priority,sequence,microseconds,flags;text`, then lines with a space before a KEY=value. */
export function linesOf(record: string): readonly string[] {
  const [, microseconds = "0", text = record] = /^\d+,\d+,(\d+),[^;]*;([^]*)$/.exec(record) ?? [];
  const seconds = (Number(microseconds) / 1e6).toFixed(6).padStart(12);
  return text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith(" "))
    .map((line) => `[${seconds}] ${line.slice(0, LINE_MAX)}`);
}
