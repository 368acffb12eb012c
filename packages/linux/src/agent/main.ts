/**
 * The agent in the guest: `node main.js --driver virtgpu|kernel [--way uio|vfio|pci-cfg] [--memory hugepages|pages|heap] [--port /dev/ttyS1] [--objects N] [--systemd]`. It draws scenes
 * with the driver under test, and puts the machine to sleep, as the lab at the other end of the serial port asks.
 */
import { writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { loadSys } from "../native/index.ts";
import { Agent } from "./agent.ts";
import type { AgentGpuDriver, OpenDriver } from "./agent-gpu.ts";
import { KernelLog } from "./kernel-log.ts";
import { messageOf } from "./message-of.ts";
import { Port } from "./port.ts";
import { type AgentDriver, LIVE_SAYS } from "./protocol.ts";
import { LINE_MAX } from "./requests.ts";
import { Server } from "./serve.ts";
import { Sleeper } from "./sleep/sleeper.ts";
import { sleepBySystemd } from "./sleep/systemd.ts";
import { wakeImage } from "./sleep/snapshot-run.ts";
import { TextConsole } from "./text-console.ts";

interface Options {
  readonly driver: AgentDriver;
  readonly way: string;
  readonly memory: string | undefined;
  readonly objects: number;
  readonly port: string;
  /** Sleeps are asked of systemd, and the remedy is a unit of its. */
  readonly systemd: boolean;
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      driver: { type: "string" },
      way: { type: "string" },
      memory: { type: "string" },
      objects: { type: "string", default: "16" },
      port: { type: "string" },
      systemd: { type: "boolean" },
    },
  });
  const { driver, memory, way = driver === "kernel" ? "drm" : "uio", port = "/dev/ttyS1", systemd = false } = values;
  if (driver !== "virtgpu" && driver !== "kernel") throw new Error("EINVAL: --driver is virtgpu or kernel");
  if (!/^\d{1,6}$/.test(values.objects)) throw new Error("EINVAL: --objects is a number");
  return { driver, way, memory, objects: Number(values.objects), port, systemd };
}

const sayOnConsole = (line: string): void => void process.stdout.write(`virtgpu-agent: ${line}\n`);

/** For the orderly way: a driver that hangs keeps its device from being shut down. */
const POWER_OFF_MS = 10_000;

/**
 * Switches the machine off (Documentation/admin-guide/sysrq); nothing here has a disk that it writes to. Where that hangs, a
 * reset ends it: the lab's QEMU exits then, too. After an ACPI S3 only that: QEMU 7.2's q35 never powers off again.
 */
function powerOff(wasInS3: boolean): void {
  const say = (letter: string): void => writeFileSync("/proc/sysrq-trigger", letter);
  if (!wasInS3) say("o");
  setTimeout(() => say("b"), wasInS3 ? 0 : POWER_OFF_MS);
}

/** How long a machine stays to be looked at whose images have been made. */
const LIVE_MS = 8_000;

/** Only what is needed is loaded: an emulated machine takes seconds for all of it. */
async function openerOf(driver: AgentDriver): Promise<OpenDriver> {
  if (driver === "kernel") return (await import("./drm-gpu.ts")).openKernelDriver;
  return (await import("./own-gpu.ts")).openOwnDriver;
}

async function serve(options: Options, port: Port): Promise<void> {
  const sys = loadSys();
  await wakeImage(sys, sayOnConsole);
  const open = await openerOf(options.driver);
  const gpus: AgentGpuDriver = await open({
    way: options.way,
    memory: options.memory,
    objects: options.objects,
    say: sayOnConsole,
    isUnboundByOthers: options.systemd,
  });
  const addresses = gpus.gpus.map(({ address }) => address);
  const sleeper = new Sleeper({ sys, gpus: addresses, say: sayOnConsole, port: options.port });
  const agent = new Agent({
    driver: options.driver,
    gpus,
    log: new KernelLog(),
    textConsole: new TextConsole(sys),
    now: () => Number(process.hrtime.bigint()) / 1e6,
    fallAsleep: (way, whileLive) => {
      port.drain();
      if (options.systemd) return sleepBySystemd(way);
      return sleeper.sleep(way, whileLive);
    },
    beLooked: async () => {
      sayOnConsole(LIVE_SAYS);
      await delay(LIVE_MS);
    },
  });
  const server = new Server({
    say: (message) => port.say(message),
    answer: (request) => agent.answer(request),
    onFinish: () => powerOff(sleeper.wasInS3),
  });
  port.listen(LINE_MAX, (line) => void server.take(line), fail);
  port.say({ event: "ready" });
}

function fail(reason: string): void {
  sayOnConsole(reason);
  process.exitCode = 1;
  process.exit();
}

async function main(): Promise<void> {
  const options = readOptions();
  const port = Port.open(options.port, loadSys());
  process.on("uncaughtException", (error) => sayOnConsole(`uncaught: ${error.stack ?? error.message}`));
  process.on("unhandledRejection", (error) => sayOnConsole(`unhandled: ${messageOf(error)}`));
  try {
    await serve(options, port);
  } catch (error) {
    port.say({ event: "failed", reason: messageOf(error) });
    fail(messageOf(error));
  }
}

await main().catch((error: unknown) => fail(messageOf(error)));
