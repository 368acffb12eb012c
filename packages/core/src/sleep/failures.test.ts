import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type ErrorCode, GpuError, InvariantViolation, silentTracer } from "../base/index.ts";
import { VirtualClock } from "../sim/index.ts";
import { isFinal, type SleepResult, SystemSleep } from "./index.ts";
import { CallLog, RecordingClient, RecordingMachine } from "./test-utils.ts";

function build(names: readonly string[] = ["gpu"]) {
  const log = new CallLog();
  const machine = new RecordingMachine(log);
  const clients = names.map((name) => new RecordingClient(name, log));
  const clock = new VirtualClock();
  const sleep = new SystemSleep({ platform: machine, clock, tracer: silentTracer, clients });
  /** Nothing undone is left, nothing was undone twice or out of order, and nobody is still prepared or frozen. */
  const expectAtRest = (): void => {
    expect(log.violations).toEqual([]);
    expect(machine.held).toEqual([]);
    expect(clients.filter(({ state }) => state !== "awake")).toEqual([]);
    expect(clock.timers).toBe(0);
    expect(sleep.state).toBe("awake");
  };
  return { log, machine, clients, clock, sleep, expectAtRest };
}

type System = ReturnType<typeof build>;

const error = (code: ErrorCode = "EIO"): GpuError => new GpuError(code, "injected");

/** Operations, each with the calls that may fail in it. */
const operations: Readonly<Record<string, (system: System) => Promise<SleepResult>>> = {
  "hibernate platform": ({ sleep }) => sleep.hibernate({ mode: "platform" }),
  "hibernate shutdown": ({ sleep }) => sleep.hibernate({ mode: "shutdown" }),
  "hibernate suspend": ({ sleep }) => sleep.hibernate({ mode: "suspend" }),
  "hibernate test_resume": ({ sleep }) => sleep.hibernate({ mode: "test_resume" }),
  "hibernate and come back": ({ sleep, machine }) => {
    machine.world = "resumed";
    return sleep.hibernate({ mode: "platform" });
  },
  "suspend mem": ({ sleep }) => sleep.suspend("mem"),
  "suspend s2idle": ({ sleep }) => sleep.suspend("s2idle"),
  "resume from image": ({ sleep }) => sleep.resumeFromImage(),
};

/** What a driver sees: fails at, in which operation, then its calls behind the notifier's PREPARE. */
const rows: readonly [at: string, operation: string, code: ErrorCode, calls: string][] = [
  ["filesystems", "hibernate platform", "EIO", ""],
  ["tasks", "hibernate platform", "EBUSY", ""],
  ["platform-begin", "hibernate platform", "EIO", ""],
  ["image-memory", "hibernate platform", "ENOMEM", ""],
  ["kernel-threads", "hibernate platform", "EBUSY", ""],
  ["device-prepare", "hibernate platform", "EIO", ""],
  ["gpu: freeze FREEZE", "hibernate platform", "EPERM", "freeze FREEZE"],
  ["late", "hibernate platform", "EIO", "freeze FREEZE, restore RESTORE"],
  ["noirq", "hibernate platform", "EIO", "freeze FREEZE, restore RESTORE"],
  ["platform-prepare", "hibernate platform", "EIO", "freeze FREEZE, restore RESTORE"],
  ["cpus", "hibernate platform", "EIO", "freeze FREEZE, restore RESTORE"],
  ["syscore", "hibernate platform", "EIO", "freeze FREEZE, restore RESTORE"],
  ["snapshot", "hibernate platform", "ENOMEM", "freeze FREEZE, restore RECOVER"],
  ["gpu: restore THAW", "hibernate shutdown", "EIO", "freeze FREEZE, restore THAW, shutdown"],
  ["write-image", "hibernate platform", "EIO", "freeze FREEZE, restore THAW"],
  ["gpu: freeze HIBERNATE", "hibernate platform", "EBUSY", "freeze FREEZE, restore THAW, freeze HIBERNATE"],
  [
    "gpu: freeze HIBERNATE",
    "hibernate platform",
    "ETIMEDOUT",
    "freeze FREEZE, restore THAW, freeze HIBERNATE, shutdown",
  ],
  [
    "power-off platform",
    "hibernate platform",
    "EBUSY",
    "freeze FREEZE, restore THAW, freeze HIBERNATE, restore RESTORE",
  ],
  [
    "power-off platform",
    "hibernate platform",
    "EIO",
    "freeze FREEZE, restore THAW, freeze HIBERNATE, restore RESTORE, shutdown",
  ],
  ["image-load", "resume from image", "EIO", ""],
  ["gpu: freeze QUIESCE", "resume from image", "ETIMEDOUT", "freeze QUIESCE"],
  ["noirq", "resume from image", "EIO", "freeze QUIESCE, restore RECOVER"],
  ["jump", "resume from image", "ENOMEM", "freeze QUIESCE, restore RECOVER"],
  ["gpu: restore RESTORE", "hibernate and come back", "ENODEV", "freeze FREEZE, restore RESTORE"],
  ["gpu: freeze SUSPEND", "suspend mem", "EBUSY", "freeze SUSPEND"],
  ["enter mem", "suspend mem", "EIO", "freeze SUSPEND, restore RESUME"],
  ["enter s2idle", "suspend s2idle", "EIO", "freeze SUSPEND, restore RESUME"],
];

