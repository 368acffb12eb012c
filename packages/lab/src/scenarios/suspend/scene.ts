/**
 * What is on the machine in a case, twice: in the driver's hands, and as a plain model of what the host must show and hold
 * whenever the machine is awake. The model has bytes of its own, so memory that went wrong in the guest is seen too.
 */
import type { Rect } from "@virtgpu/core/driver";
import { Format } from "@virtgpu/core/wire";
import type { TestedBuffer, TestedBufferOptions, TestedDriver } from "./driver.ts";
import type { DriverSuccessor } from "./driver-life.ts";
import { cursorPattern, cursorPicture, differentPixels, pattern, pictureDifference, shownPicture } from "./pixels.ts";
import { type Lender, type SuspendSubject, must } from "./subject.ts";

/** Outputs that every subject has. */
export const OUTPUTS = 2;
const CURSOR_SIZE = 64;
/** Where the host can't be asked what it holds, this many off-screen buffers are shown to see it. */
const LOOKED_AT_MAX = 8;

/** A buffer, and what is in it. */
export interface SceneBuffer {
  /** Names it for the next driver. */
  readonly key: string;
  buffer: TestedBuffer;
  bytes: Uint8Array;
  /** Whose memory it is; null: the driver's own. */
  lender: Lender | null;
}

interface Shown {
  readonly item: SceneBuffer;
  readonly rect: Rect;
}

interface ShownCursor {
  readonly item: SceneBuffer;
  readonly hotX: number;
  readonly hotY: number;
  x: number;
  y: number;
}

/** See the file's head. */
export class Scene {
  readonly #subject: SuspendSubject;
  #driver: TestedDriver;
  readonly #items: Set<SceneBuffer> = new Set();
  readonly #shown: (Shown | null)[] = Array.from({ length: OUTPUTS }, () => null);
  /** What an output showed last: an output that is off must not show it, whatever else it shows. */
  readonly #before: (Shown | null)[] = Array.from({ length: OUTPUTS }, () => null);
  readonly #cursors: (ShownCursor | null)[] = Array.from({ length: OUTPUTS }, () => null);
  #seed = 0;
  #made = 0;

  constructor(subject: SuspendSubject, driver: TestedDriver) {
    this.#subject = subject;
    this.#driver = driver;
  }

