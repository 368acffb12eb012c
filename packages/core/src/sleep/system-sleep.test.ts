import { describe, expect, it } from "vitest";
import { GpuError, silentTracer } from "../base/index.ts";
import { Recorder, VirtualClock } from "../sim/index.ts";
import { SystemSleep, type SystemSleepOptions } from "./index.ts";
import { IN_IMAGE, type PlatformStep, type PmTest } from "./platform.ts";
import { CallLog, RecordingClient, RecordingMachine } from "./test-utils.ts";

/** A system with drivers `gpu` (registered first) and, if asked for, `nic`. */
function build(names: readonly string[] = ["gpu"], options: Partial<SystemSleepOptions> = {}) {
  const log = new CallLog();
  const machine = new RecordingMachine(log);
  const clients = names.map((name) => new RecordingClient(name, log));
  const clock = new VirtualClock();
  const sleep = new SystemSleep({ platform: machine, clock, tracer: silentTracer, clients, ...options });
  const expectAtRest = (): void => {
    expect(log.violations).toEqual([]);
    expect(machine.held).toEqual([]);
    expect(clients.map(({ state }) => state)).toEqual(clients.map(() => "awake"));
    expect(clients.map(({ prepared }) => prepared)).toEqual(clients.map(() => 0));
    expect(sleep.state).toBe("awake");
    expect(clock.timers).toBe(0);
  };
  return { log, machine, clients, clock, sleep, expectAtRest };
}

const lines = (text: string): string[] => text.trim().split(/\s*[\n,]\s*/);

const downToSnapshot = `gpu: notify HIBERNATION_PREPARE, filesystems, tasks, platform-begin, image-memory,
  kernel-threads, device-prepare, console, allocations, gpu: freeze FREEZE, late, noirq, platform-prepare, cpus,
  syscore, snapshot`;
const upAndWritten = `undo syscore, undo cpus, undo platform-prepare, undo noirq, undo late, gpu: restore THAW,
  undo console, undo device-prepare, undo platform-begin, write-image, undo image-memory`;
const upFromImage = `undo syscore, undo cpus, undo platform-prepare, undo noirq, undo late, undo image-memory,
  gpu: restore RESTORE, undo allocations, undo console, undo device-prepare, undo platform-begin,
  undo kernel-threads, undo tasks, gpu: notify POST_HIBERNATION`;
const withoutFirmware = (text: string): string[] =>
  lines(text).filter((call) => !/platform-(begin|prepare)/.test(call));

describe("hibernation", () => {
  it("goes down to the power-off through the firmware in Linux's order", async () => {
    const { log, sleep } = build();
    const result = await sleep.hibernate({ mode: "platform" });
    expect(result.outcome).toBe("off");
    expect(log.calls).toEqual([
      ...lines(downToSnapshot),
      ...lines(upAndWritten),
      ...lines(`platform-begin, console, device-prepare, gpu: freeze HIBERNATE, late, noirq, platform-prepare, cpus,
        syscore, power-off platform`),
    ]);
    expect(sleep.state).toBe("off");
  });

  it.each(["shutdown", "reboot"] as const)("calls shutdown instead of a second freeze in mode %s", async (mode) => {
    const { log, sleep } = build();
    const result = await sleep.hibernate({ mode });
    expect(result.outcome).toBe("off");
    expect(log.calls).toEqual([
      ...withoutFirmware(downToSnapshot),
      ...withoutFirmware(upAndWritten),
      "gpu: shutdown",
      `power-off ${mode}`,
    ]);
  });

  it("comes back in the image's time line with RESTORE", async () => {
    const { log, machine, sleep, expectAtRest } = build();
    machine.world = "resumed";
    const result = await sleep.hibernate({ mode: "platform" });
    expect(result.outcome).toBe("resumed");
    expect(log.calls).toEqual([...lines(downToSnapshot), ...lines(upFromImage)]);
    expectAtRest();
  });

  it("comes back in a new process that was started from the image", async () => {
    const { log, machine, clients, sleep, expectAtRest } = build();
    machine.becomeImage(IN_IMAGE.filter((step): step is PlatformStep => step !== "devices"));
    for (const client of clients) Object.assign(client, { state: "frozen", prepared: 1 });
    const result = await sleep.continueFromImage();
    expect(result.outcome).toBe("resumed");
    expect(log.calls).toEqual(lines(upFromImage));
    expectAtRest();
  });

  it("holds image memory and restricts allocations during the thaw, and only then", async () => {
    const { log, machine, sleep } = build();
    const heldAt: Record<string, readonly PlatformStep[]> = {};
    log.onCall = (name) => {
      heldAt[name] = [...machine.held];
    };
    log.faults.set("power-off platform", new GpuError("EBUSY", "a wakeup event"));
    await sleep.hibernate({ mode: "platform" });
    expect(heldAt["gpu: restore THAW"]).toEqual(expect.arrayContaining(["image-memory", "allocations"]));
    expect(heldAt["gpu: restore RESTORE"]).not.toContain("image-memory");
    machine.world = "resumed";
    await sleep.hibernate({ mode: "shutdown" });
    expect(heldAt["gpu: restore RESTORE"]).not.toContain("image-memory");
  });

  it("keeps tasks frozen from the freeze to the last restore", async () => {
    const { log, machine, sleep } = build();
    log.onCall = (name) => {
      if (/freeze|restore/.test(name)) expect(machine.held).toContain("tasks");
    };
    machine.world = "resumed";
    await sleep.hibernate({ mode: "platform" });
    await sleep.suspend("mem");
    expect(log.violations).toEqual([]);
  });
});