describe("what a driver sees when a sleep fails", () => {
  it.each(rows)("at %s in %s with %s: %s", async (at, operation, code, calls) => {
    const system = build();
    const { log, sleep, expectAtRest } = system;
    log.faults.set(at, error(code));
    const result = await operations[operation]?.(system);
    expect(result?.failures[0]?.error.code).toBe(code);
    const seen = log.toClients().map((call) => call.replace("gpu: ", ""));
    expect(seen.slice(1).filter((call) => !call.startsWith("notify"))).toEqual(calls === "" ? [] : calls.split(", "));
    if (isFinal(sleep.state)) return;
    const post = operation.startsWith("suspend") ? "SUSPEND" : operation.startsWith("res") ? "RESTORE" : "HIBERNATION";
    expect(seen.at(-1)).toBe(`notify POST_${post}`);
    log.faults.clear();
    expectAtRest();
  });

  it("before any device was touched: the plain reverse order, kernel threads with it", async () => {
    const { log, sleep, expectAtRest } = build();
    log.faults.set("device-prepare", error());
    await sleep.hibernate({ mode: "platform" });
    expect(log.calls.slice(log.calls.indexOf("device-prepare") + 1)).toEqual([
      "undo device-prepare",
      "undo kernel-threads",
      "undo image-memory",
      "undo platform-begin",
      "undo tasks",
      "gpu: notify POST_HIBERNATION",
    ]);
    expectAtRest();
  });

  it("in noirq: the phase above undoes itself with RECOVER, the main phase comes back with RESTORE", async () => {
    const { log, machine, sleep } = build();
    log.faults.set("noirq", error());
    await sleep.hibernate({ mode: "platform" });
    expect(machine.messages).toContain("late RECOVER");
    expect(log.toClients()).toContain("gpu: restore RESTORE");
    log.faults.clear();
    log.faults.set("cpus", error());
    machine.messages.splice(0);
    await sleep.hibernate({ mode: "platform" });
    expect(machine.messages).toEqual(expect.arrayContaining(["noirq RESTORE", "late RESTORE"]));
  });

  it("a driver whose freeze failed gets no restore, those frozen before it do, those behind it hear nothing", async () => {
    const { log, sleep, expectAtRest } = build(["bridge", "gpu", "nic"]);
    log.faults.set("gpu: freeze FREEZE", error("EPERM"));
    const result = await sleep.hibernate({ mode: "platform" });
    expect(log.toClients().slice(3, -3)).toEqual(["nic: freeze FREEZE", "gpu: freeze FREEZE", "nic: restore RESTORE"]);
    expect(result.failures[0]).toMatchObject({ device: "gpu", phase: "freeze FREEZE" });
    expectAtRest();
  });

  it("a driver that is removed during its freeze can't turn the sleep back", async () => {
    const { log, sleep, expectAtRest } = build(["gpu"]);
    const unregister = sleep.register(new RecordingClient("usb", log));
    log.onCall = (name) => {
      if (name === "usb: freeze SUSPEND") unregister();
    };
    log.faults.set("usb: freeze SUSPEND", error("ENODEV"));
    expect((await sleep.suspend("mem")).outcome).toBe("woken");
    expect(log.toClients().slice(2)).toEqual([
      "usb: freeze SUSPEND",
      "gpu: freeze SUSPEND",
      "gpu: restore RESUME",
      "gpu: notify POST_SUSPEND",
    ]);
    expectAtRest();
  });

  it("a driver that does not come back is reported lost, and the others and the system go on", async () => {
    const { log, sleep, expectAtRest } = build(["gpu", "nic"]);
    log.faults.set("gpu: restore RESUME", error("ENODEV"));
    const result = await sleep.suspend("mem");
    expect(result.outcome).toBe("woken");
    expect(result.lost).toMatchObject([{ device: "gpu", error: { code: "ENODEV" } }]);
    expect((await result.complete).map(({ device, report }) => [device, report?.restored])).toEqual([
      ["gpu", undefined],
      ["nic", 1],
    ]);
    expectAtRest();
  });

  it("halts rather than run on when the power can't be cut and the image is valid", async () => {
    const { log, sleep } = build();
    log.faults.set("power-off shutdown", error());
    const result = await sleep.hibernate({ mode: "shutdown" });
    expect(result.outcome).toBe("halted");
    expect(log.toClients().at(-1)).toBe("gpu: shutdown");
    expect(sleep.state).toBe("halted");
    await expect(sleep.hibernate({ mode: "shutdown" })).rejects.toMatchObject({ code: "EBUSY" });
  });
});

