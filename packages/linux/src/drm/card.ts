/**
 * A DRM device (/dev/dri/card*) as a client without a library sees it: its outputs, buffers, framebuffers, modes and flips.
 * Legacy mode setting, not atomic: what small programs use, and what every driver has. Kernel interface: uapi drm.h, drm_mode.h.
 *
 * Every call may be the one that a driver never answers, and is made in another thread, with a deadline.
 */
import { closeSync, openSync, readSync, realpathSync } from "node:fs";
import { basename } from "node:path";
import { errnoName, Mapping, type Sys, SystemCallError, type Watch } from "../native/index.ts";
import { decode, encode, layoutOf, type StructValue } from "./layout.ts";
import {
  type ArgumentOf,
  DROP_MASTER,
  flags,
  REMOVE_FRAMEBUFFER,
  type RequestName,
  requestCode,
  requests,
  SET_MASTER,
} from "./requests.ts";

/** How long a call may take: a driver that needs longer counts as hung. */
export const CALL_DEADLINE_MS = 20_000;

/** What an output consists of: a connector, and the CRTC that feeds it. */
export interface DrmOutput {
  readonly name: string;
  readonly connectorId: number;
  readonly crtcId: number;
  readonly connected: boolean;
  readonly modes: readonly { readonly width: number; readonly height: number }[];
}

/** A buffer of a DRM device: a GEM handle, and how its memory is laid out. */
export interface DrmBuffer {
  readonly handle: number;
  readonly pitch: number;
  readonly byteLength: number;
}

/** No kernel object has more of anything; a count beyond it is not believed. */
const MOST = 4096;
const CONNECTOR_VIRTUAL = 15;
const EVENT_HEADER = 8;

/** An open DRM device. */
export class DrmCard {
  readonly fd: number;
  readonly path: string;
  /** The name of its driver, e.g. "virtio_gpu". */
  readonly driver: string;
  readonly #sys: Sys;
  readonly #flips = new Map<bigint, () => void>();
  #watch: Watch | null = null;
  #nextFlip = 1n;
  /** A call that has not returned in time, and still has not. */
  #stuckIn: string | null = null;

  private constructor(sys: Sys, path: string, fd: number) {
    this.#sys = sys;
    this.path = path;
    this.fd = fd;
    this.driver = this.#driverName();
  }

