/**
 * A {@link LinuxVm} as the scenarios use it.
 */
import type { Size } from "@virtgpu/linux/agent";
import * as v from "valibot";
import type { BootChanges, LinuxVm } from "../../guests/linux/linux-vm.ts";
import type { RfbClient } from "../../hosts/qemu/rfb-client.ts";
import type { DeviceStatus, LinuxMachine, SeenCursor } from "./machine.ts";

const RESIZE_MS = 5000;
/** Whoever waits has a deadline of their own. */
const ENDED_MS = 3_600_000;

/** A VNC server tells the cursor at once, if there is one. */
const CURSOR_MS = 1000;

const virtioStatus = v.object({ status: v.object({ statuses: v.array(v.string()) }) });

/** `changes`: what processes after the first have otherwise. */
export function asMachine(vm: LinuxVm, changes: BootChanges = {}): LinuxMachine {
  let boots = 0;
  return {
    get events() {
      return tellingEvents(vm.events);
    },
    get errors() {
      return vm.errors;
    },
    get console() {
      return vm.console;
    },
    boot: () => vm.boot(boots++ === 0 ? {} : changes),
    call: (call, parameters) => vm.call(call, parameters),
    ended: async () => {
      const end = await vm.ended(ENDED_MS);
      return { ...end, events: tellingEvents(end.events) };
    },
    cutPower: () => vm.cutPower(),
    wake: () => vm.wake(),
    screendump: (gpu, output) => vm.screendump(gpu, output),
    cursor: (gpu, output) => withRfb(vm, gpu, output, readCursor),
    resize: (gpu, output, size) => withRfb(vm, gpu, output, (client) => resize(client, size)),
    deviceStatus: (gpu) => readStatus(vm, gpu),
  };
}

/** All but those of our own looking through VNC. */
function tellingEvents(events: readonly string[]): readonly string[] {
  return events.filter((name) => !name.startsWith("VNC_"));
}

async function withRfb<T>(
  vm: LinuxVm,
  gpu: number,
  output: number,
  use: (client: RfbClient) => Promise<T>,
): Promise<T> {
  const client = await vm.rfb(gpu, output);
  try {
    return await use(client);
  } finally {
    client.close();
  }
}

/** An empty picture, or one without a pixel of its own, is no cursor. */
async function readCursor(client: RfbClient): Promise<SeenCursor | null> {
  await client.until(() => client.cursor !== null, CURSOR_MS).catch(() => {});
  const { cursor } = client;
  return cursor === null || !cursor.mask.includes(1) ? null : cursor;
}

/** Resolves when the server has taken it: it answers in order, the first time to the connection itself. */
async function resize(client: RfbClient, { width, height }: Size): Promise<void> {
  await client.until(() => client.updates > 0, RESIZE_MS).catch(() => {});
  const { updates } = client;
  client.setDesktopSize(width, height);
  client.requestUpdate(false);
  await client.until(() => client.updates > updates, RESIZE_MS).catch(() => {});
}

async function readStatus(vm: LinuxVm, gpu: number): Promise<DeviceStatus> {
  const queues = [];
  for (const queue of [0, 1]) {
    const status = await vm.queue(gpu, queue).catch(() => null);
    if (status !== null) queues.push({ queue, ...status });
  }
  return { status: await readBits(vm, gpu), queues };
}

/** Where QEMU's object tree has the virtio device: behind its proxy, or directly. */
async function readBits(vm: LinuxVm, gpu: number): Promise<readonly string[]> {
  const device = `/machine/peripheral/gpu${gpu}`;
  for (const path of [`${device}/virtio-backend`, device]) {
    const told = await vm.qmp("x-query-virtio-status", { path }).catch(() => null);
    const checked = v.safeParse(virtioStatus, told);
    if (checked.success) {
      return checked.output.status.statuses.map((text) => /^VIRTIO_CONFIG_S_(\w+)/.exec(text)?.[1] ?? text);
    }
  }
  return [];
}
