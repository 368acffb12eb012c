/**
 * The embedder's parts behind guards: a display sink or renderer that throws does not take the device along. What it threw
 * is traced, the command is answered, and the device goes on. A failed assertion is ours and passes.
 */
import type { Guard } from "../base/guard.ts";
import { MemoryRangeError } from "../memory/guest-memory.ts";
import type { CtxCreate, ResourceCreate3d, TransferHost3d } from "../wire/gpu.gen.ts";
import { GpuReply } from "../wire/gpu.ts";
import type { CursorImage, DisplaySink, ScanoutPixels } from "./display-sink.ts";
import type { PixelRect } from "./pixels.ts";
import type { CapsetInfo, GuestBytes, HostBlob, Renderer, RendererPixels, RendererStatus } from "./renderer.ts";

/** A sink that never throws. */
export class GuardedSink implements DisplaySink {
  readonly #sink: DisplaySink;
  readonly #guard: Guard;

  constructor(sink: DisplaySink, guard: Guard) {
    this.#sink = sink;
    this.#guard = guard;
  }

  scanout(output: number, pixels: ScanoutPixels | null): void {
    this.#guard.run("sink's scanout", () => this.#sink.scanout(output, pixels), undefined);
  }

  /** The one that is called with every frame: no closure. */
  flush(output: number, rect: PixelRect, pixels: ScanoutPixels): void {
    try {
      this.#sink.flush(output, rect, pixels);
    } catch (error) {
      this.#guard.caught("sink's flush", error);
    }
  }

  updateCursor(output: number, cursor: CursorImage): void {
    this.#guard.run("sink's updateCursor", () => this.#sink.updateCursor(output, cursor), undefined);
  }

  moveCursor(output: number, cursor: CursorImage): void {
    this.#guard.run("sink's moveCursor", () => this.#sink.moveCursor(output, cursor), undefined);
  }

  hideCursor(output: number): void {
    this.#guard.run("sink's hideCursor", () => this.#sink.hideCursor(output), undefined);
  }
}

/** A renderer that never throws on the guest's account: a command that it throws at is answered ERR_UNSPEC. */
export class GuardedRenderer {
  readonly #renderer: Renderer;
  readonly #guard: Guard;

  constructor(renderer: Renderer, guard: Guard) {
    this.#renderer = renderer;
    this.#guard = guard;
  }

  get capsets(): readonly CapsetInfo[] {
    return this.#guard.run("renderer's capsets", () => this.#renderer.capsets, []);
  }

  /** Null where there is none to be had. */
  capset(id: number, version: number): Uint8Array | null {
    return this.#guard.run("renderer's capset", () => this.#renderer.capset(id, version), null);
  }

  createContext(contextId: number, parameters: CtxCreate): RendererStatus {
    return this.#status("createContext", () => this.#renderer.createContext(contextId, parameters));
  }

  destroyContext(contextId: number): void {
    this.#guard.run("renderer's destroyContext", () => this.#renderer.destroyContext(contextId), undefined);
  }

  attachResource(contextId: number, resourceId: number): RendererStatus {
    return this.#status("attachResource", () => this.#renderer.attachResource(contextId, resourceId));
  }

  detachResource(contextId: number, resourceId: number): RendererStatus {
    return this.#status("detachResource", () => this.#renderer.detachResource(contextId, resourceId));
  }

  submit(contextId: number, commands: Uint8Array): RendererStatus {
    return this.#status("submit", () => this.#renderer.submit(contextId, commands));
  }

  /** Whether commands may be done later than they return. */
  get hasFences(): boolean {
    return this.#renderer.fence !== undefined;
  }

  /** As {@link Renderer.fence}; one that throws has signalled. */
  fence(contextId: number, ringIndex: number | null, signal: () => void): void {
    const isTaken = this.#guard.run(
      "renderer's fence",
      () => {
        this.#renderer.fence?.(contextId, ringIndex, signal);
        return true;
      },
      false,
    );
    if (!isTaken) signal();
  }

  createResource(parameters: ResourceCreate3d): RendererStatus {
    return this.#status("createResource", () => this.#renderer.createResource(parameters));
  }

  createBlob(resourceId: number, blob: HostBlob): RendererStatus {
    return this.#status("createBlob", () => this.#renderer.createBlob(resourceId, blob));
  }

  destroyResource(resourceId: number): void {
    this.#guard.run("renderer's destroyResource", () => this.#renderer.destroyResource(resourceId), undefined);
  }

  /** Throws MemoryRangeError where the backing is no memory any more. */
  transferToHost(contextId: number, transfer: TransferHost3d, guest: GuestBytes): RendererStatus {
    return this.#status("transferToHost", () => this.#renderer.transferToHost(contextId, transfer, guest));
  }

  /** Throws MemoryRangeError where the backing is no memory any more. */
  transferFromHost(contextId: number, transfer: TransferHost3d, guest: GuestBytes): RendererStatus {
    return this.#status("transferFromHost", () => this.#renderer.transferFromHost(contextId, transfer, guest));
  }

  hasResource(resourceId: number): boolean {
    return this.#guard.run("renderer's hasResource", () => this.#renderer.hasResource(resourceId), false);
  }

  pixels(resourceId: number): RendererPixels | null {
    return this.#guard.run("renderer's pixels", () => this.#renderer.pixels(resourceId), null);
  }

  /** Null: it is not mapped. */
  mapBlob(resourceId: number, window: Uint8Array): number | null {
    return this.#guard.run("renderer's mapBlob", () => this.#renderer.mapBlob(resourceId, window), null);
  }

  unmapBlob(resourceId: number): void {
    this.#guard.run("renderer's unmapBlob", () => this.#renderer.unmapBlob(resourceId), undefined);
  }

  reset(): void {
    this.#guard.run("renderer's reset", () => this.#renderer.reset(), undefined);
  }

  /** Whether it can be part of a saved state. */
  get canBeSaved(): boolean {
    return this.#renderer.save !== undefined && this.#renderer.restore !== undefined;
  }

  /** The embedder's own call, who hears what it throws. */
  save(): unknown {
    return this.#renderer.save?.();
  }

  /** The embedder's own call, who hears what it throws. */
  restore(state: unknown): void {
    this.#renderer.restore?.(state);
  }

  #status(method: string, work: () => RendererStatus): RendererStatus {
    try {
      return work();
    } catch (error) {
      if (error instanceof MemoryRangeError) throw error;
      this.#guard.caught(`renderer's ${method}`, error);
      return GpuReply.ERR_UNSPEC;
    }
  }
}
