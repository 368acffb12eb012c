/**
 * What the agent asks of a driver under test, the same for ours in user space and for the kernel's through DRM: few and
 * small things, from which {@link Scene} makes whole pictures. Pictures, seeds, hashes and numbers are the agent's.
 *
 * An error's message is one sentence that the lab's user reads; a kernel's refusal begins with its errno's name ("ENOSPC: ...").
 */
import type { AgentCalls, Size } from "./protocol.ts";

/** The outputs of a GPU as the protocol tells them. */
export type OutputState = AgentCalls["outputs"]["result"]["outputs"][number];

/** What an object is for: an output's picture, or a buffer that no output shows (yet). */
export type ObjectPurpose = "framebuffer" | "offscreen";

/** A picture buffer of a driver: B8G8R8X8, its guest memory is the application's to write and read. */
export interface GpuObject extends Size {
  /** For `SceneObject.kind`. */
  readonly kind: string;
  /** Puts `width * height * 4` bytes, rows without padding, into the guest memory. The host learns of it by {@link AgentGpu.upload}. */
  write(pixels: Uint8Array): void;
  /** The guest memory as it is now, rows without padding. */
  read(): Uint8Array;
  /** Gives the object up. It isn't shown any more. */
  free(): Promise<void>;
}

/** An object that only some machines have, or the reason why this one has none. */
export type Extra = { readonly object: GpuObject } | { readonly notOffered: string; readonly reason: string };

/** One GPU of the guest. Calls come one after another, but for flips, which go on in between. */
export interface AgentGpu {
  /** PCI address, e.g. "0000:00:04.0". */
  readonly address: string;
  /** Outputs as the guest sees them now. */
  outputs(): Promise<readonly OutputState[]>;
  create(purpose: ObjectPurpose, size: Size): Promise<GpuObject>;
  /** Imported dmabufs of each exporter that the kernel has, non-dumb resources, blobs: one entry each, had or not. */
  createExtras(size: Size): Promise<readonly Extra[]>;
  /** Shows an object on an output, in the object's size, also where nothing is connected; null turns the output off. */
  show(output: number, object: GpuObject | null): Promise<void>;
  /** Shows an object of the same size as the one that is there, without a mode set; resolves when it has happened. */
  flip(output: number, object: GpuObject): Promise<void>;
  /** Tells the host of an object's guest memory, and shows it where the object is on an output. */
  upload(object: GpuObject): Promise<void>;
  /** Again what is shown, as an application would to help itself: everything shown uploaded, and set as on the first day. */
  redraw(): Promise<void>;
  /** 64x64 A8R8G8B8 pixels at a place on an output; the hotspot is inside the picture. */
  showCursor(cursor: {
    readonly output: number;
    readonly pixels: Uint8Array;
    readonly hotspot: { readonly x: number; readonly y: number };
    readonly at: { readonly x: number; readonly y: number };
  }): Promise<void>;
  hideCursor(): Promise<void>;
  /** No longer the one that decides what outputs show, or again. Missing: no other may, with this driver. */
  readonly setMaster?: (isMaster: boolean) => Promise<void>;
}

/** What a driver knows of its own way back. Times are of {@link AgentGpuDriver.afterSleep}'s clock. */
export interface WakeReport {
  /** When the picture was back, and when all objects were; null where the driver isn't told, as with the kernel's. */
  readonly picture: number | null;
  readonly complete: number | null;
  readonly restored: number | null;
  readonly lost: number | null;
  readonly problems: readonly string[];
  /** The driver was taken away and given back: every object is gone, the agent makes and draws its scene anew. */
  readonly anew: boolean;
}

/** A driver under test with all its GPUs. */
export interface AgentGpuDriver {
  /** For `AgentHello.way`. */
  readonly way: string;
  /** In the order of their PCI addresses. */
  readonly gpus: readonly AgentGpu[];
  /** Last before the machine is put to sleep. An error here means that the sleep is not tried. */
  beforeSleep(): Promise<void>;
  /**
   * First after the call that put the machine to sleep has returned, be it after the sleep or because the sleep failed.
   * `now` is CLOCK_MONOTONIC in milliseconds.
   */
  afterSleep(now: () => number): Promise<WakeReport>;
  /** The device stops answering for a time. Missing: not offered. */
  readonly hang?: (milliseconds: number) => Promise<void>;
  /** Takes the driver from the device before a sleep and gives it back after. Missing: not offered. */
  readonly setRemedy?: (on: boolean) => Promise<void>;
  /** Frees everything, and gives devices back to whom they belonged. */
  close(): Promise<void>;
}

/** How a driver is opened: one function in own-gpu.ts ("virtgpu") and one in drm-gpu.ts ("kernel"). */
export type OpenDriver = (options: {
  /** How to reach the device, e.g. "uio"; "drm" for the kernel's driver. */
  readonly way: string;
  /** Our driver's memory, e.g. "hugepages"; as the way has it unless given. */
  readonly memory?: string | undefined;
  /** How many objects a scene is likely to have. */
  readonly objects: number;
  /** The remedy is somebody else's work: the driver is taken away and given back around a sleep without our help. */
  readonly isUnboundByOthers?: boolean;
  /** A line for the console: what the lab's user may want to know, but no error. */
  readonly say: (line: string) => void;
}) => Promise<AgentGpuDriver>;
