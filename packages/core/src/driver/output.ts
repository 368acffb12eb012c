/**
 * Outputs (scanouts, VIRTIO 1.2 section 5.7.1) with their cursors: what each is to show. The calls change the desired
 * state at once and resolve when the display shows it; made while the device sleeps, they resolve after the restore.
 */
import { GpuError } from "../base/errors.ts";
import { BYTES_PER_PIXEL, CURSOR_SIZE, SCANOUT_SIZE_MIN } from "../wire/index.ts";
import type { GpuBuffer } from "./buffer.ts";
import type { GpuCore } from "./core.ts";
import { type Rect, isInside } from "./desired/geometry.ts";
import type { DesiredCursor } from "./desired/objects.ts";
import { NO_CURSOR } from "./desired/objects.ts";
import type { ConnectorState, Display } from "./display/display.ts";

/** One output. The same object for the device's whole life, also while a host has no such output. */
export class Output {
  readonly index: number;
  readonly cursor: Cursor;
  readonly #core: GpuCore;
  readonly #display: Display;

  /** @internal */
  constructor(core: GpuCore, display: Display, index: number) {
    this.#core = core;
    this.#display = display;
    this.index = index;
    this.cursor = new Cursor(core, index);
  }

  /** What is known of its monitor: whether somebody looks, modes, EDID. */
  get connector(): ConnectorState {
    return this.#display.connector(this.index);
  }

  /** Whether this host has the output at all. */
  get exists(): boolean {
    return this.index < this.#display.outputs;
  }

  /** What it is to show: the resource's id and the part of it; null when it is off. */
  get shown(): { readonly bufferId: number; readonly rect: Rect } | null {
    const scanout = this.#core.desired.scanouts[this.index] ?? null;
    return scanout === null ? null : { bufferId: scanout.object, rect: scanout.rect };
  }

  /**
   * Shows `rect` of a buffer (all of it unless given): mode set, page flip and pan in one. The same buffer may be shown
   * on several outputs. Rejects with EINVAL for a rectangle outside or below 16x16 pixels, ENODEV when this host has no
   * such output, else with the host's refusal.
   */
  async show(buffer: GpuBuffer, rect: Rect = buffer.bounds): Promise<void> {
    this.#checkShowable(buffer, rect);
    this.#core.desired.scanouts[this.index] = { object: buffer.id, rect, layout: buffer.layout };
    this.#core.touch(`resource ${buffer.id}`);
    await this.#core.settled(`scanout ${this.index}`);
  }

  /** Switches it off. */
  async disable(): Promise<void> {
    this.#core.assertUsable();
    this.#core.desired.scanouts[this.index] = null;
    await this.#core.settled(`scanout ${this.index}`);
  }

  #checkShowable(buffer: GpuBuffer, rect: Rect): void {
    this.#core.assertUsable();
    const facts = { device: this.#core.label, object: `output ${this.index}` };
    if (buffer.isDestroyed) throw new GpuError("ENODEV", `buffer ${buffer.id} was destroyed`, facts);
    if (buffer.lost !== null) throw buffer.lost;
    if (!isInside(rect, buffer.width, buffer.height)) {
      throw new GpuError("EINVAL", `the rectangle ${JSON.stringify(rect)} lies outside the buffer`, facts);
    }
    if (rect.width < SCANOUT_SIZE_MIN || rect.height < SCANOUT_SIZE_MIN) {
      throw new GpuError("EINVAL", `${rect.width}x${rect.height} pixels are too few for an output`, facts);
    }
  }
}

/** The cursor plane of an output. */
export class Cursor {
  readonly #core: GpuCore;
  readonly #index: number;

  /** @internal */
  constructor(core: GpuCore, index: number) {
    this.#core = core;
    this.#index = index;
  }

  /** What it is to be; `object` 0 when hidden. */
  get state(): DesiredCursor {
    return this.#core.desired.cursors[this.#index] ?? NO_CURSOR;
  }

  /** Takes a buffer of 64x64 pixels as its picture. Hot spot in pixels of it. Rejects with EINVAL for anything else. */
  async set(buffer: GpuBuffer, hotSpot: { readonly x: number; readonly y: number } = { x: 0, y: 0 }): Promise<void> {
    this.#core.assertUsable();
    if (buffer.storage !== "image" || buffer.width !== CURSOR_SIZE || buffer.height !== CURSOR_SIZE) {
      throw new GpuError("EINVAL", `a cursor is an image of ${CURSOR_SIZE}x${CURSOR_SIZE} pixels`, this.#facts());
    }
    if (buffer.byteLength < CURSOR_SIZE * CURSOR_SIZE * BYTES_PER_PIXEL || buffer.isDestroyed) {
      throw new GpuError("EINVAL", `buffer ${buffer.id} has no picture to give`, this.#facts());
    }
    await this.#change(
      { ...this.state, object: buffer.id, hotX: clampHot(hotSpot.x), hotY: clampHot(hotSpot.y) },
      buffer.id,
    );
  }

  /** Puts it to a place, in pixels of the output; it may lie outside. */
  async move(x: number, y: number): Promise<void> {
    if (!Number.isInteger(x) || !Number.isInteger(y))
      throw new GpuError("EINVAL", `${x}, ${y} is no place`, this.#facts());
    await this.#change({ ...this.state, x, y }, this.state.object);
  }

  /** Takes it away. Its place is remembered. */
  async hide(): Promise<void> {
    await this.#change({ ...this.state, object: 0 }, this.state.object);
  }

  async #change(next: DesiredCursor, resourceId: number): Promise<void> {
    this.#core.assertUsable();
    this.#core.desired.cursors[this.#index] = next;
    if (resourceId !== 0) this.#core.touch(`resource ${resourceId}`);
    await this.#core.settled(`cursor ${this.#index}`);
  }

  #facts(): { device: string; object: string } {
    return { device: this.#core.label, object: `cursor ${this.#index}` };
  }
}

function clampHot(value: number): number {
  return Number.isInteger(value) ? Math.min(Math.max(value, 0), CURSOR_SIZE - 1) : 0;
}
