/**
 * QEMU's qtest protocol over a pair of FIFOs, synchronously: one line in, one line out, strictly in order.
 *
 * Register writes are posted, as on a real bus: they go out without waiting for their `OK`, and the next read (or
 * {@link QtestChannel.drain}) waits for all of them. The read end is non-blocking and Node's own, so an end of file
 * means that QEMU is gone; a QEMU that is there but silent is given up at the deadline.
 *
 * Assumptions: every line sent is well formed, for QEMU aborts on a malformed one. Addresses and ports come from this
 * folder's code only.
 */
import { closeSync, readSync, writeSync } from "node:fs";
import { assert, GpuError } from "@virtgpu/core/base";
import type { BusAccess } from "@virtgpu/core/virtio";

/** Width of a register access in bytes. */
export type AccessWidth = 1 | 2 | 4;

const PORT_LETTER: Readonly<Record<AccessWidth, string>> = { 1: "b", 2: "w", 4: "l" };
const BUFFER_BYTES = 1 << 16;
/** Posted lines after which answers are waited for, so that neither pipe fills up unseen. */
const OWED_MAX = 1024;
/** Tries without a pause. A quiet machine answers within a few; then the processor is yielded to QEMU. */
const SPINS = 64;
const PAUSE_MS = 0.02;
const NEWLINE = 10;

/** Options of a {@link QtestChannel}. */
export interface QtestChannelOptions {
  /** Names QEMU in messages. */
  readonly label?: string;
  /** How long an alive but silent QEMU is waited for, in milliseconds (10,000 unless given). */
  readonly deadlineMs?: number;
}

/** Whether a system call on a non-blocking pipe merely has to wait. */
function wouldBlock(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EAGAIN";
}

/** One qtest connection. The object outlives QEMU: after a restart it is attached to the new one's FIFOs. */
export class QtestChannel {
  readonly #label: string;
  readonly #deadlineMs: number;
  readonly #buffer = Buffer.alloc(BUFFER_BYTES);
  readonly #sleeper = new Int32Array(new SharedArrayBuffer(4));
  #readFd = -1;
  #writeFd = -1;
  #start = 0;
  #end = 0;
  #owed = 0;
  #closedBecause = "not started";

  constructor(options: QtestChannelOptions = {}) {
    this.#label = options.label ?? "qemu";
    this.#deadlineMs = options.deadlineMs ?? 10_000;
  }

  /** Whether a QEMU is attached and has not been found dead. */
  get isOpen(): boolean {
    return this.#readFd >= 0;
  }

  /** Takes over the two non-blocking descriptors of a started QEMU. */
  attach(readFd: number, writeFd: number): void {
    this.close("replaced by another QEMU");
    this.#readFd = readFd;
    this.#writeFd = writeFd;
    this.#start = 0;
    this.#end = 0;
    this.#owed = 0;
  }

