/**
 * What the lab and its agent inside a guest say to each other: JSON lines over a serial port. The lab sends
 * `{id, call, with}`; the agent answers `{id, result}` or `{id, error}`, and says `{event}` on its own. Both sides check
 * what they get; the agent's answers count as a guest's, that is hostile.
 *
 * The two drivers under test (ours in user space, the kernel's through DRM) answer the same calls, so that one scenario runs
 * on both.
 */

/** Which driver the agent speaks for. */
export type AgentDriver = "virtgpu" | "kernel";

/** How the agent's machine is put to sleep. */
export type SleepWay =
  | "s4-platform"
  | "s4-shutdown"
  | "s4-reboot"
  | "test-resume"
  | "s3"
  | "s2idle"
  | "hybrid"
  | "uswsusp"
  | "uswsusp-twice"
  | "abort-freeze"
  | "abort-image"
  | "pm-test-freezer"
  | "pm-test-devices"
  | "pm-test-platform"
  | "pm-test-processors"
  | "pm-test-core";

/** Pixels; both at least 1. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** What to draw. Object k shows {@link pattern} of seed `seed + k`: outputs first, then the off-screen objects. */
export interface SceneRequest {
  readonly seed: number;
  /** One an output; an output that is null is turned off. */
  readonly outputs: readonly (Size | null)[];
  readonly offscreen: { readonly count: number } & Size;
  /** A 64x64 cursor with hotspot (1, 2) on the first lit output, at (200, 150). */
  readonly cursor: boolean;
  /** Imported dmabufs too, of each exporter that the kernel has; blobs where offered. */
  readonly extras: boolean;
}

/** An object of the scene. */
export interface SceneObject {
  /** Its number: what {@link AgentCalls} call it by. */
  readonly index: number;
  /** e.g. "framebuffer", "dumb", "resource-2d", "import-udmabuf", "import-vgem", "import-heap", "blob". */
  readonly kind: string;
  readonly width: number;
  readonly height: number;
  /** SHA-256, in hex, of its guest memory (rows without padding, B8G8R8X8 with X = 0). */
  readonly sha256: string;
}

/** What came of a scene. */
export interface SceneReply {
  readonly objects: readonly SceneObject[];
  /** The object shown by each output, null where the output is off. */
  readonly shown: readonly (number | null)[];
  /** What could not be had here, and why. */
  readonly notOffered: readonly { readonly kind: string; readonly reason: string }[];
}

/** How a sleep ended, told in the machine that woke (or never slept). */
export interface SleepReply {
  /** Null: what was asked for happened. Else the kernel's answer, e.g. "ENODEV". */
  readonly error: string | null;
  /** Milliseconds by CLOCK_MONOTONIC from the return of the call to: the picture, all objects. Null where not known. */
  readonly picture: number | null;
  readonly complete: number | null;
  /** Objects restored and lost, as the driver itself counts them; null for a driver that doesn't tell. */
  readonly restored: number | null;
  readonly lost: number | null;
  /** What the driver says that went wrong. */
  readonly problems: readonly string[];
}

/** The kernel's text console. */
export interface ConsoleReply {
  /** What it says, by /dev/vcs1: lines without the blanks at their ends, the last of them not empty. */
  readonly lines: readonly string[];
  /** Whether a framebuffer shows it. */
  readonly isShown: boolean;
}

/** The agent's machine. */
export interface AgentHello {
  readonly kernel: string;
  readonly driver: AgentDriver;
  /** How the driver reaches the device: "uio", "vfio", "pci-cfg", "drm". */
  readonly way: string;
  /** PCI addresses of the GPUs it has. */
  readonly gpus: readonly string[];
  readonly outputs: readonly { readonly name: string; readonly connected: boolean }[];
}

/** Every call: what goes with it, and what comes back. `gpu` is an index into {@link AgentHello.gpus}, 0 unless given. */
export interface AgentCalls {
  readonly hello: { readonly with: Record<string, never>; readonly result: AgentHello };
  readonly scene: { readonly with: SceneRequest & { readonly gpu?: number }; readonly result: SceneReply };
  /** Flips pages of an output all the time, until the next call of `flips`; says how many were done, and failed, and why the first did. */
  readonly flips: {
    readonly with: { readonly output: number; readonly on: boolean; readonly gpu?: number };
    readonly result: { readonly flips: number; readonly failed: number; readonly reason: string | null };
  };
  /** Shows an object on an output without drawing anew. The lab takes the screendump. */
  readonly show: {
    readonly with: { readonly object: number | null; readonly output: number; readonly gpu?: number };
    readonly result: Record<string, never>;
  };
  /** Shows again what is shown, with the contents that are there (DIRTYFB and a mode set, or a flush). */
  readonly redraw: { readonly with: { readonly gpu?: number }; readonly result: Record<string, never> };
  /** Draws the pattern of a seed into an object, and shows it if it is on an output. */
  readonly draw: {
    readonly with: { readonly object: number; readonly seed: number; readonly gpu?: number };
    readonly result: { readonly sha256: string };
  };
  /** Hashes of all objects' guest memory as it is now. */
  readonly hashes: {
    readonly with: { readonly gpu?: number };
    readonly result: { readonly objects: readonly SceneObject[] };
  };
  /** Frees every object of the scene. */
  readonly clear: { readonly with: { readonly gpu?: number }; readonly result: Record<string, never> };
  /** Outputs as the guest sees them now (hotplug, modes). */
  readonly outputs: {
    readonly with: { readonly gpu?: number };
    readonly result: {
      readonly outputs: readonly {
        readonly name: string;
        readonly connected: boolean;
        readonly modes: readonly Size[];
      }[];
    };
  };
  readonly sleep: { readonly with: { readonly way: SleepWay }; readonly result: SleepReply };
  /**
   * Gives the first GPU's outputs to the kernel's text console, or takes them back and shows what the scene showed. Only for
   * the kernel's driver. With `write` the console has these lines then, at its top, and nothing else.
   */
  readonly console: {
    readonly with: { readonly isGiven: boolean; readonly write?: readonly string[] };
    readonly result: ConsoleReply;
  };
  /** A remedy that works today: unbind the kernel's driver before the sleep, bind it after. Only for the kernel's driver. */
  readonly remedy: { readonly with: { readonly on: boolean }; readonly result: Record<string, never> };
  /** The kernel's log since the last call, one line each. */
  readonly log: { readonly with: Record<string, never>; readonly result: { readonly lines: readonly string[] } };
  /** Makes the device stop answering for a time, as a hung host would (kicks are swallowed). Only for our driver. */
  readonly hang: { readonly with: { readonly milliseconds: number }; readonly result: Record<string, never> };
  /** Gives the device back, and powers the machine off. */
  readonly finish: { readonly with: Record<string, never>; readonly result: Record<string, never> };
}

/** A call's name. */
export type AgentCall = keyof AgentCalls;

/** What the agent says by itself. "ready": it runs, once a boot. "failed": it ends, and why. */
export type AgentEvent = { readonly event: "ready" } | { readonly event: "failed"; readonly reason: string };

/**
 * Part of a console line: with `uswsusp-twice` both images have been made, and the machine goes on for some seconds, so that
 * its outputs can be looked at. Then it switches itself off, and the second image wakes and answers. Behind a power cut the
 * first one wakes, and says "ready".
 */
export const LIVE_SAYS = "both images are made, and the machine goes on";
