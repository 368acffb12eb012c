/**
 * What a campaign has to cover: each command that a driver sends, met by each fault, in each phase of a machine's life. A
 * schedule aims at a few of these cells, which its seed alone decides, so that a row of seeds goes through all of them;
 * what else a schedule is made of hits others by chance.
 */
import type { SeededRandom } from "@virtgpu/core/sim";
import { commandName, GpuCommand } from "@virtgpu/core/wire";
import { type Aside, COMMAND_FAULTS, type CommandFaultKind, type Deed, type Pause, type SimEvent } from "./schedule.ts";

/** Phases of a machine's life in which the driver sends commands. */
export const PHASES = ["probe", "awake", "freeze", "restore"] as const;

/** See {@link PHASES}. */
export type Phase = (typeof PHASES)[number];

/** A command that meets a fault in a phase. */
export interface Cell {
  readonly type: number;
  readonly fault: CommandFaultKind;
  readonly phase: Phase;
}

/** How the driver is made to send a command: what has to be there before, and what then makes it do so. */
interface Provocation {
  readonly before: readonly Deed[];
  readonly deeds: readonly Deed[];
}

// Slots and outputs of the scenes below.
const SLOT = 7;
const CURSOR_SLOT = 8;
const SIZE = { width: 32, height: 24 } as const;
const free: Deed = { op: "free", slot: SLOT };
const createImage: Deed = { op: "create", slot: SLOT, size: SIZE, storage: "image" };
const createBlob: Deed = { op: "create", slot: SLOT, size: SIZE, storage: "blob" };
const draw: Deed = { op: "draw", slot: SLOT, seed: 99 };
const show: Deed = { op: "show", output: 0, slot: SLOT, part: false };
const detach: Deed = { op: "detach", slot: SLOT };
const newCursor: readonly Deed[] = [
  { op: "free", slot: CURSOR_SLOT },
  { op: "createCursor", slot: CURSOR_SLOT },
  { op: "draw", slot: CURSOR_SLOT, seed: 5 },
];
const setCursor: Deed = { op: "setCursor", output: 0, slot: CURSOR_SLOT, hot: 7 };
const moveCursor: Deed = { op: "moveCursor", output: 0, x: 31, y: 17 };
const createContext: Deed = { op: "createContext", context: 0 };
const useContext: Deed = { op: "useContext", context: 0 };
const freeContext: Deed = { op: "freeContext", context: 0 };
const otherMonitors: readonly Deed[] = [
  { op: "monitor", output: 0, size: { width: 1280, height: 720 } },
  { op: "monitor", output: 0, size: { width: 64, height: 48 } },
];

/** Commands that go wrong on purpose: all that a driver sends, and what makes it send them. */
const PROVOCATIONS: ReadonlyMap<number, Provocation> = new Map<number, Provocation>([
  [GpuCommand.GET_DISPLAY_INFO, { before: [], deeds: otherMonitors }],
  [GpuCommand.GET_EDID, { before: [], deeds: otherMonitors }],
  [GpuCommand.RESOURCE_CREATE_2D, { before: [free], deeds: [createImage] }],
  [GpuCommand.RESOURCE_CREATE_BLOB, { before: [free], deeds: [createBlob] }],
  [GpuCommand.RESOURCE_UNREF, { before: [free, createImage], deeds: [free] }],
  [GpuCommand.RESOURCE_ATTACH_BACKING, { before: [free], deeds: [createImage] }],
  [GpuCommand.RESOURCE_DETACH_BACKING, { before: [free, createImage], deeds: [detach] }],
  [GpuCommand.TRANSFER_TO_HOST_2D, { before: [free, createImage], deeds: [draw] }],
  [GpuCommand.SET_SCANOUT, { before: [free, createImage], deeds: [show] }],
  [GpuCommand.SET_SCANOUT_BLOB, { before: [free, createBlob], deeds: [show] }],
  [GpuCommand.RESOURCE_FLUSH, { before: [free, createImage, show], deeds: [draw] }],
  [GpuCommand.RESOURCE_ASSIGN_UUID, { before: [free, createImage], deeds: [{ op: "uuid", slot: SLOT }] }],
  [GpuCommand.UPDATE_CURSOR, { before: newCursor, deeds: [setCursor] }],
  [GpuCommand.GET_CAPSET_INFO, { before: [], deeds: [{ op: "capsets" }] }],
  [GpuCommand.CTX_CREATE, { before: [freeContext], deeds: [createContext] }],
  [GpuCommand.CTX_DESTROY, { before: [freeContext, createContext], deeds: [freeContext] }],
  [GpuCommand.SUBMIT_3D, { before: [freeContext, createContext, useContext], deeds: [useContext] }],
  [GpuCommand.MOVE_CURSOR, { before: [...newCursor, setCursor], deeds: [moveCursor] }],
]);

