/**
 * A schedule of the simulator: what happens to two machines, one event after the other. Plain data, all of it, so that it
 * can be written down, cut short and run again. Things are named by number: an event about a buffer that is not there does
 * nothing, so that any part of a schedule is a schedule.
 */
import type { HibernationMode, PmTest, SleepTarget } from "@virtgpu/core/sleep";

/** Buffers that a machine has room for. */
export const SLOTS = 10;
/** Contexts that a machine has room for. */
export const CONTEXTS = 3;
/** Outputs that a machine may have. */
export const OUTPUTS = 2;
/** How many machines there are. */
export const MACHINES = 2;

/** A size in pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** What a host can do. Another one may follow it (R-35). */
export interface HostPlan {
  readonly outputs: readonly (Size | null)[];
  readonly blob: boolean;
  readonly edid: boolean;
  readonly uuid: boolean;
  /** It has a GPU of its own. */
  readonly renders: boolean;
  /** Of all host copies together, in bytes; null: no limit that anybody could reach. */
  readonly memoryBytes: number | null;
  /** It keeps resources over a reset, as a vhost-user back end may. */
  readonly keeps: boolean;
}

/** How a machine is built. */
export interface MachinePlan {
  readonly transport: "loopback" | "pci" | "mmio";
  readonly packed: boolean;
  readonly suspend: boolean;
  readonly noSoftReset: boolean;
  readonly polled: boolean;
  /** Between device and memory. */
  readonly iommu: boolean;
  /** Before an image's driver comes back, the boot kernel's uses the device, and leaves it as it is. */
  readonly bootDriver: boolean;
  /** A sleep loses what was done on the host's GPU, instead of being forbidden by it. */
  readonly loses: boolean;
  readonly host: HostPlan;
}

/** Ways to sleep. */
export type SleepWay = SleepTarget | HibernationMode;

/** What goes wrong with a command: the effects of {@link CommandEffect} by name. */
export const COMMAND_FAULTS = [
  "hang",
  "hold",
  "slow",
  "reorder",
  "drop",
  "refuse",
  "mask",
  "lie",
  "duplicate",
  "die",
  "break",
] as const;

/** See {@link COMMAND_FAULTS}. */
export type CommandFaultKind = (typeof COMMAND_FAULTS)[number];

