/**
 * The machine process: obeys one supervisor over its IPC channel, and is gone when that is.
 */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { GpuError } from "@virtgpu/core/base";
import { Machine } from "./machine.ts";
import { failedMessage, type Message, type Order } from "./protocol.ts";
import { parseOrder } from "./protocol-schema.ts";

/** Ends this process when its standard input ends, whatever the main thread is doing: nothing outlives its supervisor. */
const LEASH = `
const { Socket } = require("node:net");
const end = () => process.kill(process.pid, "SIGKILL");
new Socket({ fd: 0 }).on("error", end).on("close", end).resume();
`;
new Worker(LEASH, { eval: true, execArgv: [] }).unref();

let machine: Machine | null = null;

/** Resolves when the message has left this process. Nobody listens any more: then there is nothing to tell. */
async function say(message: Message): Promise<void> {
  await new Promise<void>((resolve) => {
    if (process.send === undefined || !process.connected) resolve();
    else process.send(message, undefined, {}, () => resolve());
  });
}

async function end(): Promise<void> {
  await machine?.stop();
  machine = null;
  if (process.connected) process.disconnect();
}

async function obey(order: Order): Promise<void> {
  switch (order.order) {
    case "power-on": {
      if (machine !== null) throw new GpuError("EBUSY", "this machine is on already");
      const on = await Machine.powerOn(order, say);
      machine = on.machine;
      await say({ message: "done", slept: on.slept, inventory: null });
      return;
    }
    case "off":
      await say({ message: "done", slept: null, inventory: null });
      await end();
      return;
    default: {
      if (machine === null) throw new GpuError("ENODEV", "this machine is off");
      const { slept = null, inventory = null } = await machine.obey(order);
      await say({ message: "done", slept, inventory });
      if (slept?.outcome === "off") await end();
    }
  }
}

process.on("message", (value: unknown) => {
  Promise.resolve()
    .then(() => obey(parseOrder(value)))
    .catch((error: unknown) => say(failedMessage(error)));
});
// An orderly end; the leash sees to all others.
void once(process, "disconnect").then(async () => {
  await machine?.stop();
  process.exit(0);
});
await say({ message: "ready", epochMs: performance.timeOrigin, pid: process.pid });