describe("a wakeup event", () => {
  it.each([
    ["hibernate platform", "kernel-threads", []],
    ["hibernate platform", "gpu: freeze FREEZE", ["freeze FREEZE", "restore RESTORE"]],
    ["hibernate platform", "syscore", ["freeze FREEZE", "restore RESTORE"]],
    ["hibernate platform", "write-image", ["freeze FREEZE", "restore THAW"]],
    [
      "hibernate platform",
      "gpu: freeze HIBERNATE",
      ["freeze FREEZE", "restore THAW", "freeze HIBERNATE", "restore RESTORE"],
    ],
    ["suspend mem", "gpu: freeze SUSPEND", ["freeze SUSPEND", "restore RESUME"]],
    ["suspend mem", "syscore", ["freeze SUSPEND", "restore RESUME"]],
  ])("in %s behind %s turns it back", async (operation, at, calls) => {
    const system = build();
    system.machine.setWakeup(at);
    const result = await operations[operation]?.(system);
    expect(result?.outcome).toBe("aborted");
    expect(result?.failures[0]?.error).toMatchObject({ code: "EBUSY" });
    expect(system.log.toClients().slice(1, -1)).toEqual(calls.map((call) => `gpu: ${call}`));
    system.expectAtRest();
  });

  it.each(["late", "noirq"])("keeps the phase behind it from being entered: %s", async (step) => {
    const { machine, log, sleep, expectAtRest } = build();
    machine.setWakeup(step === "late" ? "gpu: freeze FREEZE" : "late");
    await sleep.hibernate({ mode: "platform" });
    expect(log.calls).not.toContain(step);
    expectAtRest();
  });

  it("with everything down is noticed right before the power-off", async () => {
    const { machine, log, sleep, expectAtRest } = build();
    log.onCall = (name) => {
      if (name === "syscore" && log.calls.includes("gpu: freeze HIBERNATE")) machine.setWakeup("syscore");
    };
    expect((await sleep.hibernate({ mode: "platform" })).outcome).toBe("aborted");
    expect(log.calls).not.toContain("power-off platform");
    expectAtRest();
  });

  it("in the power-off makes the next boot ignore the image", async () => {
    const { machine, log, sleep, expectAtRest } = build();
    machine.setWakeup("gpu: freeze HIBERNATE");
    await sleep.hibernate({ mode: "platform" });
    expect(log.calls).toContain("discard-image");
    expectAtRest();
  });
});