  /** Everything that there is, oldest first. */
  get items(): readonly SceneBuffer[] {
    return [...this.#items];
  }

  /** What an output shows. Throws when it shows nothing. */
  shown(output: number): SceneBuffer {
    const shown = this.#shown[output] ?? null;
    must(shown !== null, `nothing is shown on output ${output}`);
    return shown.item;
  }

  /** Brings what is shown to the host once more. */
  async flushShown(): Promise<void> {
    for (const shown of this.#shown) if (shown?.item.buffer.isAttached === true) await shown.item.buffer.flush();
  }

  // --- Buffers ---

  /** A new painted buffer, on the host. */
  async create(options: TestedBufferOptions): Promise<SceneBuffer> {
    const key = this.#newKey();
    return this.#add(key, await this.#driver.createBuffer({ ...options, key }), null);
  }

  /** A new buffer that nobody paints on. */
  async createBlank(options: TestedBufferOptions): Promise<void> {
    const key = this.#newKey();
    const buffer = await this.#driver.createBuffer({ ...options, key });
    this.#items.add({ key, buffer, bytes: new Uint8Array(buffer.byteLength), lender: null });
  }

  /** A painted buffer over lent memory. */
  async import(options: TestedBufferOptions): Promise<SceneBuffer> {
    const lender = this.#subject.lend(options.width * options.height * 4);
    const key = this.#newKey();
    return this.#add(key, await this.#driver.importBuffer(lender, { ...options, key }), lender);
  }

  /** Another driver has what this one had. */
  takeOver(successor: DriverSuccessor): void {
    this.#driver = successor.driver;
    for (const item of this.#items) Object.assign(item, successor.adopt(item.key, item.lender));
  }

  #newKey(): string {
    this.#made += 1;
    return `scene ${this.#made}`;
  }

  async #add(key: string, buffer: TestedBuffer, lender: Lender | null): Promise<SceneBuffer> {
    const item = { key, buffer, bytes: new Uint8Array(0), lender };
    this.#items.add(item);
    await this.draw(item);
    return item;
  }

  /** Paints another picture, in memory only. */
  paint(item: SceneBuffer): void {
    this.#seed += 1;
    const { buffer, lender } = item;
    const isCursor = buffer.shape.format === Format.B8G8R8A8 && buffer.width === CURSOR_SIZE;
    item.bytes = (isCursor ? cursorPattern : pattern)(buffer.byteLength, this.#seed);
    (lender ?? buffer).write(0, item.bytes);
  }

  /** Paints another picture and brings it to the host. */
  async draw(item: SceneBuffer): Promise<void> {
    this.paint(item);
    await item.buffer.flush();
  }

  destroy(item: SceneBuffer): void {
    this.#items.delete(item);
    for (let output = 0; output < OUTPUTS; output += 1) {
      if (this.#shown[output]?.item === item) this.#turnOff(output);
      if (this.#cursors[output]?.item === item) this.#cursors[output] = null;
    }
    item.buffer.destroy();
  }

  // --- Outputs ---

  async show(output: number, item: SceneBuffer, rect?: Rect): Promise<void> {
    const { width, height } = item.buffer;
    this.#shown[output] = { item, rect: rect ?? { x: 0, y: 0, width, height } };
    await this.#driver.output(output).show(item.buffer, rect);
  }

  async disable(output: number): Promise<void> {
    this.#turnOff(output);
    await this.#driver.output(output).disable();
  }

  #turnOff(output: number): void {
    this.#before[output] = this.#shown[output] ?? null;
    this.#shown[output] = null;
  }

  // --- Cursors ---

  /** A new painted cursor, shown at a place with its hot spot at 5, 7. */
  async showCursor(output: number, place: { readonly x: number; readonly y: number }): Promise<SceneBuffer> {
    const item = await this.create({ width: CURSOR_SIZE, height: CURSOR_SIZE, format: Format.B8G8R8A8 });
    this.#cursors[output] = { item, hotX: 5, hotY: 7, x: 0, y: 0 };
    await this.#driver.output(output).cursor.set(item.buffer, { x: 5, y: 7 });
    await this.moveCursor(output, place.x, place.y);
    return item;
  }

  async moveCursor(output: number, x: number, y: number): Promise<void> {
    const cursor = this.#cursors[output];
    if (cursor !== null && cursor !== undefined) Object.assign(cursor, { x, y });
    await this.#driver.output(output).cursor.move(x, y);
  }

  async hideCursor(output: number): Promise<void> {
    this.#cursors[output] = null;
    await this.#driver.output(output).cursor.hide();
  }

  // --- What must be true ---

  /** Throws CaseFailed unless the driver runs and the host shows and holds all of this, refused nothing, and nothing else. */
  async check(moment: string): Promise<void> {
    const { host } = this.#subject;
    must(this.#driver.state === "running", `${moment}: the driver is ${this.#driver.state}`);
    this.#checkMemory(moment);
    for (let output = 0; output < OUTPUTS; output += 1) await this.checkOutput(moment, output);
    for (let output = 0; output < OUTPUTS; output += 1) await this.#checkCursor(moment, output);
    if (host.held === null) await this.#lookAtAll(moment);
    else this.#checkHeld(moment, host.held());
    this.#subject.verify();
    const errors = host.errors();
    must(errors.length === 0, `${moment}: the host has something to say about its guest: ${errors.join("; ")}`);
  }

  /** One output's pixels. */
  async checkOutput(moment: string, output: number): Promise<void> {
    const seen = await this.#subject.host.picture(output);
    const shown = this.#shown[output] ?? null;
    if (shown !== null) {
      const difference = pictureDifference(seen, shownPicture(shown.item.buffer, shown.item.bytes, shown.rect));
      must(difference === null, `${moment}: output ${output} shows something else: ${difference}`);
      return;
    }
    const before = this.#before[output] ?? null;
    if (seen === null || before === null) return;
    const difference = pictureDifference(seen, shownPicture(before.item.buffer, before.item.bytes, before.rect));
    must(difference !== null, `${moment}: output ${output}, which is off, shows what it showed`);
  }

  async #checkCursor(moment: string, output: number): Promise<void> {
    const cursor = this.#cursors[output] ?? null;
    if (cursor === null) {
      if (!this.#subject.host.seesHiding) return;
      must((await this.#subject.host.cursor(output)) === null, `${moment}: output ${output} has a cursor`);
      return;
    }
    const seen = await this.#subject.host.cursor(output);
    must(seen !== null, `${moment}: output ${output} has no cursor`);
    const count = differentPixels(seen.rgba, cursorPicture(cursor.item.bytes));
    must(count === 0, `${moment}: ${count} pixels of the cursor of output ${output} are wrong`);
    const { hotX, hotY, place } = seen;
    must(hotX === cursor.hotX && hotY === cursor.hotY, `${moment}: the cursor's hot spot is at ${hotX}, ${hotY}`);
    if (place === null) return;
    must(place.x === cursor.x && place.y === cursor.y, `${moment}: the cursor is at ${place.x}, ${place.y}`);
  }

  #checkMemory(moment: string): void {
    for (const { buffer, bytes, lender } of this.#items) {
      if (lender !== null) continue;
      const seen = new Uint8Array(buffer.byteLength);
      buffer.read(0, seen);
      const count = differentPixels(seen, bytes);
      must(count === 0, `${moment}: ${count} pixels of resource ${buffer.id} are wrong in the guest's memory`);
    }
  }

  #checkHeld(moment: string, held: ReadonlyMap<number, Uint8Array>): void {
    const names = (ids: Iterable<number>): string => [...ids].sort((a, b) => a - b).join(", ");
    const wanted = names([...this.#items].map(({ buffer }) => buffer.id));
    must(names(held.keys()) === wanted, `${moment}: the host has resources ${names(held.keys())} instead of ${wanted}`);
    for (const { buffer, bytes } of this.#items) {
      if (buffer.storage === "blob" && !buffer.isAttached) continue;
      const seen = (held.get(buffer.id) ?? new Uint8Array(0)).subarray(0, bytes.length);
      const count = differentPixels(seen, bytes);
      must(count === 0, `${moment}: the host has ${count} wrong pixels of resource ${buffer.id}`);
    }
  }

  /** What the host holds is seen by showing it, some of it where there is much. */
  async #lookAtAll(moment: string): Promise<void> {
    const visible = new Set([...this.#shown, ...this.#cursors].map((shown) => shown?.item));
    const hidden = this.items.filter((item) => !visible.has(item));
    const step = Math.max(1, hidden.length / LOOKED_AT_MAX);
    const chosen = hidden.filter((_, index) => Math.floor(index / step) !== Math.floor((index - 1) / step));
    if (chosen.length === 0) return;
    const shown = this.#shown[0] ?? null;
    for (const item of chosen) await this.#lookAt(moment, item);
    if (shown === null) await this.disable(0);
    else await this.show(0, shown.item, shown.rect);
  }

  async #lookAt(moment: string, item: SceneBuffer): Promise<void> {
    const { isAttached } = item.buffer;
    // Hosts show nothing of a resource without memory behind it.
    if (!isAttached) await item.buffer.attach();
    await this.show(0, item);
    await this.checkOutput(`${moment}: resource ${item.buffer.id}`, 0);
    if (!isAttached) await item.buffer.detach();
  }
}
