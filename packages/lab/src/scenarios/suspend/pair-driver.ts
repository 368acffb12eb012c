/**
 * Two drivers that do the same, each on a GPU of its own: the suite's cases see one. The second one's pictures are those of
 * the first mirrored.
 */
import type { PowerClient, RestoreMessage, RestoreProgress } from "@virtgpu/core/base";
import type { BufferExporter, ImportListener, Rect } from "@virtgpu/core/driver";
import type { ScatterList } from "@virtgpu/core/memory";
import { Format } from "@virtgpu/core/wire";
import type { TestedBuffer, TestedBufferOptions, TestedCursor, TestedDriver, TestedOutput } from "./driver.ts";
import { mirroredBytes } from "./pair-mirror.ts";
import { differentPixels } from "./pixels.ts";
import { type Lender, must } from "./subject.ts";

/** A buffer on each of both. */
export class PairBuffer implements TestedBuffer {
  readonly first: TestedBuffer;
  readonly second: TestedBuffer;
  readonly #onDestroy: () => void;

  constructor(first: TestedBuffer, second: TestedBuffer, onDestroy: () => void) {
    this.first = first;
    this.second = second;
    this.#onDestroy = onDestroy;
  }

  get id(): number {
    return this.first.id;
  }

  get width(): number {
    return this.first.width;
  }

  get height(): number {
    return this.first.height;
  }

  get byteLength(): number {
    return this.first.byteLength;
  }

  get shape(): TestedBuffer["shape"] {
    return this.first.shape;
  }

  get storage(): TestedBuffer["storage"] {
    return this.first.storage;
  }

  get isAttached(): boolean {
    must(this.first.isAttached === this.second.isAttached, `one of two buffers ${this.id} is attached`);
    return this.first.isAttached;
  }

  read(offset: number, target: Uint8Array): void {
    const other = new Uint8Array(target.length);
    this.first.read(offset, target);
    this.second.read(offset, other);
    const count = differentPixels(mirroredBytes(other, this.shape.format), target);
    must(count === 0, `${count} pixels of buffer ${this.id} are wrong in the memory of the second driver`);
  }

  write(offset: number, bytes: Uint8Array): void {
    this.first.write(offset, bytes);
    this.second.write(offset, mirroredBytes(bytes, this.shape.format));
  }

  async flush(rect?: Rect): Promise<void> {
    await Promise.all([this.first.flush(rect), this.second.flush(rect)]);
  }

  async detach(): Promise<void> {
    await Promise.all([this.first.detach(), this.second.detach()]);
  }

  async attach(): Promise<void> {
    await Promise.all([this.first.attach(), this.second.attach()]);
  }

  destroy(): void {
    this.#onDestroy();
    this.first.destroy();
    this.second.destroy();
  }
}

/** Memory that is lent to each of both. */
export class PairLender implements Lender {
  readonly first: Lender;
  readonly second: Lender;
  /** Of what is made of it. */
  format: Format = Format.B8G8R8X8;

  constructor(first: Lender, second: Lender) {
    this.first = first;
    this.second = second;
  }

  get key(): string {
    return this.first.key;
  }

  get byteLength(): number {
    return this.first.byteLength;
  }

  write(offset: number, bytes: Uint8Array): void {
    this.first.write(offset, bytes);
    this.second.write(offset, mirroredBytes(bytes, this.format));
  }

  async move(): Promise<void> {
    await Promise.all([this.first.move(), this.second.move()]);
  }

  async takeBack(): Promise<void> {
    await Promise.all([this.first.takeBack(), this.second.takeBack()]);
  }

  giveAgain(): void {
    this.first.giveAgain();
    this.second.giveAgain();
  }

  // Each driver imports its own half.

  map(): ScatterList {
    return this.first.map();
  }

  unmap(): void {
    this.first.unmap();
  }

  subscribe(listener: ImportListener): () => void {
    return this.first.subscribe(listener);
  }
}

/** See the file's head. */
export class PairDriver implements TestedDriver {
  readonly power: PowerClient;
  readonly clients: readonly PowerClient[];
  readonly #first: TestedDriver;
  readonly #second: TestedDriver;
  readonly #buffers: Set<PairBuffer> = new Set();

  constructor(first: TestedDriver, second: TestedDriver) {
    this.#first = first;
    this.#second = second;
    this.clients = [first.power, second.power];
    this.power = bothPowers(first.power, second.power);
  }

  get state(): string {
    const { state } = this.#first;
    return state === this.#second.state ? state : `${state}, and the second ${this.#second.state}`;
  }

  /** All that there are. */
  get buffers(): ReadonlySet<PairBuffer> {
    return this.#buffers;
  }

