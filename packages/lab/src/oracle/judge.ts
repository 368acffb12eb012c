/**
 * The same sequence on two devices: every reply, used length, order, status and picture compared. Where they differ,
 * the table of known differences may say why; then the two are no longer in the same state, and the sequence ends.
 */
import { GpuError } from "@virtgpu/core/base";
import type { RgbPicture } from "../hosts/qemu/ppm.ts";
import { AbortForecast } from "./abort-forecast.ts";
import type { Coverage } from "./coverage.ts";
import { explain, isHarmless, type KnownDifference, partingAt } from "./known-differences.ts";
import { NO_FENCE, requestBytes } from "./raw-commands.ts";
import type { RingViolationKind } from "./ring-violations.ts";
import { FREE_MEMORY, type GuestAnswer, type QueueIndex, whole } from "./ring-guest.ts";
import {
  describeRequest,
  draw,
  noise,
  PIXEL_MEMORY,
  type Sequence,
  type SequenceRequest,
  type SequenceStep,
} from "./sequence.ts";
import { isPlaceholder, ORACLE_OUTPUTS, type OracleSide, type QemuSide } from "./side.ts";

/** Where two devices were found to differ. */
export interface Divergence {
  readonly what: "answer" | "order" | "status" | "picture" | "memory" | "end";
  /** Index of the step; the number of steps for what is looked at behind the last one. */
  readonly step: number;
  readonly queue: QueueIndex;
  /** The request it shows at, where it shows at one. */
  readonly sent: SequenceRequest | null;
  readonly qemu: GuestAnswer | null;
  readonly other: GuestAnswer | null;
  /** One sentence. */
  readonly sentence: string;
}

/** What came of a sequence. */
export interface Verdict {
  /** What nothing explains. */
  readonly divergence: Divergence | null;
  /** The rows of the table that were met. */
  readonly known: readonly KnownDifference[];
  /** Requests that were compared. */
  readonly requests: number;
}

/** EDID, INDIRECT_DESC, VERSION_1 and RING_RESET. */
const FEATURES = 2n | (1n << 28n) | (1n << 32n) | (1n << 40n);
const NEEDS_RESET = 0x40;

const NOWHERE = { queue: 0, sent: null, qemu: null, other: null } as const;

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) === 0;
}

function answerText({ used, reply }: GuestAnswer): string {
  return used === null ? "nothing" : `${used} bytes: ${hex(reply)}`;
}

/** Two devices and what is known about them. */
export class Judge {
  readonly #qemu: QemuSide;
  readonly #other: OracleSide;
  readonly #coverage: Coverage | null;

  constructor(qemu: QemuSide, other: OracleSide, coverage: Coverage | null = null) {
    this.#qemu = qemu;
    this.#other = other;
    this.#coverage = coverage;
  }

  /** Whether requests that are foreseen to end QEMU are left out. */
  spareQemu: boolean = true;

