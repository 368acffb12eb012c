/**
 * Looks at outputs: what each should show, whether it does, and since when.
 */
import { type Clock, sleep } from "@virtgpu/core/base";
import type { RgbPicture } from "../../hosts/qemu/ppm.ts";
import type { LinuxMachine } from "./machine.ts";
import type { Place } from "./observation.ts";
import { isSamePicture } from "./pictures.ts";

const POLL_MS = 80;

/** An output and the pictures that are right for it: one, or those that are flipped. */
export interface Expected extends Place {
  readonly pictures: readonly RgbPicture[];
}

/** The last screendump of each output that was looked at, and the time at which all were right. */
export interface Looked {
  readonly last: ReadonlyMap<Expected, RgbPicture>;
  readonly rightAt: number | null;
  readonly right: ReadonlySet<Expected>;
}

/** See the file's head. */
export class Eyes {
  readonly #machine: LinuxMachine;
  readonly #clock: Clock;

  constructor(machine: LinuxMachine, clock: Clock) {
    this.#machine = machine;
    this.#clock = clock;
  }

  /** One look. */
  async see({ gpu, output }: Place): Promise<RgbPicture> {
    return this.#machine.screendump(gpu, output);
  }

  /**
   * Looks until every output has shown what it should, or `isOver` says so after a whole round. A machine that can't be
   * looked at yet is looked at again.
   */
  async watch(expected: readonly Expected[], isOver: () => boolean): Promise<Looked> {
    const last = new Map<Expected, RgbPicture>();
    const right = new Set<Expected>();
    for (;;) {
      const isLast = isOver();
      for (const one of expected) {
        if (right.has(one)) continue;
        const picture = await this.see(one).catch(() => null);
        if (picture === null) continue;
        last.set(one, picture);
        if (one.pictures.some((wanted) => isSamePicture(wanted, picture))) right.add(one);
      }
      if (right.size === expected.length) return { last, right, rightAt: this.#clock.nowMs() };
      if (isLast) return { last, right, rightAt: null };
      await sleep(this.#clock, POLL_MS);
    }
  }

  /** The same for at most so long. */
  async watchFor(expected: readonly Expected[], limitMs: number): Promise<Looked> {
    const end = this.#clock.nowMs() + limitMs;
    return this.watch(expected, () => this.#clock.nowMs() >= end);
  }

  /** Different pictures that an output shows while pages are flipped on it. */
  async collect(place: Place, rounds: number): Promise<readonly RgbPicture[]> {
    const found: RgbPicture[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const picture = await this.see(place);
      if (!found.some((known) => isSamePicture(known, picture))) found.push(picture);
      await sleep(this.#clock, POLL_MS);
    }
    return found;
  }
}