/** One thing that somebody does, or that happens. */
export type Deed =
  // What users, and owners of lent memory, do.
  | { readonly op: "create"; readonly slot: number; readonly size: Size; readonly storage: "image" | "blob" }
  | { readonly op: "createCursor"; readonly slot: number }
  | { readonly op: "import"; readonly slot: number; readonly size: Size }
  | { readonly op: "free"; readonly slot: number }
  | { readonly op: "paint"; readonly slot: number; readonly seed: number; readonly row: number; readonly rows: number }
  | { readonly op: "flush"; readonly slot: number }
  | { readonly op: "draw"; readonly slot: number; readonly seed: number }
  | { readonly op: "detach"; readonly slot: number }
  | { readonly op: "attach"; readonly slot: number }
  | { readonly op: "uuid"; readonly slot: number }
  | { readonly op: "show"; readonly output: number; readonly slot: number; readonly part: boolean }
  | { readonly op: "disable"; readonly output: number }
  | { readonly op: "setCursor"; readonly output: number; readonly slot: number; readonly hot: number }
  | { readonly op: "moveCursor"; readonly output: number; readonly x: number; readonly y: number }
  | { readonly op: "hideCursor"; readonly output: number }
  | { readonly op: "moveLent"; readonly slot: number }
  | { readonly op: "takeLent"; readonly slot: number }
  | { readonly op: "giveLent"; readonly slot: number }
  | { readonly op: "endLent"; readonly slot: number }
  | { readonly op: "createContext"; readonly context: number }
  | { readonly op: "useContext"; readonly context: number }
  | { readonly op: "freeContext"; readonly context: number }
  | { readonly op: "capsets" }
  | { readonly op: "recover" }
  | { readonly op: "reload" }
  // What hosts and buses do.
  | { readonly op: "monitor"; readonly output: number; readonly size: Size | null }
  | {
      readonly op: "command";
      readonly fault: CommandFaultKind;
      readonly type: number | null;
      readonly at: number;
      readonly times: number;
      readonly number: number;
    }
  | { readonly op: "loseInterrupts"; readonly count: number }
  | { readonly op: "delayInterrupts"; readonly ms: number }
  | { readonly op: "spuriousInterrupt"; readonly what: "control" | "cursor" | "config" | "stale" }
  | { readonly op: "swallowKicks" }
  | { readonly op: "hearKicks" }
  | { readonly op: "forgeUsed"; readonly queue: number; readonly id: number; readonly bytes: number }
  | { readonly op: "needsReset" }
  | { readonly op: "breakDevice" }
  | { readonly op: "resetDevice" }
  | { readonly op: "resetQueue"; readonly queue: number }
  | { readonly op: "forget" }
  | { readonly op: "slowReset"; readonly ms: number }
  | { readonly op: "hungReset" }
  | { readonly op: "killHost" }
  | { readonly op: "startHost" }
  | { readonly op: "migrate" }
  | { readonly op: "changeHost"; readonly host: HostPlan }
  | { readonly op: "answer" }
  // What the rest of the machine does.
  | { readonly op: "failAllocations"; readonly in: number; readonly times: number }
  | { readonly op: "failMappings"; readonly in: number; readonly times: number }
  | { readonly op: "fullDisk"; readonly bytes: number | null }
  | { readonly op: "failDisk"; readonly call: string; readonly in: number }
  | { readonly op: "forgetfulDisk" }
  | { readonly op: "failStep"; readonly call: string }
  | { readonly op: "wakeup" }
  | { readonly op: "sleep"; readonly way: SleepWay; readonly pmTest: PmTest | null; readonly asides: readonly Aside[] }
  | { readonly op: "powerCut"; readonly ms: number }
  | { readonly op: "at"; readonly what: "access" | "command"; readonly in: number; readonly deed: Deed }
  | { readonly op: "check" };

/** Something that happens at a step of a sleep. */
export interface Aside {
  /** A call of the sleep code to the machine: `noirq`, `undo noirq`, `snapshot`, ... */
  readonly call: string;
  readonly deed: Deed;
}

/** What passes between an event and the next: a few continuations of promises, all of them, or time as well. */
export type Pause =
  | { readonly kind: "links"; readonly links: number }
  | { readonly kind: "settle" }
  | { readonly kind: "ms"; readonly ms: number };

/** See the file's head. */
export interface SimEvent {
  /** To which machine: 0 or 1. */
  readonly machine: number;
  readonly deed: Deed;
  readonly pause: Pause;
}

/** See the file's head. */
export interface Schedule {
  /** All that is random beside the events: frames, what is left of torn writes. */
  readonly seed: number;
  readonly machines: readonly MachinePlan[];
  readonly events: readonly SimEvent[];
}

/** One line an event, for people. */
export function describeEvent({ machine, deed, pause }: SimEvent): string {
  const after = pause.kind === "links" ? `${pause.links} continuations` : pause.kind === "ms" ? `${pause.ms} ms` : "";
  return `machine ${machine}: ${describeDeed(deed)}${after === "" ? "" : `, then ${after}`}`;
}

/** A deed in words. */
export function describeDeed(deed: Deed): string {
  if (deed.op === "at") return `at ${deed.what} ${deed.in} from now: ${describeDeed(deed.deed)}`;
  if (deed.op === "sleep") {
    const asides = deed.asides.map((aside) => `, at "${aside.call}": ${describeDeed(aside.deed)}`).join("");
    return `sleep ${deed.way}${deed.pmTest === null ? "" : ` as a test of ${deed.pmTest}`}${asides}`;
  }
  const { op, ...facts } = deed;
  const words = Object.entries(facts).map(([name, value]) => `${name} ${JSON.stringify(value)}`);
  return [op, ...words].join(" ");
}