  async createBuffer(options: TestedBufferOptions): Promise<PairBuffer> {
    const made = [this.#first, this.#second].map((driver) => driver.createBuffer(options));
    return this.#hold(await Promise.all(made));
  }

  async importBuffer(exporter: BufferExporter, options: TestedBufferOptions): Promise<PairBuffer> {
    must(exporter instanceof PairLender, "memory is lent to both drivers, or to none");
    exporter.format = options.format ?? Format.B8G8R8X8;
    const halves = [exporter.first, exporter.second];
    const made = [this.#first, this.#second].map((driver, index) =>
      driver.importBuffer(halves[index] ?? exporter, options),
    );
    return this.#hold(await Promise.all(made));
  }

  /** Takes over buffers of each that belong together. */
  hold(first: TestedBuffer, second: TestedBuffer): PairBuffer {
    return this.#hold([first, second]);
  }

  output(index: number): TestedOutput {
    return new PairOutput(this.#first.output(index), this.#second.output(index));
  }

  /** Told when both were told. */
  onHotplug(listener: Parameters<TestedDriver["onHotplug"]>[0]): () => void {
    type Event = Parameters<typeof listener>[0];
    const waiting: readonly [Event[], Event[]] = [[], []];
    const hear = (mine: Event[], event: Event): void => {
      mine.push(event);
      const [[one], [other]] = waiting;
      if (one === undefined || other === undefined) return;
      for (const events of waiting) events.shift();
      const isSame =
        one.changes.map(({ output }) => output).join() === other.changes.map(({ output }) => output).join();
      listener(isSame ? one : { changes: [...one.changes, ...other.changes] });
    };
    const stops = [this.#first, this.#second].map((driver, index) =>
      driver.onHotplug((event) => hear(waiting[index === 0 ? 0 : 1], event)),
    );
    return () => {
      for (const stop of stops) stop();
    };
  }

  async remove(): Promise<void> {
    await Promise.all([this.#first.remove(), this.#second.remove()]);
  }

  #hold([first, second]: readonly TestedBuffer[]): PairBuffer {
    must(first !== undefined && second !== undefined, "there are two buffers");
    const pair: PairBuffer = new PairBuffer(first, second, () => this.#buffers.delete(pair));
    this.#buffers.add(pair);
    return pair;
  }
}

class PairOutput implements TestedOutput {
  readonly cursor: TestedCursor;
  readonly #first: TestedOutput;
  readonly #second: TestedOutput;

  constructor(first: TestedOutput, second: TestedOutput) {
    this.#first = first;
    this.#second = second;
    this.cursor = bothCursors(first.cursor, second.cursor);
  }

  /** What both know of their monitors; no modes while they differ. */
  get connector(): TestedOutput["connector"] {
    const [one, other] = [this.#first, this.#second].map(({ connector: { modes } }) =>
      JSON.stringify(modes.map(({ width, height }) => [width, height])),
    );
    return one === other ? this.#first.connector : { modes: [] };
  }

  async show(buffer: TestedBuffer, rect?: Rect): Promise<void> {
    const [first, second] = halves(buffer);
    await Promise.all([this.#first.show(first, rect), this.#second.show(second, rect)]);
  }

  async disable(): Promise<void> {
    await Promise.all([this.#first.disable(), this.#second.disable()]);
  }
}

function halves(buffer: TestedBuffer): readonly [TestedBuffer, TestedBuffer] {
  must(buffer instanceof PairBuffer, "the buffer is one of a pair");
  return [buffer.first, buffer.second];
}

function bothCursors(one: TestedCursor, other: TestedCursor): TestedCursor {
  return {
    set: async (buffer, hotSpot) => {
      const [first, second] = halves(buffer);
      await Promise.all([one.set(first, hotSpot), other.set(second, hotSpot)]);
    },
    move: async (x, y) => {
      await Promise.all([one.move(x, y), other.move(x, y)]);
    },
    hide: async () => {
      await Promise.all([one.hide(), other.hide()]);
    },
  };
}

/** Both as one, for whoever is not the system's sleep code: that has each on its list. */
function bothPowers(first: PowerClient, second: PowerClient): PowerClient {
  const both = [first, second];
  const each = async (work: (client: PowerClient) => Promise<void>): Promise<void> => {
    await Promise.all(both.map(work));
  };
  return {
    name: `${first.name} and ${second.name}`,
    notify: (event) => each((client) => client.notify(event)),
    freeze: (message) => each((client) => client.freeze(message)),
    restore: (message) => restoreBoth(both, message),
    shutdown: () => each((client) => client.shutdown()),
  };
}

function restoreBoth(both: readonly PowerClient[], message: RestoreMessage): RestoreProgress {
  const ways = both.map((client) => client.restore(message));
  const picture = Promise.all(ways.map((way) => way.picture)).then(() => {});
  const complete = Promise.all(ways.map((way) => way.complete)).then((reports) => ({
    restored: reports.reduce((sum, { restored }) => sum + restored, 0),
    outputs: reports.reduce((sum, { outputs }) => sum + outputs, 0),
    lost: reports.flatMap(({ lost }) => lost),
  }));
  picture.catch(() => {});
  complete.catch(() => {});
  return { picture, complete };
}
