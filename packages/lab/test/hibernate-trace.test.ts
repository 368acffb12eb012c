/**
 * `virtgpu hibernate --trace`: the whole run in one file, over the power cut, to be played to other hosts; and what is left
 * of a trace that could not be written.
 */
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as later } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import type { Hardware } from "../src/hosts/machine.ts";
import { printTrace } from "../src/trace/print.ts";
import { type ReplayResult, replay } from "../src/trace/replay.ts";
import { openTrace, type TraceEntry } from "../src/trace/trace-file.ts";
import { expectChromeTrace } from "./support/chrome-trace-rules.ts";
import { ended, hibernate, inFolder, namesIn, runVirtgpu, startVirtgpu } from "./support/run-virtgpu.ts";
import { hardware, playground } from "./support/traced.ts";

const PROGRAM = fileURLToPath(new URL("../bin/virtgpu.js", import.meta.url));
const EARLIER = "an earlier trace\n";

async function entriesOf(path: string): Promise<readonly TraceEntry[]> {
  const entries: TraceEntry[] = [];
  for await (const entry of (await openTrace(path)).entries) entries.push(entry);
  return entries;
}

async function played(entries: readonly TraceEntry[], parts: Hardware): Promise<ReplayResult> {
  const sized = { ...parts, outputs: [320, 320].map((width) => ({ width, height: 200 })) };
  const machine = await playground(sized);
  try {
    return await replay(machine, entries);
  } finally {
    await machine.host.stop();
  }
}

/** Runs the built command where no file may grow beyond so many KiB. */
function onSmallDisk(folder: string, kib: number, args: readonly string[]): SpawnSyncReturns<string> {
  const script = `trap "" XFSZ; ulimit -f ${kib}; exec "$@"`;
  return spawnSync("bash", ["-c", script, "bash", process.execPath, PROGRAM, ...args], {
    cwd: folder,
    encoding: "utf8",
  });
}

const IOMMU = hardware("embedded", "virtio-gpu-pci", { packed: "on", iommu_platform: "on" });

const runs: readonly (readonly [string, readonly string[], readonly Hardware[]])[] = [
  ["the embedded host", ["--hard"], [hardware("embedded"), IOMMU]],
  ["a host behind an IOMMU", ["--device", "virtio-gpu-pci,iommu_platform=on"], [IOMMU, hardware("embedded")]],
  ["a real QEMU", ["--host", "qemu"], [hardware("embedded")]],
];

