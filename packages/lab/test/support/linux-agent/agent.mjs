/**
 * The smallest agent that can stand in for @virtgpu/linux's: it says hello, sleeps, and remembers that it is the same process.
 */
import { closeSync, createReadStream, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";

const port = openSync("/dev/ttyS1", "r+");
const say = (message) => writeSync(port, `${JSON.stringify(message)}\n`);
const born = `${process.pid}-${Date.now()}`;

const MODES = {
  "s4-platform": ["platform", "disk"],
  "s4-shutdown": ["shutdown", "disk"],
  s3: [null, "mem"],
  s2idle: [null, "freeze"],
};

function sleep(way) {
  const [mode, state] = MODES[way];
  if (mode !== null) writeFileSync("/sys/power/disk", mode);
  if (state === "mem") writeFileSync("/sys/power/mem_sleep", "deep");
  try {
    const file = openSync("/sys/power/state", "w");
    writeSync(file, state);
    closeSync(file);
    return null;
  } catch (error) {
    return String(error.code);
  }
}

const calls = {
  hello: () => ({
    kernel: readFileSync("/proc/sys/kernel/osrelease", "utf8").trim(),
    driver: "virtgpu",
    way: born,
    gpus: [],
    outputs: [],
  }),
  sleep: ({ way }) => ({ error: sleep(way), picture: null, complete: null, restored: null, lost: null, problems: [] }),
  log: () => ({ lines: process.argv.slice(2) }),
  // What a guest that means harm might say.
  hashes: () => ({ objects: "none of your business" }),
  clear: () => {
    writeSync(port, "\u0000 no JSON { \n");
    return {};
  },
  finish: () => process.exit(0),
};

say({ event: "ready" });
for await (const line of createInterface({ input: createReadStream("", { fd: port }) })) {
  const { id, call, with: parameters } = JSON.parse(line);
  try {
    say({ id, result: calls[call](parameters) });
  } catch (error) {
    say({ id, error: String(error.message) });
  }
}
