/** What hosts, buses and the rest of a machine do to a driver. */
import { GpuError } from "@virtgpu/core/base";
import type { CommandEffect } from "@virtgpu/core/sim";
import { DeviceStatus, GpuQueue, GpuReply } from "@virtgpu/core/wire";
import { type Boot, deviceOf } from "./boot.ts";
import type { Guest } from "./guest.ts";
import type { Deed } from "./schedule.ts";

/** Carries a deed out; false where it is not of this kind. */
export function performHostDeed(guest: Guest, boot: Boot, deed: Deed): boolean {
  return machineDeed(guest, boot, deed) || transportDeed(guest, boot, deed) || hostDeed(guest, boot, deed);
}

/** The machine around device and driver. */
function machineDeed(guest: Guest, boot: Boot, deed: Deed): boolean {
  const { sim } = boot;
  const { disk } = guest;
  switch (deed.op) {
    case "failAllocations":
      guest.disturb("fault");
      sim.allocator.failAt(deed.in, deed.times);
      return true;
    case "failMappings":
      guest.disturb("fault");
      sim.dma.failAt(deed.in, deed.times);
      return true;
    case "fullDisk":
      guest.disturb("fault");
      disk.fullAt = deed.bytes;
      return true;
    case "failDisk":
      guest.disturb("fault");
      disk.failing = { call: deed.call, in: deed.in };
      return true;
    case "forgetfulDisk":
      guest.disturb("fault");
      disk.isForgetful = true;
      return true;
    case "failStep":
      boot.stepFaults.add(deed.call);
      return true;
    case "wakeup":
      if (!boot.isSleeping) return true;
      guest.disturb("fault");
      boot.platform.wakeup = true;
      return true;
    case "powerCut":
      guest.cutPower(deed.ms);
      return true;
    case "at":
      plan(guest, boot, deed);
      return true;
    default:
      return false;
  }
}

/** Something that happens in the middle of the driver's work. */
function plan(guest: Guest, boot: Boot, { what, in: count, deed }: Extract<Deed, { readonly op: "at" }>): void {
  const { transport, commands } = boot.sim.host;
  const happens = (): void => {
    if (!boot.isOver) guest.perform(deed);
  };
  if (what === "command") {
    // Within a command the device is at work: it happens right behind it.
    commands.inject({ at: count, effect: { kind: "call", run: () => boot.clock.defer(happens) } });
    return;
  }
  const at = transport.accesses + count;
  transport.onAccess = (_, access) => {
    if (access < at) return;
    transport.onAccess = null;
    happens();
  };
}

/** Interrupts, kicks, registers. */
function transportDeed(guest: Guest, boot: Boot, deed: Deed): boolean {
  const { transport } = boot.sim.host;
  switch (deed.op) {
    case "loseInterrupts":
      guest.disturb("fault");
      transport.faults.loseInterrupts = deed.count;
      return true;
    case "delayInterrupts":
      guest.disturb("fault");
      transport.faults.delayInterruptsMs = deed.ms;
      return true;
    case "spuriousInterrupt":
      spurious(boot, deed.what);
      return true;
    case "swallowKicks":
      guest.disturb("fault");
      transport.faults.swallowKicks = true;
      return true;
    case "hearKicks":
      resumeHost(guest, boot);
      return true;
    case "needsReset":
      guest.disturb("fault");
      transport.raiseStatusBits(DeviceStatus.NEEDS_RESET);
      return true;
    case "slowReset":
      guest.disturb("fault");
      transport.faults.reset = { kind: "ms", ms: deed.ms };
      return true;
    case "hungReset":
      guest.disturb("fault");
      transport.faults.reset = { kind: "never" };
      return true;
    default:
      return false;
  }
}

function spurious(boot: Boot, what: "control" | "cursor" | "config" | "stale"): void {
  const { transport } = boot.sim.host;
  if (what === "config") transport.spuriousConfigInterrupt();
  else if (what === "stale") transport.spuriousQueueInterrupt(undefined, { stale: true });
  else transport.spuriousQueueInterrupt(what === "control" ? GpuQueue.CONTROL : GpuQueue.CURSOR);
}