describe("hybrid sleep", () => {
  it("sleeps in RAM inside PREPARE..POST, without suspend notifiers, and drops the image at the wake", async () => {
    const { log, sleep, expectAtRest } = build();
    const result = await sleep.hibernate({ mode: "suspend" });
    expect(result).toMatchObject({ outcome: "woken", wake: { source: "rtc" } });
    expect(log.calls).toEqual([
      ...withoutFirmware(downToSnapshot),
      ...withoutFirmware(upAndWritten),
      ...lines(`platform-begin, console, device-prepare, gpu: freeze SUSPEND, platform-prepare, late, noirq, cpus,
        syscore, enter mem, undo syscore, undo cpus, undo noirq, undo late, undo platform-prepare,
        gpu: restore RESUME, undo device-prepare, undo console, undo platform-begin, discard-image,
        undo allocations, undo kernel-threads, undo tasks, gpu: notify POST_HIBERNATION`),
    ]);
    expectAtRest();
  });

  it("powers off through the firmware when S3 fails, for the image is there", async () => {
    const { log, sleep } = build();
    log.faults.set("enter mem", new GpuError("EIO", "the firmware refused"));
    const result = await sleep.hibernate({ mode: "suspend" });
    expect(result.outcome).toBe("off");
    expect(log.toClients().slice(3)).toEqual(["gpu: freeze SUSPEND", "gpu: restore RESUME", "gpu: freeze HIBERNATE"]);
    expect(log.calls.at(-1)).toBe("power-off platform");
  });
});

describe("test_resume", () => {
  it("quiesces, jumps and restores in the kernel that wrote the image", async () => {
    const { log, sleep, expectAtRest } = build();
    const result = await sleep.hibernate({ mode: "test_resume" });
    expect(result.outcome).toBe("resumed");
    expect(log.calls).toEqual([
      ...withoutFirmware(downToSnapshot),
      ...withoutFirmware(upAndWritten),
      ...lines(`undo allocations, image-load, console, allocations, device-prepare, gpu: freeze QUIESCE, late, noirq,
        cpus, syscore, jump`),
      ...withoutFirmware(upFromImage),
    ]);
    expectAtRest();
  });

  it.each(["image-load", "jump"])("runs on after a failed %s", async (step) => {
    const { log, sleep, expectAtRest } = build();
    log.faults.set(step, new GpuError("EIO", "no"));
    const result = await sleep.hibernate({ mode: "test_resume" });
    expect(result.outcome).toBe("aborted");
    const quiesced = step === "jump" ? ["gpu: freeze QUIESCE", "gpu: restore RECOVER"] : [];
    expect(log.toClients().slice(3)).toEqual([...quiesced, "gpu: notify POST_HIBERNATION"]);
    expectAtRest();
  });
});

