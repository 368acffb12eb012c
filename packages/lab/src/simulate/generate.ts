/** Schedules from seeds: the same seed gives the same schedule, for ever and on every machine. */
import { SeededRandom } from "@virtgpu/core/sim";
import type { PmTest } from "@virtgpu/core/sleep";
import { aimAt, aimsOf, FAULTY_COMMANDS } from "./aims.ts";
import { PLATFORM_CALLS, PLATFORM_MOMENTS } from "./platform.ts";
import {
  type Aside,
  COMMAND_FAULTS,
  CONTEXTS,
  type Deed,
  type HostPlan,
  MACHINES,
  type MachinePlan,
  OUTPUTS,
  type Pause,
  type Schedule,
  type SimEvent,
  type Size,
  type SleepWay,
  SLOTS,
} from "./schedule.ts";

/** Events of a schedule, at least. */
export const EVENTS_MIN = 300;
/** Sleeps of a schedule, at least. */
export const SLEEPS_MIN = 2;

const SIZES: readonly Size[] = [
  { width: 16, height: 16 },
  { width: 32, height: 24 },
  { width: 64, height: 48 },
  { width: 24, height: 64 },
];
const MONITORS: readonly (Size | null)[] = [
  { width: 64, height: 48 },
  { width: 800, height: 600 },
  { width: 1024, height: 768 },
  null,
];
const WAYS: readonly SleepWay[] = ["mem", "s2idle", "platform", "shutdown", "reboot", "suspend", "test_resume"];
const PM_TESTS: readonly PmTest[] = ["freezer", "devices", "platform", "processors", "core"];
const DISK_CALLS: readonly string[] = ["create", "write", "sync", "rename", "syncFolder", "open", "read", "remove"];

/** The schedule of a seed. */
export function generateSchedule(seed: number): Schedule {
  const random = new SeededRandom(seed).fork("schedule");
  const target = random.below(MACHINES);
  const machines = Array.from({ length: MACHINES }, (_, machine) => machinePlan(random, machine === target));
  const events: SimEvent[] = [];
  for (let machine = 0; machine < MACHINES; machine += 1) events.push(...opening(random, machine));
  for (const aim of aimsOf(seed)) events.push(...aimAt(aim, target, random));
  let sleeps = 0;
  while (events.length < EVENTS_MIN || sleeps < SLEEPS_MIN) {
    const machine = random.below(MACHINES);
    const roll = random.below(100);
    if (roll < 62) events.push(...day(random, machine));
    else if (roll < 77) {
      events.push(...night(random, machine));
      sleeps += 1;
    } else events.push(...trouble(random, machine));
  }
  return { seed, machines, events };
}

/** What a host can do. */
function hostPlan(random: SeededRandom): HostPlan {
  const keeps = random.chance(0.25);
  return {
    outputs: Array.from({ length: random.chance(0.8) ? OUTPUTS : 1 }, () => random.pick(MONITORS)),
    blob: random.chance(0.7),
    edid: random.chance(0.8),
    uuid: random.chance(0.7),
    memoryBytes: random.chance(0.12) ? random.between(1, 6) * 8192 : null,
    keeps,
    // Nothing keeps contexts over a reset.
    renders: !keeps && random.chance(0.4),
  };
}

/** `isTarget`: the machine that a schedule's aims are for needs a host that can do all of it. */
function machinePlan(random: SeededRandom, isTarget: boolean): MachinePlan {
  const transport = random.pick(["loopback", "loopback", "pci", "mmio"] as const);
  const all = isTarget ? { blob: true, edid: true, uuid: true, keeps: false, renders: true } : {};
  const host = { ...hostPlan(random), memoryBytes: null, ...all };
  const iommu = random.chance(0.25);
  return {
    transport,
    iommu,
    // It knows no IOMMU.
    loses: isTarget || random.chance(0.4),
    bootDriver: !iommu && random.chance(0.4),
    packed: random.chance(0.4),
    suspend: random.chance(0.5),
    noSoftReset: random.chance(0.3),
    polled: transport !== "loopback" && random.chance(0.25),
    host,
  };
}

const settle: Pause = { kind: "settle" };