  /** Plays a sequence on both, from a reset on. */
  async judge(sequence: Sequence): Promise<Verdict> {
    if (!this.#qemu.isRunning) await this.#qemu.revive();
    const trial = new Trial(this.#qemu, this.#other, this.#coverage, sequence.memorySeed, this.spareQemu);
    const divergence = await trial.play(sequence.steps);
    return { divergence, known: [...trial.known], requests: trial.requests };
  }
}

/** Answers whose order counts only what both devices returned. */
function ranked(answers: readonly GuestAnswer[], bothUsed: readonly boolean[]): readonly GuestAnswer[] {
  const orders = answers.flatMap(({ order }, index) => (bothUsed[index] === true ? [order] : [])).toSorted(ascending);
  return answers.map((answer) => ({ ...answer, order: orders.indexOf(answer.order) }));
}

function ascending(left: number, right: number): number {
  return left - right;
}

/** Why a trial is at its end. */
class Ended extends Error {
  readonly divergence: Divergence | null;
  constructor(divergence: Divergence | null) {
    super("the trial has ended");
    this.divergence = divergence;
  }
}

/** One sequence under way. */
class Trial {
  readonly known: Set<KnownDifference> = new Set();
  requests: number = 0;
  readonly #qemu: QemuSide;
  readonly #other: OracleSide;
  readonly #coverage: Coverage | null;
  /** Sizes of the 2D resources that are there, by id. */
  readonly #sizes = new Map<number, readonly [width: number, height: number]>();
  /** Ids of those that pixels were transferred to. */
  readonly #written = new Set<number>();
  readonly #forecast: AbortForecast | null;
  readonly #memorySeed: number;
  #step = 0;

  constructor(qemu: QemuSide, other: OracleSide, coverage: Coverage | null, memorySeed: number, spare: boolean) {
    this.#forecast = spare ? new AbortForecast() : null;
    this.#qemu = qemu;
    this.#other = other;
    this.#coverage = coverage;
    this.#memorySeed = memorySeed;
  }

  async play(steps: readonly SequenceStep[]): Promise<Divergence | null> {
    try {
      for (const side of [this.#qemu, this.#other]) {
        side.ram.writeAt(PIXEL_MEMORY.address, noise(this.#memorySeed, PIXEL_MEMORY.byteLength));
        side.guest.reset(FEATURES);
      }
      for (const step of steps) {
        await this.#do(step);
        this.#step += 1;
      }
      await this.#look();
      await this.#showAll();
      this.#compareStatus();
      this.#compareMemory();
      return null;
    } catch (error) {
      if (error instanceof Ended) return error.divergence;
      throw error;
    }
  }

  async #do(step: SequenceStep): Promise<void> {
    if (step.kind === "batch") await this.#batch(step.queue, step.requests);
    else if (step.kind === "look") await this.#look();
    else if (step.kind === "reset") this.#reset(step.queue);
    else if (step.kind === "violate") this.#violate(step.queue, step.how);
    else for (const { ram } of [this.#qemu, this.#other]) draw(ram, step.offset, step.byteLength, step.seed);
  }

  #reset(queue: QueueIndex | null): void {
    for (const { guest } of [this.#qemu, this.#other]) {
      if (queue === null) guest.reset(FEATURES);
      else guest.resetQueue(queue);
    }
    if (queue !== null) return;
    this.#sizes.clear();
    this.#forecast?.forget();
  }

  #violate(queue: QueueIndex, how: RingViolationKind): void {
    const [theirs, ours] = [this.#qemu, this.#other].map(({ guest }) => guest.violate(queue, how));
    this.#coverage?.met(`broken ring (${how}): ${theirs}`);
    if (theirs !== ours) {
      const sentence = `${how} in queue ${queue}: ${theirs} by QEMU, ${ours} by us`;
      this.#differ({ ...NOWHERE, what: "status", step: this.#step, queue, sentence });
    }
    this.#compareStatus();
    throw new Ended(null);
  }

  async #batch(queue: QueueIndex, all: readonly SequenceRequest[]): Promise<void> {
    const requests = queue === 0 ? (this.#forecast?.safe(all) ?? all) : all;
    if (!this.#other.guest.hasRoom(queue, requests) || !this.#qemu.guest.hasRoom(queue, requests)) return;
    const other = this.#other.guest.submit(queue, requests);
    const qemu = await this.#ask(queue, requests, other);
    const bothUsed = requests.map((_, index) => qemu[index]?.used !== null && other[index]?.used !== null);
    for (const [index, sent] of requests.entries()) {
      const theirs = ranked(qemu, bothUsed)[index];
      const ours = ranked(other, bothUsed)[index];
      if (theirs === undefined || ours === undefined) continue;
      this.#compare(queue, sent, theirs, ours);
      this.#coverage?.count(queue, sent, theirs);
      this.#follow(sent.request, theirs);
    }
    // A device that needs a reset leaves the last requests of a batch unanswered.
    if (qemu.some(({ used }) => used === null) || other.some(({ used }) => used === null)) this.#compareStatus();
    for (const [index, { request }] of queue === 0 ? requests.entries() : []) {
      const answer = qemu[index];
      const row = answer === undefined ? null : partingAt(request, answer);
      if (row !== null) this.#end(row);
    }
  }

  /** QEMU's answers. One that ends over a request (it asserts what guests can break) is a difference like any other. */
  async #ask(
    queue: QueueIndex,
    requests: readonly SequenceRequest[],
    other: readonly GuestAnswer[],
  ): Promise<readonly GuestAnswer[]> {
    try {
      return this.#qemu.guest.submit(queue, requests);
    } catch (error) {
      if (!(error instanceof GpuError) || error.code !== "ENODEV") throw error;
      const sentence = `QEMU ended: ${this.#qemu.lastWords}`;
      await this.#qemu.revive();
      for (const [index, sent] of requests.entries()) {
        const difference = { ...NOWHERE, what: "end", step: this.#step, queue, sent, sentence } as const;
        const row = explain({ ...difference, other: other[index] ?? null });
        if (row !== null) this.#end(row);
      }
      throw new Ended({ ...NOWHERE, what: "end", step: this.#step, queue, sentence });
    }
  }

  #compare(queue: QueueIndex, sent: SequenceRequest, qemu: GuestAnswer, other: GuestAnswer): void {
    this.requests += 1;
    const facts = { step: this.#step, queue, sent, qemu, other };
    if (qemu.used !== other.used || !sameBytes(qemu.reply, other.reply)) {
      const sentence = `${describeRequest(sent)}\n  QEMU answers ${answerText(qemu)}\n  we answer    ${answerText(other)}`;
      this.#differ({ ...facts, what: "answer", sentence });
    } else if (qemu.order !== other.order) {
      const sentence = `${describeRequest(sent)}: returned as number ${qemu.order} by QEMU, ${other.order} by us`;
      this.#differ({ ...facts, what: "order", sentence });
    }
  }

  #compareStatus(): void {
    const [theirs, ours] = [this.#qemu.guest.status(), this.#other.guest.status()];
    if (theirs !== ours) {
      this.#differ({
        ...NOWHERE,
        what: "status",
        step: this.#step,
        sentence: `status: QEMU ${theirs.toString(16)}, we ${ours.toString(16)}`,
      });
    }
    // Both are broken alike: nothing more to learn from them.
    if ((theirs & NEEDS_RESET) !== 0) throw new Ended(null);
  }

  async #look(outputs: number = ORACLE_OUTPUTS): Promise<void> {
    for (let output = 0; output < outputs; output += 1) {
      const ours = await this.#other.picture(output);
      const theirs = await this.#qemu.picture(output);
      const sentence = pictureDifference(theirs, ours);
      if (sentence === null) continue;
      this.#differ({ ...NOWHERE, what: "picture", step: this.#step, sentence: `output ${output}: ${sentence}` });
    }
  }

  /** The host's copy of every resource that was written to: each is shown once. */
  async #showAll(): Promise<void> {
    for (const [id, [width, height]] of this.#sizes) {
      if (!this.#written.has(id) || width < 16 || height < 16 || width * height > 1 << 20) continue;
      const r = [0, 0, width, height] as const;
      const steps = [
        requestBytes({ command: "resource_attach_backing", resource_id: id, entries: [[FREE_MEMORY, 4096]] }, NO_FENCE),
        requestBytes({ command: "set_scanout", r, scanout_id: 0, resource_id: id }, NO_FENCE),
        requestBytes({ command: "resource_flush", r, resource_id: id }, NO_FENCE),
      ];
      const requests = steps.map((request) => ({ ...whole(request, 24), name: `show resource ${id}` }));
      await this.#batch(0, requests);
      await this.#look(1);
    }
  }

  #compareMemory(): void {
    const [theirs, ours] = [this.#qemu, this.#other].map(({ ram }) => {
      const bytes = new Uint8Array(PIXEL_MEMORY.byteLength);
      ram.readAt(PIXEL_MEMORY.address, bytes);
      return bytes;
    });
    if (theirs !== undefined && ours !== undefined && !sameBytes(theirs, ours)) {
      const sentence = "the two devices left different bytes in the guest's pictures";
      this.#differ({ ...NOWHERE, what: "memory", step: this.#step, sentence });
    }
  }

  #differ(divergence: Divergence): void {
    const row = explain(divergence);
    if (row === null) throw new Ended(divergence);
    if (isHarmless(row)) this.known.add(row);
    else this.#end(row);
  }

  #end(row: KnownDifference): never {
    this.known.add(row);
    throw new Ended(null);
  }

  /** Keeps account of sizes: both devices have answered alike here. */
  #follow(request: Uint8Array, { used, reply }: GuestAnswer): void {
    if (request.length < 32 || used === null || used < 4) return;
    const view = new DataView(request.buffer, request.byteOffset, request.length);
    const isOk = new DataView(reply.buffer, reply.byteOffset, reply.length).getUint32(0, true) === 0x1100;
    const type = view.getUint32(0, true);
    const id = view.getUint32(24, true);
    if (!isOk) return;
    if (type === 0x102) this.#sizes.delete(id);
    if (type === 0x101 && request.length >= 40) {
      this.#sizes.set(id, [view.getUint32(32, true), view.getUint32(36, true)]);
      this.#written.delete(id);
    }
    if (type === 0x105 && request.length >= 56) this.#written.add(view.getUint32(48, true));
  }
}

/** What is wrong between two pictures of an output, or null. Null for ours is "nothing is shown". */
export function pictureDifference(theirs: RgbPicture, ours: RgbPicture | null): string | null {
  if (ours === null) return isPlaceholder(theirs) ? null : "QEMU shows a picture, we show nothing";
  if (theirs.width !== ours.width || theirs.height !== ours.height) {
    return `QEMU shows ${theirs.width}x${theirs.height}, we show ${ours.width}x${ours.height}`;
  }
  if (sameBytes(theirs.rgb, ours.rgb)) return null;
  const at = theirs.rgb.findIndex((byte, index) => byte !== ours.rgb[index]);
  const pixel = Math.floor(at / 3);
  const [x, y] = [pixel % theirs.width, Math.floor(pixel / theirs.width)];
  const start = 3 * pixel;
  return `pixel ${x},${y} is ${hex(theirs.rgb.subarray(start, start + 3))} in QEMU, ${hex(ours.rgb.subarray(start, start + 3))} here`;
}
