/**
 * A Linux machine that never was: it answers as an agent would, and comes through a sleep as it is told to.
 */
import { createHash } from "node:crypto";
import {
  type AgentCall,
  type AgentCalls,
  LIVE_SAYS,
  pattern,
  type SceneObject,
  type SceneReply,
  type SceneRequest,
  type Size,
  type SleepReply,
  type SleepWay,
} from "@virtgpu/linux/agent";
import type { ProcessEnd } from "../../src/guests/linux/linux-vm.ts";
import type { RgbPicture } from "../../src/hosts/qemu/ppm.ts";
import type { DeviceStatus, LinuxMachine, SeenCursor } from "../../src/scenarios/linux/machine.ts";
import { expectedPicture } from "../../src/scenarios/linux/pictures.ts";
import { LINUX_SLEEP_WAYS } from "../../src/scenarios/linux/ways.ts";

/** How it comes through a sleep. */
export type Behaviour =
  | "perfect"
  /** Its queues are not set up again; commands go nowhere. */
  | "deaf"
  /** Objects are forgotten. */
  | "forgets"
  /** Shows nothing until it is asked to show again. */
  | "redraw"
  /** Shows nothing until something new is drawn. */
  | "draw"
  /** Off-screen objects are blank, the cursor is gone. */
  | "half"
  /** Goes to sleep, and is never heard of again. */
  | "hangs"
  /** Boots anew. */
  | "boots";

const CONSOLE_SEED = 999;

const OK: SleepReply = { error: null, picture: 12, complete: 30, restored: 6, lost: 0, problems: [] };

/** See the file's head. */
export class FakeLinux implements LinuxMachine {
  readonly errors: string[] = [];
  readonly console: string[] = ["[    0.000000] Linux version 6.1.0-fake"];
  events: string[] = [];
  readonly calls: string[] = [];
  readonly #behaviour: Behaviour;
  readonly #replies: Partial<Record<SleepWay, Partial<SleepReply>>>;
  #request: (SceneRequest & { readonly gpu?: number }) | null = null;
  #objects: SceneObject[] = [];
  #seeds: number[] = [];
  #shown: (number | null)[] = [];
  #isLost = false;
  #blank = false;
  #modes: Size[] = [{ width: 1280, height: 800 }];
  #log: string[] = [];
  #ended: ((end: ProcessEnd) => void) | null = null;
  #answer: (() => void) | null = null;
  #isRemedied = false;
  /** What its text console says, and whether it has the outputs. Null: this kernel has none. */
  consoleLines: string[] | null = [];
  #isConsole = false;

  constructor(behaviour: Behaviour, replies: Partial<Record<SleepWay, Partial<SleepReply>>> = {}) {
    this.#behaviour = behaviour;
    this.#replies = replies;
  }