describe("the boot kernel", () => {
  it("loads the image, quiesces and hands over", async () => {
    const { log, sleep } = build();
    const result = await sleep.resumeFromImage();
    expect(result.outcome).toBe("replaced");
    expect(log.calls).toEqual(
      lines(`gpu: notify RESTORE_PREPARE, tasks, kernel-threads, image-load, console, allocations, device-prepare,
        gpu: freeze QUIESCE, late, noirq, platform-prepare, cpus, syscore, jump`),
    );
    await expect(sleep.suspend("mem")).rejects.toMatchObject({ code: "EBUSY" });
  });

  it("touches no device when the image can't be loaded", async () => {
    const { log, sleep, expectAtRest } = build();
    log.faults.set("image-load", new GpuError("EIO", "a bad checksum"));
    const result = await sleep.resumeFromImage();
    expect(result.outcome).toBe("aborted");
    expect(log.toClients()).toEqual(["gpu: notify RESTORE_PREPARE", "gpu: notify POST_RESTORE"]);
    expectAtRest();
  });

  it("recovers its devices when the jump fails, with the image's memory free", async () => {
    const { log, machine, sleep, expectAtRest } = build();
    log.faults.set("jump", new GpuError("ENOMEM", "memory is tight"));
    log.onCall = (name) => {
      if (name === "gpu: restore RECOVER") expect(machine.held).not.toContain("image-load");
    };
    const result = await sleep.resumeFromImage();
    expect(result.outcome).toBe("aborted");
    expect(log.toClients()).toEqual(
      lines("gpu: notify RESTORE_PREPARE, gpu: freeze QUIESCE, gpu: restore RECOVER, gpu: notify POST_RESTORE"),
    );
    expectAtRest();
  });
});

describe("sleep in RAM", () => {
  const toRam = `filesystems, gpu: notify SUSPEND_PREPARE, tasks, kernel-threads, allocations, platform-begin, console,
    device-prepare, gpu: freeze SUSPEND, platform-prepare, late, noirq, cpus, syscore, enter mem, undo syscore,
    undo cpus, undo noirq, undo late, undo platform-prepare, gpu: restore RESUME, undo device-prepare, undo console,
    undo platform-begin, undo allocations, undo kernel-threads, undo tasks, gpu: notify POST_SUSPEND`;

  it("enters S3 and comes back in Linux's order", async () => {
    const { log, sleep, expectAtRest } = build();
    const result = await sleep.suspend("mem");
    expect(result).toMatchObject({ outcome: "woken", wake: { source: "rtc" }, failures: [], lost: [] });
    expect(log.calls).toEqual(lines(toRam));
    expectAtRest();
  });

  it("leaves the processors up in s2idle", async () => {
    const { log, sleep, expectAtRest } = build();
    await sleep.suspend("s2idle");
    const expected = lines(toRam).filter((call) => !/(cpus|syscore)$/.test(call));
    expect(log.calls).toEqual(expected.map((call) => (call === "enter mem" ? "enter s2idle" : call)));
    expectAtRest();
  });

  it("skips a driver whose policy says so, in S3 and s2idle but not in hibernation", async () => {
    const { log, machine, sleep, expectAtRest } = build([]);
    sleep.register(new RecordingClient("pcie", log), { suspendPolicy: "skip" });
    await sleep.suspend("mem");
    await sleep.suspend("s2idle");
    const notified = ["pcie: notify SUSPEND_PREPARE", "pcie: notify POST_SUSPEND"];
    expect(log.toClients()).toEqual([...notified, ...notified]);
    log.take();
    machine.world = "resumed";
    await sleep.hibernate({ mode: "platform" });
    expect(log.toClients()).toContain("pcie: freeze FREEZE");
    expectAtRest();
  });
});

describe("pm_test", () => {
  const levels: readonly PmTest[] = ["freezer", "devices", "platform", "processors", "core"];
  const lastDown = {
    hibernate: ["kernel-threads", "gpu: freeze FREEZE", "platform-prepare", "cpus", "syscore"],
    mem: ["kernel-threads", "gpu: freeze SUSPEND", "noirq", "cpus", "syscore"],
  };

  it.each(levels)("turns a hibernation back behind %s, with everything as it was", async (pmTest) => {
    const { log, sleep, expectAtRest } = build();
    const result = await sleep.hibernate({ mode: "platform", pmTest });
    expect(result).toMatchObject({ outcome: "tested", failures: [] });
    const down = log.calls.filter((call) => !/undo|restore|POST/.test(call));
    expect(down.at(-1)).toBe(lastDown.hibernate[levels.indexOf(pmTest)]);
    expect(log.toClients().filter((call) => call.includes("restore"))).toEqual(
      pmTest === "freezer" ? [] : ["gpu: restore RESTORE"],
    );
    expectAtRest();
  });

  it.each(levels)("turns S3 back behind %s", async (pmTest) => {
    const { log, sleep, expectAtRest } = build();
    const result = await sleep.suspend("mem", { pmTest });
    expect(result.outcome).toBe("tested");
    const down = log.calls.filter((call) => !/undo|restore|POST/.test(call));
    expect(down.at(-1)).toBe(lastDown.mem[levels.indexOf(pmTest)]);
    expectAtRest();
  });

  it("has no level below platform in s2idle", async () => {
    const { log, sleep } = build();
    await expect(sleep.suspend("s2idle", { pmTest: "core" })).rejects.toMatchObject({ code: "EINVAL" });
    expect(log.calls).toEqual([]);
    expect((await sleep.suspend("s2idle", { pmTest: "platform" })).outcome).toBe("tested");
  });
});

