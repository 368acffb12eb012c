/**
 * A text console on an output: text in, pixels out, at any moment. While the device sleeps, is lost or hangs, the
 * text goes to guest memory alone and appears with the restore, for that is where restored pixels come from.
 */
import { GpuError } from "../../base/errors.ts";
import type { GpuBuffer } from "../buffer.ts";
import type { GpuCore } from "../core.ts";
import type { Rect } from "../desired/geometry.ts";
import type { Output } from "../output.ts";
import { sendPanicFlush } from "../session/panic.ts";
import { TextScreen } from "./text-screen.ts";

/** See the file's head. Made by {@link VirtioGpu.createConsole}. */
export class TextConsole {
  readonly buffer: GpuBuffer;
  readonly output: Output;
  readonly #core: GpuCore;
  readonly #screen: TextScreen;

  /** @internal */
  constructor(core: GpuCore, buffer: GpuBuffer, output: Output) {
    this.#core = core;
    this.buffer = buffer;
    this.output = output;
    this.#screen = new TextScreen(buffer.width, buffer.height, { sink: buffer });
  }

  /** The text on the screen, row by row. */
  text(): string {
    return this.#screen.text();
  }

  /** Characters in a row, and rows. */
  get size(): { readonly columns: number; readonly rows: number } {
    return { columns: this.#screen.columns, rows: this.#screen.rows };
  }

  /** Takes text, with the usual control characters and ANSI colours. Never throws, waits for nothing. */
  write(text: string): void {
    this.#screen.write(text);
    const damage = this.#screen.takeDamage();
    if (damage === null) return;
    // What the host makes of it is the reconciler's business: the text is in memory, and comes with the next session.
    this.buffer.flush(damage).catch(() => {});
  }

  /**
   * The last words of a system that can't wait: as {@link write}, but the commands are with the device when it returns,
   * if that is possible without waiting. Never throws, never touches a queue that is gone, suspended, hung or full.
   */
  panic(text: string): void {
    this.#screen.write(text);
    const damage = this.#screen.takeDamage() ?? this.buffer.bounds;
    const { session } = this.#core;
    if (session === null) return;
    try {
      sendPanicFlush(session, this.buffer.id, this.#toBuffer(damage), this.output.index);
    } catch (error) {
      if (!(error instanceof GpuError)) throw error;
    }
  }

  /** Shows it, after something else was shown. */
  async show(): Promise<void> {
    await this.output.show(this.buffer);
  }

  /** Gives the buffer up. */
  destroy(): void {
    this.#screen.attach(null);
    this.buffer.destroy();
  }

  #toBuffer(rect: Rect): Rect {
    const { width, height } = this.buffer;
    return { ...rect, width: Math.min(rect.width, width - rect.x), height: Math.min(rect.height, height - rect.y) };
  }
}
