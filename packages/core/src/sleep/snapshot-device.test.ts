import { describe, expect, it } from "vitest";
import { GpuError, silentTracer } from "../base/index.ts";
import { VirtualClock } from "../sim/index.ts";
import { SystemSleep } from "./index.ts";
import { CallLog, RecordingClient, RecordingMachine } from "./test-utils.ts";

function build() {
  const log = new CallLog();
  const machine = new RecordingMachine(log);
  const client = new RecordingClient("gpu", log);
  const sleep = new SystemSleep({ platform: machine, clock: new VirtualClock(), tracer: silentTracer });
  const unregister = sleep.register(client);
  const expectAtRest = (): void => {
    expect(log.violations).toEqual([]);
    expect(machine.held).toEqual([]);
    expect(client).toMatchObject({ state: "awake", prepared: 0 });
    expect(sleep.state).toBe("awake");
  };
  return { log, machine, client, sleep, unregister, expectAtRest };
}

describe("/dev/snapshot", () => {
  it("spans several images with one PREPARE and POST, user space alive in between", async () => {
    const { log, machine, sleep, expectAtRest } = build();
    const device = await sleep.openSnapshotDevice("read");
    await device.freeze();
    expect((await device.createImage()).outcome).toBe("snapshotted");
    expect(device.ready).toBe(true);
    await device.free();
    await device.unfreeze();
    expect(machine.held).toEqual([]);
    await device.freeze();
    machine.world = "resumed";
    expect((await device.createImage()).outcome).toBe("resumed");
    await device.unfreeze();
    await device.close();
    expect(log.toClients()).toEqual([
      "gpu: notify HIBERNATION_PREPARE",
      "gpu: freeze FREEZE",
      "gpu: restore THAW",
      "gpu: freeze FREEZE",
      "gpu: restore RESTORE",
      "gpu: notify POST_HIBERNATION",
    ]);
    expectAtRest();
  });

  it("makes a second image at once, with tasks still frozen", async () => {
    const { log, machine, sleep, expectAtRest } = build();
    const device = await sleep.openSnapshotDevice("read");
    await device.freeze();
    await device.createImage();
    await device.free();
    expect(machine.held).toEqual(["tasks", "allocations"]);
    log.onCall = (name) => {
      if (name === "image-memory") expect(machine.held).not.toContain("allocations");
    };
    expect((await device.createImage()).outcome).toBe("snapshotted");
    await device.close();
    expectAtRest();
  });

  it("sleeps in RAM between its notifiers, without suspend notifiers", async () => {
    const { log, sleep, expectAtRest } = build();
    const device = await sleep.openSnapshotDevice("read");
    await device.freeze();
    await device.createImage();
    expect(await device.suspendToRam()).toMatchObject({ outcome: "woken", wake: { source: "rtc" } });
    await device.free();
    await device.unfreeze();
    await device.close();
    expect(log.toClients().slice(3)).toEqual([
      "gpu: freeze SUSPEND",
      "gpu: restore RESUME",
      "gpu: notify POST_HIBERNATION",
    ]);
    expectAtRest();
  });

  it("powers off through the firmware with platform support, else by the drivers' shutdown", async () => {
    const one = build();
    const device = await one.sleep.openSnapshotDevice("read");
    device.platformSupport = true;
    await device.freeze();
    await device.createImage();
    expect((await device.powerOff()).outcome).toBe("off");
    expect(one.log.calls.slice(-11)).toContain("gpu: freeze HIBERNATE");
    const other = build();
    await (await other.sleep.openSnapshotDevice("read")).powerOff();
    expect(other.log.calls.slice(-2)).toEqual(["gpu: shutdown", "power-off shutdown"]);
  });

  it("goes on after a power-off that failed", async () => {
    const { log, sleep, expectAtRest } = build();
    const device = await sleep.openSnapshotDevice("read");
    device.platformSupport = true;
    await device.freeze();
    await device.createImage();
    log.faults.set("power-off platform", new GpuError("EIO", "no"));
    expect((await device.powerOff()).outcome).toBe("aborted");
    expect(log.toClients().slice(-2)).toEqual(["gpu: freeze HIBERNATE", "gpu: restore RESTORE"]);
    await device.close();
    expectAtRest();
  });

  it("restores an image that was written in, or recovers", async () => {
    const { log, sleep, expectAtRest } = build();
    const device = await sleep.openSnapshotDevice("write");
    await device.load();
    await device.freeze();
    log.faults.set("jump", new GpuError("ENOMEM", "memory is tight"));
    expect((await device.atomicRestore()).outcome).toBe("aborted");
    expect(device.loaded).toBe(false);
    log.faults.clear();
    await device.close();
    expect(log.toClients()).toEqual([
      "gpu: notify RESTORE_PREPARE",
      "gpu: freeze QUIESCE",
      "gpu: restore RECOVER",
      "gpu: notify POST_RESTORE",
    ]);
    expectAtRest();
    const again = await sleep.openSnapshotDevice("write");
    await again.freeze();
    await again.load();
    expect((await again.atomicRestore()).outcome).toBe("replaced");
    expect(sleep.state).toBe("replaced");
  });

  it("goes on in the image's kernel where the image was made: tasks frozen, the device open", async () => {
    const { log, machine, client, sleep, expectAtRest } = build();
    const held = ["tasks", "image-memory", "kernel-threads", "device-prepare", "console", "allocations"] as const;
    machine.becomeImage([...held, "late", "noirq", "cpus", "syscore"]);
    client.state = "frozen";
    client.prepared = 1;
    const device = await sleep.continueSnapshotDevice({ throughFirmware: false });
    expect(device.opened.outcome).toBe("resumed");
    expect(device.frozen).toBe(true);
    await device.unfreeze();
    await device.close();
    expect(log.toClients()).toEqual(["gpu: restore RESTORE", "gpu: notify POST_HIBERNATION"]);
    expectAtRest();
  });

  it("rejects with the veto of a driver, and is not open then", async () => {
    const { log, sleep, expectAtRest } = build();
    log.faults.set("gpu: notify HIBERNATION_PREPARE", new GpuError("EPERM", "unrecoverable", { holders: ["venus 3"] }));
    await expect(sleep.openSnapshotDevice("read")).rejects.toMatchObject({ code: "EPERM", holders: ["venus 3"] });
    expectAtRest();
  });

  it("closes in any state, and undoes what is down", async () => {
    for (const calls of [0, 1, 2]) {
      const { sleep, expectAtRest } = build();
      const device = await sleep.openSnapshotDevice("read");
      if (calls > 0) await device.freeze();
      if (calls > 1) await device.createImage();
      await device.close();
      expectAtRest();
      await expect(device.freeze()).rejects.toMatchObject({ code: "EINVAL" });
    }
  });

  it("is open again after a failed image, and makes another", async () => {
    const { log, sleep, expectAtRest } = build();
    const device = await sleep.openSnapshotDevice("read");
    await device.freeze();
    log.faults.set("snapshot", new GpuError("ENOMEM", "no"));
    expect((await device.createImage()).outcome).toBe("aborted");
    expect(device.ready).toBe(false);
    log.faults.clear();
    expect((await device.createImage()).outcome).toBe("snapshotted");
    await device.close();
    expectAtRest();
  });

  it("refuses calls out of their place", async () => {
    const { sleep } = build();
    const device = await sleep.openSnapshotDevice("read");
    await expect(device.createImage()).rejects.toMatchObject({ code: "EPERM" });
    await expect(device.suspendToRam()).rejects.toMatchObject({ code: "EPERM" });
    await expect(device.load()).rejects.toMatchObject({ code: "EPERM" });
    await expect(device.atomicRestore()).rejects.toMatchObject({ code: "EPERM" });
    await expect(sleep.hibernate({ mode: "shutdown" })).rejects.toMatchObject({ code: "EBUSY" });
    await expect(sleep.openSnapshotDevice("write")).rejects.toMatchObject({ code: "EBUSY" });
    await device.freeze();
    const image = device.createImage();
    await expect(device.free()).rejects.toMatchObject({ code: "EBUSY" });
    await image;
    await expect(device.createImage()).rejects.toMatchObject({ code: "EPERM" });
    await expect(device.unfreeze()).rejects.toMatchObject({ code: "EBUSY" });
  });

  it("a driver removed between PREPARE and POST hears nothing more, frozen or not", async () => {
    const { log, machine, sleep, unregister } = build();
    const device = await sleep.openSnapshotDevice("read");
    await device.freeze();
    log.onCall = (name) => {
      if (name === "late") unregister();
    };
    await device.createImage();
    await device.close();
    expect(log.toClients()).toEqual(["gpu: notify HIBERNATION_PREPARE", "gpu: freeze FREEZE"]);
    expect(machine.held).toEqual([]);
    sleep.register(new RecordingClient("gpu", log));
    expect((await sleep.suspend("mem")).failures).toEqual([]);
  });
});