describe("several drivers", () => {
  it("are frozen from the last to the first and restored from the first to the last", async () => {
    const { log, machine, sleep, expectAtRest } = build(["gpu", "nic"]);
    machine.world = "resumed";
    await sleep.hibernate({ mode: "platform" });
    expect(log.toClients()).toEqual(
      lines(`gpu: notify HIBERNATION_PREPARE, nic: notify HIBERNATION_PREPARE, nic: freeze FREEZE, gpu: freeze FREEZE,
        gpu: restore RESTORE, nic: restore RESTORE, gpu: notify POST_HIBERNATION, nic: notify POST_HIBERNATION`),
    );
    expectAtRest();
  });

  it("are shut down from the last to the first, and one that fails keeps no power on", async () => {
    const { log, sleep } = build(["gpu", "nic"]);
    log.faults.set("nic: shutdown", new GpuError("EIO", "no"));
    const result = await sleep.hibernate({ mode: "shutdown" });
    expect(result.outcome).toBe("off");
    expect(log.calls.slice(-3)).toEqual(["nic: shutdown", "gpu: shutdown", "power-off shutdown"]);
  });

  it("can't have one name", () => {
    const { log, sleep } = build(["gpu"]);
    expect(() => sleep.register(new RecordingClient("gpu", log))).toThrow(/gpu: a device of this name.*EINVAL/);
  });

  it("are told in order of their priority", async () => {
    const { log, sleep } = build(["gpu"]);
    sleep.register(new RecordingClient("first", log), { priority: 10 });
    sleep.subscribe(new RecordingClient("last", log), -10);
    await sleep.suspend("mem", { pmTest: "freezer" });
    expect(log.toClients().slice(0, 3)).toEqual(
      lines("first: notify SUSPEND_PREPARE, gpu: notify SUSPEND_PREPARE, last: notify SUSPEND_PREPARE"),
    );
  });
});

describe("an operation", () => {
  it("is refused while another one runs, and harms it not", async () => {
    const { log, machine, sleep, expectAtRest } = build();
    const refusals: Promise<unknown>[] = [];
    machine.world = "resumed";
    log.onCall = () => {
      refusals.push(expect(sleep.suspend("mem")).rejects.toMatchObject({ code: "EBUSY" }));
    };
    expect((await sleep.hibernate({ mode: "platform" })).outcome).toBe("resumed");
    log.onCall = () => {};
    await Promise.all(refusals);
    expect(refusals.length).toBeGreaterThan(20);
    expectAtRest();
  });

  it("records each call with its times, and traces it", async () => {
    const clock = new VirtualClock({ startMs: 100 });
    const recorder = new Recorder({ clock });
    const { sleep } = build(["gpu"], { clock, tracer: recorder });
    const { phases } = await sleep.suspend("mem");
    expect(phases.filter(({ device }) => device === "gpu")).toEqual(
      ["notify SUSPEND_PREPARE", "freeze SUSPEND", "restore RESUME", "notify POST_SUSPEND"].flatMap((phase) => [
        { device: "gpu", phase, state: "begin", atMs: 100 },
        { device: "gpu", phase, state: "end", atMs: 100 },
      ]),
    );
    expect(recorder.phases()).toEqual(
      phases.map(({ device, phase, state }) => ({ kind: "phase", device, phase, state })),
    );
    expect(recorder.states("system").map(({ to }) => to)).toEqual(
      lines("preparing, freezing, asleep, thawing, waking, awake"),
    );
  });

  it("reports what each restore came to, after it is over", async () => {
    const { sleep } = build(["gpu", "nic"]);
    const { complete } = await sleep.suspend("mem");
    const report = { restored: 1, lost: [], outputs: 1 };
    expect(await complete).toEqual([
      { device: "gpu", report },
      { device: "nic", report },
    ]);
  });
});