describe("the trace of a hibernation", () => {
  it.each(runs)(
    "holds both lives of a machine on %s, and is answered and shown alike by others",
    async (_, args, hosts) => {
      await inFolder(async (folder) => {
        const { status, stderr } = await hibernate(folder, [...args, "--trace", "run.trace"]);
        expect([stderr, status]).toEqual(["", 0]);
        expect(namesIn(folder)).toEqual(["report", "run.trace"]);
        expectChromeTrace(JSON.parse(readFileSync(join(folder, "report", "trace.json"), "utf8")));
        const entries = await entriesOf(join(folder, "run.trace"));
        const lives = entries.filter((entry) => entry.kind === "power");
        expect(lives.map(({ process: number, fromImage }) => [number, fromImage])).toEqual([
          [1, false],
          [2, true],
        ]);
        const second = entries.findIndex((entry) => entry.kind === "power" && entry.process === 2);
        for (const life of [entries.slice(0, second), entries.slice(second)]) {
          const kinds = new Set(life.map(({ kind }) => kind));
          expect([...kinds].sort()).toEqual(["command", "page", "phase", "picture", "power", "reply", "session"]);
        }
        const times = entries.flatMap((entry) => ("atMs" in entry ? [entry.atMs] : []));
        expect(times).toEqual([...times].sort((one, other) => one - other));
        for (const host of hosts) {
          const { commands, pictures, differences } = await played(entries, host);
          expect(differences).toEqual([]);
          expect(commands).toBe(entries.filter(({ kind }) => kind === "command").length);
          expect(pictures).toBeGreaterThanOrEqual(6);
        }
      });
    },
  );

  it("is printed with a line where the second machine begins", async () => {
    await inFolder(async (folder) => {
      await hibernate(folder, ["--objects", "0", "--trace", "run.trace"]);
      const lines: string[] = [];
      for await (const line of printTrace(await openTrace(join(folder, "run.trace")))) lines.push(line);
      const begins = lines.filter((line) => / machine \d /.test(line)).map((line) => line.trim().split(/ {2}/)[1]);
      expect(begins).toEqual(["machine 1 is switched on", "machine 2 is switched on, with the image"]);
    });
  });

  it("is kept of a run that failed, for it says why", async () => {
    await inFolder(async (folder) => {
      const { status } = await hibernate(folder, ["--fault", "kill-host@restore:4", "--trace", "run.trace"]);
      expect(status).toBe(3);
      const entries = await entriesOf(join(folder, "run.trace"));
      expect(entries.at(-1)).not.toMatchObject({ kind: "picture" });
      expect(entries.filter(({ kind }) => kind === "power").length).toBe(2);
    });
  });

  it.each([
    ["report", /report is no regular file/],
    ["missing/run.trace", /missing\/run\.trace can't be written \(ENOENT\)/],
    ["text/run.trace", /text\/run\.trace can't be written \(ENOTDIR\)/],
  ])("is refused before anything starts where it can't be written: %s", async (name, why) => {
    await inFolder(async (folder) => {
      writeFileSync(join(folder, "text"), "");
      const run = await runVirtgpu(folder, ["hibernate", "--trace", name]);
      expect([run.stderr, run.stdout, run.status]).toEqual([expect.stringMatching(why), "", 2]);
      expect(namesIn(folder)).toEqual(["report", "text"]);
      expect(namesIn(join(folder, "report"))).toEqual([]);
    });
  });

  it("leaves an earlier one alone when the run is interrupted, and nothing else", async () => {
    await inFolder(async (folder) => {
      writeFileSync(join(folder, "run.trace"), EARLIER);
      const child = startVirtgpu(folder, ["hibernate", "--size", "320x200", "--cycles", "50", "--trace", "run.trace"]);
      const run = ended(child);
      while (namesIn(folder).length < 3) await later(20);
      child.kill("SIGINT");
      expect((await run).status).toBe(3);
      expect(namesIn(folder)).toEqual(["report", "run.trace"]);
      expect(readFileSync(join(folder, "run.trace"), "utf8")).toBe(EARLIER);
    });
  });
});

describe("on a full disk", () => {
  it("a hibernation comes to its verdict, says that there is no trace, and leaves an earlier one", async () => {
    await inFolder(async (folder) => {
      writeFileSync(join(folder, "run.trace"), EARLIER);
      const args = ["hibernate", "--quiet", "--size", "320x200", "--objects", "0", "--trace", "run.trace"];
      const { status, stdout, stderr } = onSmallDisk(folder, 600, args);
      expect(stdout).toMatch(/^nothing lost/);
      expect(stderr).toMatch(/^virtgpu: run\.trace: the file would become larger than it may be, .*\n$/);
      expect(status).toBe(3);
      expect(namesIn(folder)).toEqual(["report", "run.trace"]);
      expect(readFileSync(join(folder, "run.trace"), "utf8")).toBe(EARLIER);
    });
  });

  it("a recorded desktop ends with one sentence, and leaves an earlier trace", async () => {
    await inFolder(async (folder) => {
      writeFileSync(join(folder, "run.trace"), EARLIER);
      const { status, stdout, stderr } = onSmallDisk(folder, 200, ["trace", "record", "run.trace"]);
      expect([stdout, status]).toEqual(["", 3]);
      expect(stderr).toMatch(/^virtgpu: run\.trace: the file would become larger than it may be, .*\n$/);
      expect(namesIn(folder)).toEqual(["run.trace"]);
      expect(readFileSync(join(folder, "run.trace"), "utf8")).toBe(EARLIER);
    });
  });
});