/** A machine with something on it. */
function opening(random: SeededRandom, machine: number): readonly SimEvent[] {
  const at = (deed: Deed): SimEvent => ({ machine, deed, pause: settle });
  const events: SimEvent[] = [];
  for (let slot = 0; slot < 5; slot += 1) {
    events.push(at({ op: "create", slot, size: random.pick(SIZES), storage: random.chance(0.3) ? "blob" : "image" }));
    events.push(at({ op: "draw", slot, seed: random.below(256) }));
  }
  events.push(at({ op: "createCursor", slot: 5 }), at({ op: "draw", slot: 5, seed: random.below(256) }));
  events.push(at({ op: "import", slot: 6, size: random.pick(SIZES) }));
  events.push(at({ op: "show", output: 0, slot: 0, part: false }), at({ op: "show", output: 1, slot: 1, part: false }));
  events.push(at({ op: "setCursor", output: 0, slot: 5, hot: 3 }), at({ op: "check" }));
  return events;
}

/** Some use of the machine. */
function day(random: SeededRandom, machine: number): readonly SimEvent[] {
  const events: SimEvent[] = [];
  const count = random.between(3, 14);
  for (let index = 0; index < count; index += 1) events.push({ machine, deed: activity(random), pause: pause(random) });
  if (random.chance(0.25)) events.push({ machine, deed: { op: "check" }, pause: settle });
  return events;
}

/** A sleep, with things that happen in it. */
function night(random: SeededRandom, machine: number): readonly SimEvent[] {
  const events: SimEvent[] = [];
  if (random.chance(0.3)) events.push({ machine, deed: trap(random), pause: { kind: "links", links: 0 } });
  const way = random.pick(WAYS);
  const isTest = random.chance(0.08);
  const pmTest = isTest ? random.pick(way === "s2idle" ? PM_TESTS.slice(0, 3) : PM_TESTS) : null;
  const asides: Aside[] = [];
  while (random.chance(0.45) && asides.length < 4) asides.push(aside(random));
  events.push({ machine, deed: { op: "sleep", way, pmTest, asides }, pause: moment(random) });
  const count = random.below(14);
  for (let index = 0; index < count; index += 1) {
    const who = random.chance(0.8) ? machine : random.below(MACHINES);
    const deed = random.chance(0.75) ? activity(random) : mishap(random);
    events.push({ machine: who, deed, pause: moment(random) });
  }
  if (random.chance(0.7))
    events.push({ machine, deed: { op: "answer" }, pause: { kind: "ms", ms: random.below(2000) } });
  if (random.chance(0.6)) events.push({ machine, deed: { op: "check" }, pause: settle });
  return events;
}

/** Something goes wrong while the machine is used. */
function trouble(random: SeededRandom, machine: number): readonly SimEvent[] {
  const events: SimEvent[] = [];
  const count = random.between(2, 8);
  for (let index = 0; index < count; index += 1) {
    const deed = random.chance(0.4) ? mishap(random) : activity(random);
    events.push({ machine, deed, pause: pause(random) });
  }
  if (random.chance(0.4)) events.push({ machine, deed: { op: "check" }, pause: settle });
  return events;
}

function aside(random: SeededRandom): Aside {
  const roll = random.below(10);
  const call = random.pick(PLATFORM_MOMENTS);
  if (roll < 4) return { call, deed: activity(random) };
  if (roll < 7) return { call, deed: mishap(random) };
  if (roll < 8) return { call, deed: { op: "wakeup" } };
  const step = random.pick(PLATFORM_MOMENTS);
  return { call: step, deed: { op: "failStep", call: step } };
}

/** A few continuations, mostly: within a sleep there are hundreds of awaits. */
function moment(random: SeededRandom): Pause {
  const roll = random.below(10);
  if (roll < 6) return { kind: "links", links: random.below(40) };
  if (roll < 8) return settle;
  return { kind: "ms", ms: random.below(30) };
}

function pause(random: SeededRandom): Pause {
  const roll = random.below(10);
  if (roll < 3) return { kind: "links", links: random.below(12) };
  if (roll < 9) return settle;
  return { kind: "ms", ms: random.below(300) };
}

// --- What users do ---

