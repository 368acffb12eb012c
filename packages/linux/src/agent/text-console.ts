/**
 * The kernel's first virtual terminal: what it says, and whether it is what the outputs show. Kernel interface: /dev/tty1,
 * /dev/vcs1 and /dev/vcsa1 (vcs(4)), KDSETMODE (ioctl_console(2)).
 */
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Sys } from "../native/index.ts";
import { isConsoleShown } from "./remedy.ts";

const KDSETMODE = 0x4b3a;
const KD_GRAPHICS = 1;
/** A framebuffer takes the console over with the first text, in a work of its own. */
const TAKEOVER_MS = 3000;
const LOOK_AGAIN_MS = 50;
const COLOURS = 6;

/** Where it is found. */
export interface TextConsolePlaces {
  readonly dev: string;
  readonly sysfs: string;
}

/** See the file's head. */
export class TextConsole {
  readonly #sys: Pick<Sys, "ioctlNumber" | "ioctlLater">;
  readonly #places: TextConsolePlaces;

  constructor(
    sys: Pick<Sys, "ioctlNumber" | "ioctlLater">,
    places: TextConsolePlaces = { dev: "/dev", sysfs: "/sys" },
  ) {
    this.#sys = sys;
    this.#places = places;
  }

  /** These lines and nothing else, each in a colour, without a cursor that blinks. */
  write(lines: readonly string[]): void {
    const coloured = lines.map((line, at) => `\u001b[${31 + (at % COLOURS)}m${line}\r\n`);
    this.#withTerminal((fd) => writeSync(fd, `\u001bc\u001b[?25l${coloured.join("")}\u001b[0m`));
  }

  /** What it says; the kernel's memory is asked, and no device. */
  read(): readonly string[] {
    const [, columns = 0] = readFileSync(join(this.#places.dev, "vcsa1")).subarray(0, 2);
    const text = readFileSync(join(this.#places.dev, "vcs1")).toString("latin1");
    const count = columns === 0 ? 0 : Math.ceil(text.length / columns);
    const lines = Array.from({ length: count }, (_, at) => text.slice(at * columns, (at + 1) * columns).trimEnd());
    return lines.slice(0, lines.findLastIndex((line) => line !== "") + 1);
  }

  /** Whether a framebuffer shows it, or does within so many milliseconds. */
  async isShown(limitMs: number = TAKEOVER_MS): Promise<boolean> {
    for (let waited = 0; !isConsoleShown(this.#places.sysfs); waited += LOOK_AGAIN_MS) {
      if (waited >= limitMs) return false;
      await delay(LOOK_AGAIN_MS);
    }
    return true;
  }

  /** Somebody else draws, and it keeps what it says to itself. No device is asked. */
  leave(): void {
    this.#withTerminal((fd) => this.#sys.ioctlNumber(fd, KDSETMODE, KD_GRAPHICS));
  }

  /** The outputs show it again (KD_TEXT, which is 0). In another thread: the driver may never answer. */
  async enter(): Promise<void> {
    const fd = openSync(join(this.#places.dev, "tty1"), "r+");
    try {
      await this.#sys.ioctlLater(fd, KDSETMODE, null);
    } finally {
      closeSync(fd);
    }
  }

  #withTerminal(use: (fd: number) => void): void {
    const fd = openSync(join(this.#places.dev, "tty1"), "r+");
    try {
      use(fd);
    } finally {
      closeSync(fd);
    }
  }
}
