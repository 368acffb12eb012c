/**
 * The guest's serial port as a channel for lines. Kernel interface: termios(3), in the kernel's own layout
 * (asm-generic/termbits.h): four flag words, the line discipline, 19 control characters.
 */
import { constants, openSync, writeSync } from "node:fs";
import { ReadStream } from "node:tty";
import type { Sys } from "../native/index.ts";
import { LineSplitter } from "./line-splitter.ts";

const [TCGETS, TCSETS, TCSBRK] = [0x5401, 0x5402, 0x5409];
/** Flags by their names in termbits.h. */
const Input = { RAW_OFF: 0o1 | 0o2 | 0o10 | 0o40 | 0o100 | 0o200 | 0o400 | 0o2000 } as const;
const Output = { OPOST: 0o1 } as const;
const Control = {
  CBAUD: 0o10017,
  B115200: 0o10002,
  CSIZE: 0o60,
  CS8: 0o60,
  PARENB: 0o400,
  CREAD: 0o200,
  CLOCAL: 0o4000,
} as const;
const Local = { RAW_OFF: 0o1 | 0o2 | 0o10 | 0o100 | 0o100000 } as const;
const [CONTROL_CHARACTERS, VTIME, VMIN] = [17, 5, 6];

/** An open serial port. */
export class Port {
  readonly #sys: Sys;
  readonly #outFd: number;
  readonly #input: ReadStream;

  private constructor(sys: Sys, outFd: number, input: ReadStream) {
    this.#sys = sys;
    this.#outFd = outFd;
    this.#input = input;
  }

  /** Opens a port raw, without echo. Throws what open(2) or ioctl(2) says. */
  static open(path: string, sys: Sys): Port {
    const outFd = openSync(path, constants.O_RDWR | constants.O_NOCTTY);
    makeRaw(sys, outFd);
    const inFd = openSync(path, constants.O_RDWR | constants.O_NOCTTY);
    return new Port(sys, outFd, new ReadStream(inFd));
  }

  /** Hands over what comes, line by line; a line that is longer than `longest` as null. `onEnd` where the port is gone. */
  listen(longest: number, onLine: (line: string | null) => void, onEnd: (reason: string) => void): void {
    const splitter = new LineSplitter(longest);
    this.#input.on("data", (chunk) => {
      for (const line of splitter.take(Buffer.from(chunk))) onLine(line);
    });
    this.#input.on("error", (error) => onEnd(error.message));
    this.#input.on("end", () => onEnd("the serial port has ended"));
  }

  /** Says a message and waits until it is out. */
  say(message: unknown): void {
    const bytes = Buffer.from(`${JSON.stringify(message)}\n`);
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#outFd, bytes, at);
    this.drain();
  }

  /** Returns when all that was said has left (tcdrain). */
  drain(): void {
    this.#sys.ioctlNumber(this.#outFd, TCSBRK, 1);
  }
}

function makeRaw(sys: Sys, fd: number): void {
  const words = new Uint32Array(16);
  const bytes = new Uint8Array(words.buffer);
  sys.ioctl(fd, TCGETS, bytes);
  const [input = 0, output = 0, control = 0, local = 0] = words;
  const changed = Control.CBAUD | Control.CSIZE | Control.PARENB;
  words.set([
    input & ~Input.RAW_OFF,
    output & ~Output.OPOST,
    (control & ~changed) | Control.B115200 | Control.CS8 | Control.CREAD | Control.CLOCAL,
    local & ~Local.RAW_OFF,
  ]);
  bytes[CONTROL_CHARACTERS + VMIN] = 1;
  bytes[CONTROL_CHARACTERS + VTIME] = 0;
  sys.ioctl(fd, TCSETS, bytes);
}