function activity(random: SeededRandom): Deed {
  if (random.chance(0.06)) return contextActivity(random);
  const slot = random.below(SLOTS);
  const output = random.below(OUTPUTS);
  const roll = random.below(100);
  if (roll < 12)
    return { op: "create", slot, size: random.pick(SIZES), storage: random.chance(0.3) ? "blob" : "image" };
  if (roll < 15) return { op: "createCursor", slot };
  if (roll < 20) return { op: "import", slot, size: random.pick(SIZES) };
  if (roll < 27) return { op: "free", slot };
  if (roll < 33)
    return { op: "paint", slot, seed: random.below(256), row: random.below(64), rows: random.between(1, 16) };
  if (roll < 38) return { op: "flush", slot };
  if (roll < 52) return { op: "draw", slot, seed: random.below(256) };
  if (roll < 56) return { op: "detach", slot };
  if (roll < 60) return { op: "attach", slot };
  if (roll < 62) return { op: "uuid", slot };
  if (roll < 72) return { op: "show", output, slot, part: random.chance(0.3) };
  if (roll < 75) return { op: "disable", output };
  if (roll < 79) return { op: "setCursor", output, slot: random.chance(0.6) ? 5 : slot, hot: random.below(64) };
  if (roll < 84) return { op: "moveCursor", output, x: random.between(-5, 60), y: random.between(-5, 60) };
  if (roll < 86) return { op: "hideCursor", output };
  if (roll < 88) return { op: "moveLent", slot };
  if (roll < 90) return { op: "takeLent", slot };
  if (roll < 92) return { op: "giveLent", slot };
  if (roll < 93) return { op: "endLent", slot };
  if (roll < 97) return { op: "monitor", output, size: random.pick(MONITORS) };
  if (roll < 98) return { op: "recover" };
  if (roll < 99) return random.chance(0.3) ? { op: "reload" } : { op: "migrate" };
  return { op: "spuriousInterrupt", what: random.pick(["control", "cursor", "config", "stale"] as const) };
}

function contextActivity(random: SeededRandom): Deed {
  const context = random.below(CONTEXTS);
  const roll = random.below(10);
  if (roll < 4) return { op: "createContext", context };
  if (roll < 6) return { op: "useContext", context };
  return roll < 9 ? { op: "freeContext", context } : { op: "capsets" };
}

// --- What goes wrong ---

/** A command of a sleep, or right before or after it, goes wrong. */
function trap(random: SeededRandom): Deed {
  return {
    op: "command",
    fault: random.pick(COMMAND_FAULTS),
    type: random.chance(0.7) ? random.pick(FAULTY_COMMANDS) : null,
    at: random.chance(0.6) ? 1 : random.between(1, 30),
    times: random.chance(0.8) ? 1 : random.between(2, 6),
    number: random.below(60),
  };
}

function mishap(random: SeededRandom): Deed {
  const roll = random.below(100);
  if (roll < 40) return trap(random);
  if (roll < 60) return transportMishap(random);
  if (roll < 75) return hostMishap(random);
  if (roll < 90) return machineMishap(random);
  if (roll < 94) return { op: "powerCut", ms: random.between(1, 200) };
  const what = random.pick(["access", "command"] as const);
  return { op: "at", what, in: random.between(1, 25), deed: random.chance(0.5) ? activity(random) : sudden(random) };
}

/** What can happen from one instruction to the next. */
function sudden(random: SeededRandom): Deed {
  return random.pick<Deed>([
    { op: "killHost" },
    { op: "breakDevice" },
    { op: "powerCut", ms: random.between(1, 100) },
    { op: "resetDevice" },
    { op: "spuriousInterrupt", what: "stale" },
  ]);
}

function transportMishap(random: SeededRandom): Deed {
  return random.pick<Deed>([
    { op: "loseInterrupts", count: random.between(1, 3) },
    { op: "delayInterrupts", ms: random.between(1, 50) },
    { op: "spuriousInterrupt", what: random.pick(["control", "cursor", "config", "stale"] as const) },
    { op: "swallowKicks" },
    { op: "hearKicks" },
    { op: "forgeUsed", queue: random.below(2), id: random.below(40), bytes: random.below(100) },
    { op: "needsReset" },
    { op: "slowReset", ms: random.between(1, 3000) },
    { op: "hungReset" },
    { op: "resetQueue", queue: random.below(2) },
  ]);
}

function hostMishap(random: SeededRandom): Deed {
  return random.pick<Deed>([
    { op: "breakDevice" },
    { op: "resetDevice" },
    { op: "forget" },
    { op: "killHost" },
    { op: "startHost" },
    { op: "changeHost", host: hostPlan(random) },
    { op: "changeHost", host: hostPlan(random) },
    { op: "answer" },
    { op: "migrate" },
  ]);
}

function machineMishap(random: SeededRandom): Deed {
  return random.pick<Deed>([
    { op: "failAllocations", in: random.between(1, 4), times: random.between(1, 3) },
    { op: "failMappings", in: random.between(1, 6), times: random.between(1, 3) },
    { op: "fullDisk", bytes: random.chance(0.3) ? null : random.below(400_000) },
    { op: "failDisk", call: random.pick(DISK_CALLS), in: random.between(1, 3) },
    { op: "forgetfulDisk" },
    { op: "failStep", call: random.pick(PLATFORM_CALLS) },
    { op: "wakeup" },
  ]);
}