/** The host's process and its device. */
function hostDeed(guest: Guest, boot: Boot, deed: Deed): boolean {
  const { host } = boot.sim;
  switch (deed.op) {
    case "command":
      inject(boot, deed);
      return true;
    case "answer":
      resumeHost(guest, boot);
      return true;
    case "monitor":
      if (host.isOn && deed.output < guest.host.outputs.length) host.device.setOutput(deed.output, deed.size);
      return true;
    case "killHost":
      guest.disturb("fault");
      host.kill();
      return true;
    case "startHost":
      startHost(guest, boot);
      return true;
    default:
      return host.isOn && liveHostDeed(guest, boot, deed);
  }
}

/** The host hears and answers what it had not, unless it dies of that. */
export function resumeHost(guest: Guest, boot: Boot): void {
  try {
    if (boot.sim.host.isOn) boot.sim.host.resume();
  } catch (error) {
    if (!(error instanceof GpuError) || !guest.isFaulty) throw error;
  }
}

/** A new process, on a host that may be another one. */
export function startHost(guest: Guest, boot: Boot): void {
  const { host } = boot.sim;
  if (host.isOn) return;
  guest.disturb("fault");
  guest.hasForgotten = true;
  guest.host = guest.nextHost;
  guest.noteRoom();
  host.powerOn(deviceOf(guest.host, guest.random.fork("uuids")));
}

function liveHostDeed(guest: Guest, boot: Boot, deed: Deed): boolean {
  const { host } = boot.sim;
  switch (deed.op) {
    case "forgeUsed":
      guest.disturb("fault");
      if (!guest.plan.packed && host.machinery.queueEnabled(deed.queue))
        host.forgeUsed(deed.queue, deed.id, deed.bytes);
      return true;
    case "breakDevice":
      guest.disturb("fault");
      host.breakDevice();
      return true;
    case "resetDevice":
      guest.disturb("fault");
      guest.wasReset = true;
      host.resetDevice();
      return true;
    case "resetQueue":
      guest.disturb("fault");
      // Of a queue that nobody uses nobody notices it.
      guest.hasForgotten = true;
      resetQueue(boot, deed.queue);
      return true;
    case "forget":
      guest.disturb("fault");
      guest.hasForgotten = true;
      host.forget();
      return true;
    case "migrate":
      migrate(boot);
      return true;
    default:
      return false;
  }
}

/** Of a device that is at work with that queue; another one knows no such reset. */
function resetQueue(boot: Boot, queue: number): void {
  const { host } = boot.sim;
  if (host.machinery.queueEnabled(queue)) host.connect().resetQueue(queue);
}

/** The host's process is saved, ends, and another one goes on from there. */
function migrate(boot: Boot): void {
  const { host } = boot.sim;
  if (host.pending > 0) return;
  host.powerOnFrom(host.save());
}

const REFUSALS: readonly number[] = [
  GpuReply.ERR_UNSPEC,
  GpuReply.ERR_OUT_OF_MEMORY,
  GpuReply.ERR_INVALID_SCANOUT_ID,
  GpuReply.ERR_INVALID_RESOURCE_ID,
  GpuReply.ERR_INVALID_PARAMETER,
];

function inject(boot: Boot, deed: Extract<Deed, { readonly op: "command" }>): void {
  const { fault, type, at, times, number } = deed;
  const reply = REFUSALS[number % REFUSALS.length] ?? GpuReply.ERR_UNSPEC;
  const lies: readonly Extract<CommandEffect, { readonly kind: "lie" }>[] = [
    { kind: "lie", header: { type: 0x7777 } },
    { kind: "lie", usedLength: 0 },
    { kind: "lie", usedId: 0x4321 },
    { kind: "lie", header: { flags: 1, fenceLow: 0x99 } },
    { kind: "lie", usedLength: 0xffff_fff0 },
    { kind: "lie", header: { contextId: 77 } },
  ];
  const effects: Record<typeof fault, CommandEffect> = {
    hang: { kind: "hang" },
    hold: { kind: "hold" },
    slow: { kind: "slow", ms: 1 + number },
    reorder: { kind: "reorder", replies: 1 + (number % 3) },
    drop: { kind: "drop" },
    refuse: { kind: "refuse", reply },
    mask: { kind: "mask", reply },
    lie: lies[number % lies.length] ?? { kind: "lie", usedLength: 0 },
    duplicate: { kind: "duplicate" },
    die: { kind: "die" },
    break: { kind: "break" },
  };
  boot.sim.host.commands.inject({ ...(type === null ? {} : { type }), at, times, effect: effects[fault] });
}
