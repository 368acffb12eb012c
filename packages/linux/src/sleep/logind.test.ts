import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { LogindSleep } from "./logind.ts";

const LOGIND = fileURLToPath(new URL("../../test/support/fake-logind.mjs", import.meta.url));
let folder = "";
let children: ChildProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "virtgpu-bus-"));
  children = [];
});
afterEach(async () => {
  for (const child of children.toReversed()) {
    const gone = child.exitCode === null && child.signalCode === null ? once(child, "exit") : null;
    child.kill("SIGKILL");
    await gone;
  }
  rmSync(folder, { recursive: true, force: true });
});

/** Lines that a process says, one after the other. */
function linesOf(child: ChildProcess): () => Promise<string> {
  if (child.stdout === null) throw new Error("nobody hears the process");
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return async () => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error("the process has ended");
    return value;
  };
}

function start(command: string, args: readonly string[]): ChildProcess {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  children.push(child);
  return child;
}

/** A bus for nobody else. Returns its address. */
async function startBus(): Promise<string> {
  const config = join(folder, "bus.conf");
  const rules =
    '<policy context="default"><allow send_destination="*"/><allow eavesdrop="true"/><allow own="*"/></policy>';
  const listen = `<type>session</type><listen>unix:path=${join(folder, "bus")}</listen><auth>EXTERNAL</auth>`;
  writeFileSync(config, `<busconfig>${listen}${rules}</busconfig>`);
  const bus = start("dbus-daemon", ["--nofork", "--print-address", `--config-file=${config}`]);
  return linesOf(bus)();
}

interface FakeLogind {
  readonly next: () => Promise<string>;
  readonly tell: (line: "sleep" | "wake") => void;
}

async function startLogind(address: string): Promise<FakeLogind> {
  const child = start(process.execPath, [LOGIND, address]);
  const next = linesOf(child);
  expect(await next()).toBe("ready");
  return { next, tell: (line) => void child.stdin?.write(`${line}\n`) };
}

describe("beside systemd-logind", () => {
  it("holds a sleep back until the GPUs are put down, and the next one too", async () => {
    const address = await startBus();
    const logind = await startLogind(address);
    const events: string[] = [];
    let goOn = (): void => {};
    let woke = (): void => {};
    const awake = new Promise<void>((resolve) => {
      woke = resolve;
    });
    const sleep = new LogindSleep(
      {
        beforeSleep: async () => {
          events.push("before");
          await new Promise<void>((resolve) => {
            goOn = resolve;
          });
          events.push("frozen");
        },
        afterSleep: async () => {
          events.push("after");
          woke();
        },
        onError: (error) => events.push(String(error)),
      },
      address,
    );
    // Descriptors that are watched keep no process alive, a test's neither.
    const alive = setInterval(() => {}, 1000);
    try {
      expect(await logind.next()).toBe("inhibited sleep|virtgpu|puts its GPUs down|delay");
      const released = logind.next();
      logind.tell("sleep");
      while (events.length === 0) await new Promise(setImmediate);
      let isReleased = false;
      void released.then(() => {
        isReleased = true;
      });
      await new Promise(setImmediate);
      expect(isReleased).toBe(false);
      goOn();
      expect(await released).toBe("released");
      logind.tell("wake");
      await awake;
      expect(await logind.next()).toBe("inhibited sleep|virtgpu|puts its GPUs down|delay");
      expect(events).toEqual(["before", "frozen", "after"]);
      sleep.close();
      expect(await logind.next()).toBe("released");
    } finally {
      sleep.close();
      clearInterval(alive);
    }
  });

  it("lets the sleep go on also where the GPUs can't be put down, and says why", async () => {
    const address = await startBus();
    const logind = await startLogind(address);
    const errors: string[] = [];
    const client = {
      beforeSleep: () => Promise.reject(new Error("a game would be lost")),
      afterSleep: async (): Promise<void> => {},
      onError: (error: unknown) => void errors.push(String(error)),
    };
    const sleep = new LogindSleep(client, address);
    const alive = setInterval(() => {}, 1000);
    try {
      await logind.next();
      logind.tell("sleep");
      expect(await logind.next()).toBe("released");
      expect(errors).toEqual(["Error: a game would be lost"]);
    } finally {
      sleep.close();
      clearInterval(alive);
    }
  });

  it("is refused in one sentence where there is no bus, or nobody on it", async () => {
    const client = { beforeSleep: async () => {}, afterSleep: async () => {}, onError: () => {} };
    expect(() => new LogindSleep(client, `unix:path=${join(folder, "nowhere")}`)).toThrow(
      /can't be reached \(ENOENT\)/,
    );
    const address = await startBus();
    expect(() => new LogindSleep(client, address)).toThrow(expect.objectContaining({ code: "ENODEV" }));
  });
});