/** See {@link PROVOCATIONS}. */
export const FAULTY_COMMANDS: readonly number[] = [...PROVOCATIONS.keys()];

/** What a driver asks before it has anything to show. */
const ASKED_AT_PROBE: ReadonlySet<number> = new Set([GpuCommand.GET_DISPLAY_INFO, GpuCommand.GET_EDID]);

/** Why no machine gets into a cell; null where some do. */
export function whyUnreachable({ type, phase }: Cell): string | null {
  if (phase === "probe" && !ASKED_AT_PROBE.has(type)) return "a driver that is being loaded has nothing to show yet";
  if (phase === "restore" && type === GpuCommand.SUBMIT_3D) return "what was done on the host's GPU is lost by then";
  return null;
}

/** All cells, reachable or not. */
export const CELLS: readonly Cell[] = PHASES.flatMap((phase) =>
  COMMAND_FAULTS.flatMap((fault) => FAULTY_COMMANDS.map((type) => ({ type, fault, phase }))),
);

const REACHABLE = CELLS.filter((cell) => whyUnreachable(cell) === null);

/** Cells that a schedule aims at. */
const AIMS = 3;

/** Runs after which no reachable cell may be empty: each was aimed at a dozen times. */
export const RUNS_TO_COVER_ALL: number = Math.ceil((12 * REACHABLE.length) / AIMS / 100) * 100;

/** The row of a cell in the table of what was covered. */
export function rowOf({ type, fault }: Pick<Cell, "type" | "fault">): string {
  return `${commandName(type)} × ${fault}`;
}

/** The cells that the schedule of a seed aims at. */
export function aimsOf(seed: number): readonly Cell[] {
  const first = seed * AIMS;
  return Array.from({ length: AIMS }, (_, index) => REACHABLE[(first + index) % REACHABLE.length]).filter(
    (cell) => cell !== undefined,
  );
}

const settle: Pause = { kind: "settle" };

/** A scene that leads to a cell, on a machine that is brought to peace before and after it. */
export function aimAt(cell: Cell, machine: number, random: SeededRandom): readonly SimEvent[] {
  const { before, deeds } = PROVOCATIONS.get(cell.type) ?? { before: [], deeds: [] };
  const { fault, type } = cell;
  const strike: Deed = { op: "command", fault, type, at: 1, times: 1, number: random.below(60) };
  const events = [...before, { op: "check" } as const, ...inPhase(cell.phase, strike, deeds)];
  const after: Pause = random.chance(0.5) ? settle : { kind: "ms", ms: random.below(8000) };
  return events.map((deed, index) => ({ machine, deed, pause: index === events.length - 1 ? after : settle }));
}

function inPhase(phase: Phase, strike: Deed, deeds: readonly Deed[]): readonly Deed[] {
  const at = (call: string, all: readonly Deed[]): readonly Aside[] => all.map((deed) => ({ call, deed }));
  const sleep = (asides: readonly Aside[]): Deed => ({ op: "sleep", way: "test_resume", pmTest: null, asides });
  switch (phase) {
    case "probe":
      return [strike, { op: "reload" }];
    case "awake":
      return [strike, ...deeds];
    case "freeze":
      return [sleep(at("filesystems", [strike, ...deeds]))];
    case "restore":
      // What was taken down for the image comes back before that is written; users of the driver are served again then.
      return [sleep([...at("snapshot", [strike]), ...at("write-image", deeds)])];
  }
}