  /** Opens /dev/dri/card*. Throws SystemCallError or an error of open(2). */
  static open(path: string, sys: Sys): DrmCard {
    const fd = openSync(path, "r+");
    try {
      return new DrmCard(sys, path, fd);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** Closes it; but not where the driver hangs, as close(2) would never return either. */
  close(): void {
    this.#watch?.close();
    this.#watch = null;
    for (const resolve of this.#flips.values()) resolve();
    this.#flips.clear();
    if (this.#stuckIn === null) closeSync(this.fd);
  }

  /** An ioctl that answers at once. Throws SystemCallError with the request's name. */
  call<R extends RequestName>(name: R, value: Partial<StructValue<ArgumentOf<R>>>): StructValue<ArgumentOf<R>> {
    return callDevice(this.#sys, this.fd, name, value);
  }

  /**
   * An ioctl that waits for the device. Rejects with ETIMEDOUT where it has not returned in {@link CALL_DEADLINE_MS}, and from
   * then on at once until it does: the next one would wait for the same locks.
   */
  async callLater<R extends RequestName>(
    name: R,
    value: Partial<StructValue<ArgumentOf<R>>>,
  ): Promise<StructValue<ArgumentOf<R>>> {
    const argument = encode<ArgumentOf<R>>(requests[name].of, value);
    await this.#inTime(name, () => this.#retried(name, requestCode(name), argument));
    return decode<ArgumentOf<R>>(requests[name].of, argument);
  }

  async #inTime(name: string, start: () => Promise<void>): Promise<void> {
    if (this.#stuckIn !== null) {
      throw new SystemCallError("ETIMEDOUT", name, `was not tried, as ${this.#stuckIn} hangs in the driver`);
    }
    const call = start();
    try {
      await withinDeadline(call, name);
    } catch (error) {
      if (errnoName(error) === "ETIMEDOUT") this.#stickTo(name, call);
      throw error;
    }
  }

  #stickTo(name: string, call: Promise<void>): void {
    this.#stuckIn = name;
    const loosen = (): void => {
      this.#stuckIn = null;
    };
    call.then(loosen, loosen);
  }

  /** Gives up what only one may have: to say what outputs show; or asks for it again. */
  async setMaster(isMaster: boolean): Promise<void> {
    const [name, code] = isMaster ? ["SET_MASTER", SET_MASTER] : ["DROP_MASTER", DROP_MASTER];
    await this.#inTime(name, () => this.#retried(name, code, null));
  }

  async #retried(name: string, code: number, argument: Uint8Array | null): Promise<void> {
    for (;;) {
      try {
        await this.#sys.ioctlLater(this.fd, code, argument);
        return;
      } catch (error) {
        if (!isInterrupted(error)) throw named(error, name);
      }
    }
  }

  #driverName(): string {
    const name = new Uint8Array(64);
    const version = this.call("VERSION", { name: this.#sys.addressOf(name), name_len: BigInt(name.length) });
    return String.fromCharCode(...name.subarray(0, Math.min(Number(version.name_len), name.length)));
  }

  /** The outputs as they are now; connectors are asked anew, which includes the host's EDID. */
  async outputs(): Promise<readonly DrmOutput[]> {
    const { crtcs, connectors } = this.#resources();
    const outputs: DrmOutput[] = [];
    for (const connectorId of connectors) outputs.push(await this.#output(connectorId, crtcs));
    return outputs;
  }

  #resources(): { readonly crtcs: readonly number[]; readonly connectors: readonly number[] } {
    const counts = this.call("MODE_GETRESOURCES", {});
    const crtcs = new Uint32Array(Math.min(counts.count_crtcs, MOST));
    const connectors = new Uint32Array(Math.min(counts.count_connectors, MOST));
    this.call("MODE_GETRESOURCES", {
      crtc_id_ptr: this.#addressOf(crtcs),
      count_crtcs: crtcs.length,
      connector_id_ptr: this.#addressOf(connectors),
      count_connectors: connectors.length,
    });
    return { crtcs: [...crtcs], connectors: [...connectors] };
  }

  async #output(connectorId: number, crtcs: readonly number[]): Promise<DrmOutput> {
    const counts = await this.callLater("MODE_GETCONNECTOR", { connector_id: connectorId });
    const modeBytes = layoutOf("drm_mode_modeinfo").bytes;
    const modes = new Uint8Array(modeBytes * Math.min(counts.count_modes, MOST));
    const encoders = new Uint32Array(Math.min(counts.count_encoders, MOST));
    const connector = await this.callLater("MODE_GETCONNECTOR", {
      connector_id: connectorId,
      modes_ptr: this.#addressOf(modes),
      count_modes: modes.length / modeBytes,
      encoders_ptr: this.#addressOf(encoders),
      count_encoders: encoders.length,
    });
    const possible = encoders[0] === undefined ? 0 : this.#possibleCrtcs(encoders[0]);
    const count = Math.min(connector.count_modes, modes.length / modeBytes);
    const infos = Array.from({ length: count }, (_, index) =>
      decode("drm_mode_modeinfo", modes.subarray(index * modeBytes)),
    );
    return {
      name: connectorName(connector.connector_type, connector.connector_type_id),
      connectorId,
      crtcId: crtcs.find((_, index) => (possible >>> index) & 1) ?? 0,
      connected: connector.connection === flags.DRM_MODE_CONNECTED,
      modes: infos.map((mode) => ({ width: mode.hdisplay, height: mode.vdisplay })),
    };
  }

  #possibleCrtcs(encoderId: number): number {
    return this.call("MODE_GETENCODER", { encoder_id: encoderId }).possible_crtcs;
  }

  /** A buffer that the CPU draws into. */
  async createDumb(width: number, height: number): Promise<DrmBuffer> {
    const made = await this.callLater("MODE_CREATE_DUMB", { width, height, bpp: 32 });
    return { handle: made.handle, pitch: made.pitch, byteLength: Number(made.size) };
  }

  /** A dumb buffer's memory; the caller closes it. */
  mapDumb(buffer: DrmBuffer): Mapping {
    const { offset } = this.call("MODE_MAP_DUMB", { handle: buffer.handle });
    return Mapping.ofFile(this.fd, buffer.byteLength, offset, this.#sys);
  }

  closeHandle(handle: number): Promise<unknown> {
    return this.callLater("GEM_CLOSE", { handle });
  }

  /** A framebuffer in X8R8G8B8 (little-endian: B, G, R, X) over a buffer. Returns its number. */
  async addFramebuffer(buffer: DrmBuffer, width: number, height: number): Promise<number> {
    const added = await this.callLater("MODE_ADDFB2", {
      width,
      height,
      pixel_format: flags.DRM_FORMAT_XRGB8888,
      handles: [buffer.handle],
      pitches: [buffer.pitch],
    });
    return added.fb_id;
  }

  async removeFramebuffer(framebufferId: number): Promise<void> {
    const argument = new Uint8Array(new Uint32Array([framebufferId]).buffer);
    await this.#inTime("MODE_RMFB", () => this.#retried("MODE_RMFB", REMOVE_FRAMEBUFFER, argument));
  }

  /** Shows a framebuffer in a mode of its own size, whatever the connector says of what is connected; null: off. */
  async setCrtc(
    output: DrmOutput,
    shown: { readonly framebufferId: number; readonly width: number; readonly height: number } | null,
  ): Promise<void> {
    if (shown === null) {
      await this.callLater("MODE_SETCRTC", { crtc_id: output.crtcId });
      return;
    }
    const connectors = new Uint32Array([output.connectorId]);
    await this.callLater("MODE_SETCRTC", {
      crtc_id: output.crtcId,
      fb_id: shown.framebufferId,
      set_connectors_ptr: this.#addressOf(connectors),
      count_connectors: connectors.length,
      mode_valid: 1,
      mode: modeOf(shown.width, shown.height),
    });
  }

  /** Tells the driver that all of a framebuffer has changed. */
  dirty(framebufferId: number): Promise<unknown> {
    return this.callLater("MODE_DIRTYFB", { fb_id: framebufferId });
  }

  /** Another framebuffer of the same size without a mode set; resolves with the event that it has happened. */
  async flip(output: DrmOutput, framebufferId: number): Promise<void> {
    this.#watch ??= this.#sys.watch(
      this.fd,
      () => this.#readEvents(),
      () => undefined,
    );
    const number = this.#nextFlip;
    this.#nextFlip += 1n;
    const flipped = new Promise<void>((resolve) => this.#flips.set(number, resolve));
    try {
      await this.callLater("MODE_PAGE_FLIP", {
        crtc_id: output.crtcId,
        fb_id: framebufferId,
        flags: flags.DRM_MODE_PAGE_FLIP_EVENT,
        user_data: number,
      });
      await withinDeadline(flipped, "the event of MODE_PAGE_FLIP");
    } finally {
      this.#flips.delete(number);
    }
  }

  #readEvents(): void {
    const bytes = new Uint8Array(4096);
    const end = readSync(this.fd, bytes);
    for (let at = 0; at + EVENT_HEADER <= end; ) {
      const { type, length } = decode("drm_event", bytes.subarray(at));
      if (length < EVENT_HEADER) return;
      if (type === flags.DRM_EVENT_FLIP_COMPLETE && at + EVENT_HEADER * 2 <= end) {
        this.#flips.get(new DataView(bytes.buffer).getBigUint64(at + EVENT_HEADER, true))?.();
      }
      at += length;
    }
  }

  /** A cursor of 64x64 from a buffer at a place, or none. */
  setCursor(
    output: DrmOutput,
    cursor: {
      readonly handle: number;
      readonly x: number;
      readonly y: number;
      readonly hotX: number;
      readonly hotY: number;
    } | null,
  ): Promise<unknown> {
    if (cursor === null) {
      return this.callLater("MODE_CURSOR2", { flags: flags.DRM_MODE_CURSOR_BO, crtc_id: output.crtcId });
    }
    return this.callLater("MODE_CURSOR2", {
      flags: flags.DRM_MODE_CURSOR_BO | flags.DRM_MODE_CURSOR_MOVE,
      crtc_id: output.crtcId,
      x: cursor.x,
      y: cursor.y,
      width: 64,
      height: 64,
      handle: cursor.handle,
      hot_x: cursor.hotX,
      hot_y: cursor.hotY,
    });
  }

  #addressOf(array: Uint8Array | Uint32Array): bigint {
    if (array.byteLength === 0) return 0n;
    return this.#sys.addressOf(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  }
}

/** A request to any device that answers at once. Throws SystemCallError with the request's name. */
export function callDevice<R extends RequestName>(
  sys: Sys,
  fd: number,
  name: R,
  value: Partial<StructValue<ArgumentOf<R>>>,
): StructValue<ArgumentOf<R>> {
  const argument = encode<ArgumentOf<R>>(requests[name].of, value);
  for (;;) {
    try {
      sys.ioctl(fd, requestCode(name), argument);
      return decode<ArgumentOf<R>>(requests[name].of, argument);
    } catch (error) {
      if (!isInterrupted(error)) throw named(error, name);
    }
  }
}

const isInterrupted = (error: unknown): boolean => ["EINTR", "EAGAIN"].includes(errnoName(error) ?? "");

function named(error: unknown, name: string): unknown {
  if (!(error instanceof SystemCallError)) return error;
  return new SystemCallError(error.code, name, error.message.split(": ").at(-1) ?? "");
}

async function withinDeadline<T>(call: Promise<T>, name: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new SystemCallError("ETIMEDOUT", name, `has not come in ${CALL_DEADLINE_MS / 1000} s: the driver hangs`));
    }, CALL_DEADLINE_MS);
  });
  try {
    return await Promise.race([call, late]);
  } finally {
    clearTimeout(timer);
  }
}

function connectorName(type: number, number: number): string {
  return `${type === CONNECTOR_VIRTUAL ? "Virtual" : `Connector${type}`}-${number}`;
}

/** A mode of a size at about 60 Hz, with blanking like CVT's reduced one: no real display, nobody looks at it. */
export function modeOf(width: number, height: number): StructValue<"drm_mode_modeinfo"> {
  const [htotal, vtotal] = [width + 160, height + 30];
  return {
    clock: Math.round((htotal * vtotal * 60) / 1000),
    hdisplay: width,
    hsync_start: width + 48,
    hsync_end: width + 80,
    htotal,
    hskew: 0,
    vdisplay: height,
    vsync_start: height + 3,
    vsync_end: height + 9,
    vtotal,
    vscan: 0,
    vrefresh: 60,
    flags: 0,
    type: 0,
    name: `${width}x${height}`,
  };
}

/** The PCI address of the device behind a card; null where there is none. */
export function pciAddressOf(cardPath: string): string | null {
  try {
    const device = realpathSync(`/sys/class/drm/${basename(cardPath)}/device`);
    return device.match(/[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]/g)?.at(-1) ?? null;
  } catch {
    return null;
  }
}