  async boot(): Promise<void> {
    this.events = [];
    if (this.#behaviour === "hangs" && this.#answer !== null) return new Promise(() => {});
    if (this.#behaviour !== "boots") this.#answer?.();
    this.#answer = null;
  }

  async ended(): Promise<ProcessEnd> {
    return new Promise((resolve) => {
      this.#ended = resolve;
    });
  }

  async cutPower(): Promise<ProcessEnd> {
    return { code: null, signal: "SIGKILL", events: [] };
  }

  async wake(): Promise<void> {
    this.events.push("WAKEUP");
    if (this.#behaviour !== "hangs") this.#answer?.();
  }

  async screendump(gpu: number, output: number): Promise<RgbPicture> {
    if (this.#isConsole && !this.#isLost) return expectedPicture(pattern, CONSOLE_SEED, { width: 80, height: 60 });
    const object = this.#shown[output] ?? null;
    const size = this.#objects[object ?? -1];
    if (gpu > 0 || size === undefined || object === null || this.#isLost) return black(640, 480);
    if (this.#blank && object >= (this.#request?.outputs.length ?? 0)) return black(size.width, size.height);
    return expectedPicture(pattern, this.#seeds[object] ?? 0, size);
  }

  async cursor(): Promise<SeenCursor | null> {
    if (this.#isLost || this.#blank || this.#request?.cursor !== true) return null;
    const [width, height] = [64, 64];
    return {
      width,
      height,
      hotX: 1,
      hotY: 2,
      rgb: new Uint8Array(width * height * 3),
      mask: new Uint8Array(width * height).fill(1),
    };
  }

  async resize(_gpu: number, _output: number, size: Size): Promise<void> {
    this.#modes = [size, ...this.#modes];
  }

  async deviceStatus(): Promise<DeviceStatus> {
    const isDeaf = this.#behaviour === "deaf" && this.#isLost;
    const queues = [0, 1].map((queue) => {
      const [descriptors, lastAvailable] = isDeaf ? [0, 0] : [0x4842000, 1265];
      return { queue, size: 64, descriptors, available: descriptors, used: descriptors, lastAvailable, usedIndex: 0 };
    });
    return { status: ["ACKNOWLEDGE", "DRIVER", "FEATURES_OK", "DRIVER_OK"], queues };
  }

  async call<Call extends AgentCall>(
    call: Call,
    parameters: AgentCalls[Call]["with"],
  ): Promise<AgentCalls[Call]["result"]> {
    this.calls.push(call);
    const handlers: {
      readonly [Name in AgentCall]: (given: AgentCalls[Name]["with"]) => Promise<AgentCalls[Name]["result"]>;
    } = {
      hello: async () => ({ kernel: "6.1.0-fake", driver: "virtgpu", way: "uio", gpus: ["0000:00:04.0"], outputs: [] }),
      scene: async (request) => this.#drawScene(request),
      flips: async ({ on }) => ({ flips: on ? 0 : 420, failed: 0, reason: null }),
      show: async ({ object, output }) => {
        this.#shown[output] = object;
        return {};
      },
      redraw: async () => {
        if (this.#behaviour === "redraw") this.#isLost = false;
        return {};
      },
      draw: async ({ object, seed }) => {
        if (this.#behaviour === "draw") this.#isLost = false;
        this.#seeds[object] = seed;
        return { sha256: "" };
      },
      hashes: async () => ({ objects: this.#objects }),
      clear: async () => ({}),
      outputs: async () => ({
        outputs: [0, 1].map((at) => ({ name: `Virtual-${at + 1}`, connected: true, modes: this.#modes })),
      }),
      sleep: async ({ way }) => this.#sleep(way),
      console: async ({ isGiven, write }) => {
        if (this.consoleLines === null) throw new Error("ENOENT: no such file or directory, open '/dev/tty1'");
        this.#isConsole = isGiven;
        if (write !== undefined) this.consoleLines = [...write];
        return { lines: this.consoleLines, isShown: isGiven };
      },
      remedy: async ({ on }) => {
        this.#isRemedied = on;
        return {};
      },
      log: async () => {
        const lines = this.#log;
        this.#log = [];
        return { lines };
      },
      hang: async () => ({}),
      finish: async () => {
        setTimeout(() => this.#ended?.({ code: 0, signal: null, events: ["SHUTDOWN"] }), 5);
        return {};
      },
    };
    return handlers[call](parameters);
  }

  #drawScene(request: SceneRequest): SceneReply {
    const sizes = [
      ...request.outputs.flatMap((size) => (size === null ? [] : [{ kind: "framebuffer", ...size }])),
      ...Array.from({ length: request.offscreen.count }, () => ({
        kind: "dumb",
        width: request.offscreen.width,
        height: request.offscreen.height,
      })),
    ];
    this.#request = request;
    this.#objects = sizes.map((size, index) => ({
      index,
      ...size,
      sha256: createHash("sha256").update(`${index}`).digest("hex"),
    }));
    this.#seeds = sizes.map((_, index) => request.seed + index);
    let next = 0;
    this.#shown = request.outputs.map((size) => (size === null ? null : next++));
    return {
      objects: this.#objects,
      shown: [...this.#shown],
      notOffered: [{ kind: "blob", reason: "the host offers none" }],
    };
  }

  async #sleep(way: SleepWay): Promise<SleepReply> {
    const facts = LINUX_SLEEP_WAYS[way];
    const reply = { ...OK, ...this.#replies[way] };
    if (reply.error !== null) return reply;
    this.#suffer();
    this.events.push(...facts.events);
    if (!facts.endsProcess && !facts.needsWake) return reply;
    const answered = new Promise<SleepReply>((resolve) => {
      this.#answer = () => resolve(reply);
    });
    if (facts.endsProcess) {
      const events = [...facts.events, ...(facts.events.includes("SHUTDOWN") ? [] : ["SHUTDOWN"])];
      const isTwice = way === "uswsusp-twice";
      if (isTwice) this.console.push(`virtgpu-agent: ${LIVE_SAYS}`);
      setTimeout(() => this.#ended?.({ code: 0, signal: null, events }), isTwice ? 250 : 5);
    }
    return answered;
  }

  #suffer(): void {
    if (this.#isRemedied) return;
    if (this.#behaviour === "half") this.consoleLines = this.consoleLines?.slice(0, 2) ?? null;
    this.#isLost = ["deaf", "forgets", "redraw", "draw"].includes(this.#behaviour);
    this.#blank = this.#behaviour === "half";
    if (this.#behaviour === "forgets") {
      this.errors.push("virtio_gpu_transfer_to_host_2d: invalid resource specified 3");
      this.#log.push(
        "[   12.3] [drm:virtio_gpu_dequeue_ctrl_func [virtio_gpu]] *ERROR* response 0x1203 (command 0x105)",
      );
    }
    if (this.#behaviour === "hangs") this.console.push("[   14.1] PM: hibernation: Saving platform NVS memory");
  }
}

function black(width: number, height: number): RgbPicture {
  return { width, height, rgb: new Uint8Array(width * height * 3) };
}
