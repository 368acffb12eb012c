/**
 * An agent around `virtgpu show`: runs the command in the guest and puts the machine to sleep, behind its back or by its own
 * hand. Packages lie in ./packages, which Node finds through a link, for the lab's disk has no folders of that other name.
 */
import { spawn } from "node:child_process";
import {
  createReadStream,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { createInterface } from "node:readline";

const port = openSync("/dev/ttyS1", "r+");
const say = (message) => writeSync(port, `${JSON.stringify(message)}\n`);
mkdirSync("/tmp/run");
symlinkSync("/app/packages", "/tmp/run/node_modules");

let show = null;
let heard = "";
const listeners = new Set();

/** Begins the command; resolves when it has said `text`. */
function start(text, ...args) {
  const program = "/tmp/run/node_modules/virtgpu/dist/cli.js";
  const flags = ["--preserve-symlinks", "--preserve-symlinks-main"];
  heard = "";
  show = spawn("/usr/bin/node", [...flags, program, "show", "/app/0.png", "/app/1.png", "--all", ...args]);
  for (const stream of [show.stdout, show.stderr]) {
    stream.on("data", (data) => {
      process.stdout.write(`show: ${data}`);
      heard += data;
      for (const listener of listeners) listener();
    });
  }
  return until(text);
}

function until(text) {
  return new Promise((resolve) => {
    const look = () => {
      if (!heard.includes(text)) return;
      listeners.delete(look);
      resolve();
    };
    listeners.add(look);
    look();
  });
}

/** Ends the command as a person would; resolves with its exit code. */
function end() {
  return new Promise((resolve) => {
    show.once("exit", (code) => resolve(code));
    show.kill("SIGINT");
  });
}

const FUNCTIONS = "/sys/bus/pci/devices";
const gpu = readdirSync(FUNCTIONS).find(
  (name) => readFileSync(`${FUNCTIONS}/${name}/device`, "utf8").trim() === "0x1050",
);
const driver = () => readlinkSync(`${FUNCTIONS}/${gpu}/driver`).split("/").at(-1);

const sleeps = {
  // Nobody tells the command.
  "s4-platform": async () => {
    writeFileSync("/sys/power/disk", "platform");
    const file = openSync("/sys/power/state", "w");
    writeSync(file, "disk");
    await until("objects are back");
  },
  // The command does it.
  "s4-shutdown": async () => {
    await end();
    await start("objects are back", "--hibernate", "--mode", "shutdown");
  },
};

const calls = {
  hello: () => ({ kernel: "", driver: "virtgpu", way: driver(), gpus: [gpu], outputs: [] }),
  redraw: async () => {
    await start("output 1: picture 2");
    return {};
  },
  sleep: async ({ way }) => {
    await sleeps[way]();
    return {
      error: null,
      picture: null,
      complete: null,
      restored: null,
      lost: null,
      problems: heard.trim().split("\n"),
    };
  },
  clear: async () => {
    const code = await end();
    if (code !== 0) throw new Error(`the command ended with ${code}`);
    return {};
  },
  finish: () => process.exit(0),
};

say({ event: "ready" });
for await (const line of createInterface({ input: createReadStream("", { fd: port }) })) {
  const { id, call, with: parameters } = JSON.parse(line);
  try {
    say({ id, result: await calls[call](parameters) });
  } catch (error) {
    say({ id, error: String(error.message) });
  }
}