describe("a failure of any one call", () => {
  it.each(Object.keys(operations))("in %s leaves nothing down that is not undone, once and in order", async (name) => {
    const operation = operations[name];
    if (operation === undefined) throw new RangeError(name);
    const trial = build(["bridge", "gpu"]);
    await operation(trial);
    for (let at = 0; at < trial.log.calls.length; at += 1) {
      for (const code of ["EIO", "EBUSY"] as const) {
        const system = build(["bridge", "gpu"]);
        system.log.failCall = { at, error: error(code) };
        const result = await operation(system);
        expect(result.failures.length, `call ${at}, ${trial.log.calls[at]}`).toBeGreaterThan(0);
        expect(system.log.violations, `call ${at}, ${trial.log.calls[at]}`).toEqual([]);
        if (isFinal(system.sleep.state)) continue;
        system.expectAtRest();
        system.machine.world = "resumed";
        const next = await system.sleep.hibernate({ mode: "platform" });
        expect(next).toMatchObject({ outcome: "resumed", failures: [], lost: [] });
        system.expectAtRest();
      }
    }
  });

  it("that is our own mistake comes out, after all is back", async () => {
    const { log, sleep, expectAtRest } = build();
    log.faults.set("noirq", new InvariantViolation("a mistake"));
    await expect(sleep.suspend("mem")).rejects.toThrow("a mistake");
    log.faults.clear();
    expectAtRest();
  });
});

describe("sleep after sleep", () => {
  const step = fc.record({
    operation: fc.constantFrom("hibernate and come back", "suspend mem", "suspend s2idle", "hibernate suspend"),
    vetoes: fc.uniqueArray(fc.constantFrom("bridge", "gpu", "nic"), { maxLength: 2 }),
    failures: fc.uniqueArray(
      fc.constantFrom("tasks", "image-memory", "gpu: freeze FREEZE", "gpu: freeze SUSPEND", "cpus", "snapshot"),
      { maxLength: 1 },
    ),
    wakeup: fc.option(fc.constantFrom("nic: freeze FREEZE", "nic: freeze SUSPEND", "syscore"), { nil: undefined }),
  });

  it("R-14 any interleaving of vetoes, failures and wakeups leaves no residue", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 6 }), async (steps) => {
        const system = build(["bridge", "gpu", "nic"]);
        const { log, machine, clients, expectAtRest } = system;
        for (const { operation, vetoes, failures, wakeup } of steps) {
          log.take();
          log.faults.clear();
          const events = ["HIBERNATION_PREPARE", "SUSPEND_PREPARE"];
          for (const name of vetoes)
            for (const event of events) log.faults.set(`${name}: notify ${event}`, error("EPERM"));
          for (const name of failures) log.faults.set(name, error());
          // A hybrid sleep whose S3 fails powers off, unless someone is at the machine.
          log.faults.set("power-off platform", error("EBUSY"));
          machine.world = "snapshotted";
          machine.setWakeup(wakeup);
          await operations[operation]?.(system);
          log.faults.clear();
          expectAtRest();
          expect(clients.map(({ prepared }) => prepared)).toEqual([0, 0, 0]);
          if (vetoes.length > 0) expect(log.toClients().some((call) => call.includes("freeze"))).toBe(false);
        }
        log.take();
        machine.setWakeup(undefined);
        machine.world = "resumed";
        const result = await system.sleep.hibernate({ mode: "platform" });
        expect(result).toMatchObject({ outcome: "resumed", failures: [], lost: [] });
      }),
      { numRuns: 60 },
    );
  });

  it("PREPARE without a freeze, then S3, then S4 are each as if they were the first", async () => {
    const { log, machine, sleep, expectAtRest } = build();
    log.faults.set("tasks", error("EBUSY"));
    expect((await sleep.hibernate({ mode: "platform" })).outcome).toBe("aborted");
    log.faults.clear();
    log.take();
    expect((await sleep.suspend("mem")).outcome).toBe("woken");
    expect(log.toClients().slice(1, -1)).toEqual(["gpu: freeze SUSPEND", "gpu: restore RESUME"]);
    log.take();
    machine.world = "resumed";
    expect((await sleep.hibernate({ mode: "platform" })).outcome).toBe("resumed");
    expect(log.toClients().slice(1, -1)).toEqual(["gpu: freeze FREEZE", "gpu: restore RESTORE"]);
    expectAtRest();
  });
});
