/**
 * Drivers in a real Linux guest, through a true hibernation: the kernel writes its image to a disk, the QEMU process ends, and
 * another one wakes it. Debian's kernels, under software emulation.
 *
 * What a run shows of requirements is in its checks. The names here claim none: whoever puts a weakness back into the sources,
 * to see a test go red, would wait minutes for a guest that runs what was built before.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildRouteMap } from "@stricli/core";
import { afterAll, describe, expect, it } from "vitest";
import { linuxCommand } from "../src/commands/linux.ts";
import { runApplication } from "../src/commands/run-application.ts";
import type { LinuxCheck, LinuxSummary } from "../src/report/linux-record.ts";

const DEADLINE_MS = 900_000;
const folder = mkdtempSync(join(tmpdir(), "virtgpu-guest-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const root = buildRouteMap({ routes: { linux: linuxCommand }, docs: { brief: "for tests" } });

async function guest(...args: readonly string[]): Promise<{ code: number; summary: LinuxSummary }> {
  let [out, err] = ["", ""];
  const collected = {
    stdout: { write: (text: string): void => void (out += text) },
    stderr: { write: (text: string): void => void (err += text) },
  };
  const small = ["--size", "640x400", "--json"];
  const code = await runApplication(root, ["linux", ...small, ...args], { process: collected, folder });
  if (out === "") throw new Error(`no verdict; it said: ${err}`);
  return { code, summary: JSON.parse(out) };
}

const failed = ({ checks }: LinuxSummary): readonly string[] =>
  checks.filter(({ result }) => result === "fail").map(({ name, detail }) => `${name}: ${detail}`);

const found = ({ checks }: LinuxSummary, start: string): LinuxCheck | undefined =>
  checks.find(({ name }) => name.startsWith(start));

describe("our driver in user space, in a guest that hibernates to its disk", () => {
  it(
    "shows both outputs, 64 off-screen buffers and the cursor in a new QEMU process",
    async () => {
      const { code, summary } = await guest("--objects", "64");
      expect(failed(summary)).toEqual([]);
      expect(summary.verdict).toBe("came-back");
      expect(code).toBe(0);
      expect(summary.evidence).toMatchObject([{ isNewProcess: true, exitCode: 0, lost: 0 }]);
      expect(summary.evidence[0]?.events).toEqual(["SUSPEND_DISK", "SHUTDOWN"]);
      expect(found(summary, "off-screen objects (image)")?.detail).toMatch(/^all 64 shown/);
      expect(found(summary, "the cursor")?.result).toBe("pass");
      expect(found(summary, "output 1")?.result).toBe("pass");
    },
    DEADLINE_MS,
  );

  it(
    "does so behind an IOMMU, which lets a device without bus mastering reach nothing",
    async () => {
      const { code, summary } = await guest("--way", "vfio", "--objects", "8");
      expect(failed(summary)).toEqual([]);
      expect([summary.verdict, code]).toEqual(["came-back", 0]);
      expect(summary.subject.devices).toEqual([expect.stringContaining("iommu_platform=on")]);
    },
    DEADLINE_MS,
  );

  it(
    "is as it was after a hibernation that fails for want of swap",
    async () => {
      const { code, summary } = await guest("--sleep", "abort-image", "--objects", "8");
      expect(failed(summary)).toEqual([]);
      expect([summary.verdict, code]).toEqual(["came-back", 0]);
      expect(summary.evidence).toMatchObject([{ isNewProcess: false, sleepError: expect.stringMatching(/^E/) }]);
    },
    DEADLINE_MS,
  );
});

describe("the kernel's own driver, in a guest that hibernates to its disk", () => {
  it(
    "never comes back without the patches, for its queues are not set up again",
    async () => {
      const { code, summary } = await guest("--driver", "kernel", "--objects", "8");
      expect([summary.verdict, code]).toEqual(["never", 1]);
      expect(summary.reason).toMatch(/^its queues were never enabled again/);
      expect(summary.evidence).toMatchObject([{ isNewProcess: true, sleepError: null }]);
    },
    DEADLINE_MS,
  );

  it(
    "comes back where it is unbound for the sleep",
    async () => {
      const { code, summary } = await guest("--driver", "kernel", "--remedy", "--objects", "8");
      expect(failed(summary)).toEqual([]);
      expect([summary.verdict, code]).toEqual(["came-back", 0]);
    },
    DEADLINE_MS,
  );
});