  /** Ends the connection: every later access throws ENODEV with this reason. */
  close(reason: string): void {
    if (this.#readFd < 0) return;
    closeSync(this.#readFd);
    closeSync(this.#writeFd);
    this.#readFd = -1;
    this.#writeFd = -1;
    this.#closedBecause = reason;
  }

  /** Sends a line without waiting for its answer. */
  post(line: string): void {
    this.#send(`${line}\n`);
    this.#owed += 1;
    if (this.#owed >= OWED_MAX) this.drain();
  }

  /** Waits until QEMU has done all that was posted. */
  drain(): void {
    while (this.#owed > 0) {
      const answer = this.#nextAnswer();
      this.#owed -= 1;
      if (!answer.startsWith("OK")) this.#refused(answer);
    }
  }

  /** Sends a line and gives what follows `OK` in its answer. Throws GpuError EPROTO on `FAIL`. */
  ask(line: string): string {
    this.#send(`${line}\n`);
    this.drain();
    const answer = this.#nextAnswer();
    if (!answer.startsWith("OK")) this.#refused(answer);
    return answer.slice(3);
  }

  /** Sends many lines in one write and gives their answers, in order. */
  askAll(lines: readonly string[]): readonly string[] {
    if (lines.length === 0) return [];
    this.#send(`${lines.join("\n")}\n`);
    this.drain();
    return lines.map(() => {
      const answer = this.#nextAnswer();
      if (!answer.startsWith("OK")) this.#refused(answer);
      return answer.slice(3);
    });
  }

  /** Reads guest-physical memory space: RAM, or a device's registers with one access of this width. */
  readMemory(address: number, width: AccessWidth): number {
    return this.#number(this.ask(`read${PORT_LETTER[width]} ${hex(address)}`), width);
  }

  /** Posts a write to guest-physical memory space. */
  writeMemory(address: number, width: AccessWidth, value: number): void {
    this.post(`write${PORT_LETTER[width]} ${hex(address)} ${hex(value)}`);
  }

  readPort(port: number, width: AccessWidth): number {
    return this.#number(this.ask(`in${PORT_LETTER[width]} ${hex(port)}`), width);
  }

  writePort(port: number, width: AccessWidth, value: number): void {
    this.post(`out${PORT_LETTER[width]} ${hex(port)} ${hex(value)}`);
  }

  #number(text: string, width: AccessWidth): number {
    const value = Number(text);
    if (!Number.isSafeInteger(value) || value < 0 || value >= 2 ** (8 * width)) this.#refused(text);
    return value;
  }

  #refused(answer: string): never {
    throw new GpuError("EPROTO", `QEMU answered "${answer}" to a qtest line`, { device: this.#label });
  }

  #gone(reason: string): never {
    this.close(reason);
    throw new GpuError("ENODEV", `no QEMU to talk to: ${this.#closedBecause}; restart the host`, {
      device: this.#label,
    });
  }

  /** Writes all of `text`. While QEMU's input is full its answers are taken in, for it may wait for that. */
  #send(text: string): void {
    if (this.#writeFd < 0) this.#gone(this.#closedBecause);
    const bytes = Buffer.from(text, "latin1");
    let written = 0;
    let waiter: Waiter | null = null;
    while (written < bytes.length) {
      try {
        written += writeSync(this.#writeFd, bytes, written);
      } catch (error) {
        if (!wouldBlock(error)) this.#gone("it ended");
        waiter ??= this.#waiter();
        if (!this.#takeOwed()) waiter.pause();
      }
    }
  }

  /** Consumes answers to posted lines that are already there. */
  #takeOwed(): boolean {
    if (!this.#fill()) return false;
    while (this.#owed > 0) {
      const answer = this.#takeLine();
      if (answer === null) break;
      if (answer.startsWith("IRQ ")) continue;
      this.#owed -= 1;
      if (!answer.startsWith("OK")) this.#refused(answer);
    }
    return true;
  }

  #nextAnswer(): string {
    let waiter: Waiter | null = null;
    for (;;) {
      const line = this.#takeLine();
      if (line !== null) {
        if (!line.startsWith("IRQ ")) return line;
      } else if (!this.#fill()) {
        waiter ??= this.#waiter();
        waiter.pause();
      }
    }
  }

  #takeLine(): string | null {
    const newline = this.#buffer.subarray(this.#start, this.#end).indexOf(NEWLINE);
    if (newline < 0) return null;
    const line = this.#buffer.toString("latin1", this.#start, this.#start + newline);
    this.#start += newline + 1;
    return line;
  }

  /** Takes in what QEMU wrote; false when there is nothing, or no room. */
  #fill(): boolean {
    if (this.#readFd < 0) this.#gone(this.#closedBecause);
    if (this.#start > 0) {
      this.#buffer.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    if (this.#end === this.#buffer.length) return false;
    let count: number;
    try {
      count = readSync(this.#readFd, this.#buffer, this.#end, this.#buffer.length - this.#end, null);
    } catch (error) {
      if (wouldBlock(error)) return false;
      return this.#gone("its pipe broke");
    }
    if (count === 0) this.#gone("it ended");
    this.#end += count;
    return true;
  }

  #waiter(): Waiter {
    const giveUpAt = performance.now() + this.#deadlineMs;
    let tries = 0;
    return {
      pause: () => {
        tries += 1;
        if (tries < SPINS) return;
        Atomics.wait(this.#sleeper, 0, 0, PAUSE_MS);
        if (performance.now() > giveUpAt) this.#gone(`it did not answer for ${this.#deadlineMs} ms`);
      },
    };
  }
}

interface Waiter {
  /** Lets a little time pass; throws at the deadline. */
  pause(): void;
}

function hex(value: number): string {
  assert(Number.isSafeInteger(value) && value >= 0, "a qtest number is a non-negative integer");
  return `0x${value.toString(16)}`;
}

/** Registers in memory space from `base` on. */
export function memoryAccess(channel: QtestChannel, base: number): BusAccess {
  return busAccess(
    (offset, width) => channel.readMemory(base + offset, width),
    (offset, width, value) => channel.writeMemory(base + offset, width, value),
  );
}

/** Registers in port space from `base` on. */
export function portAccess(channel: QtestChannel, base: number): BusAccess {
  return busAccess(
    (offset, width) => channel.readPort(base + offset, width),
    (offset, width, value) => channel.writePort(base + offset, width, value),
  );
}

/** A {@link BusAccess} out of one function to read and one to write. */
export function busAccess(
  read: (offset: number, width: AccessWidth) => number,
  write: (offset: number, width: AccessWidth, value: number) => void,
): BusAccess {
  return {
    read8: (offset) => read(offset, 1),
    read16: (offset) => read(offset, 2),
    read32: (offset) => read(offset, 4),
    write8: (offset, value) => write(offset, 1, value),
    write16: (offset, value) => write(offset, 2, value),
    write32: (offset, value) => write(offset, 4, value),
  };
}
