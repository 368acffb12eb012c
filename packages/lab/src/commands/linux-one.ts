/** One run of `virtgpu linux`, with its report. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { GpuError } from "@virtgpu/core/base";
import { type AcceleratorWish, chooseAccelerator, probeAccelerator } from "../guests/linux/accelerator.ts";
import type { Accelerator } from "../guests/linux/linux-vm.ts";
import { QemuLinuxVm } from "../guests/linux/qemu-linux-vm.ts";
import { createNodeClock } from "../hosts/node-clock.ts";
import type { LinuxRecord } from "../report/linux-record.ts";
import { writeLinuxReport } from "../report/write-linux-report.ts";
import { type LifeWatcher, runLife } from "../scenarios/linux/life.ts";
import { makeLinuxRecord, reportPictures, subjectOf } from "../scenarios/linux/record.ts";
import { prepareMachine } from "../scenarios/linux/setup.ts";
import { asMachine } from "../scenarios/linux/vm-machine.ts";
import { UsageError } from "../usage-error.ts";
import { commandLine } from "./command-line.ts";
import type { LinuxFlags } from "./linux.ts";
import { type AgentParts, findKernelSource, type LinuxRunPlan, makeLinuxPlan } from "./linux-plan.ts";
import { ownVersion } from "./own-version.ts";
import { untilInterrupted } from "./until-interrupted.ts";

/** What a run leaves: its record, and its report's page. */
export interface LinuxRun {
  readonly record: LinuxRecord;
  readonly page: string;
}

/** Tells nobody. */
export const SILENT: LifeWatcher = { stage: () => {}, note: () => {} };

/** One run with its report. */
export async function runOne(flags: LinuxFlags, here: string, folder: string, watcher: LifeWatcher): Promise<LinuxRun> {
  const startedAt = new Date();
  const agent = await loadAgentParts();
  // Mistakes in what was typed come before a kernel is built.
  makeLinuxPlan(flags, null, agent);
  watcher.stage("prepare kernel and disks");
  const kernel = await untilInterrupted((signal) => {
    return findKernelSource(flags, here, (line) => tellOfBuild(line, watcher), signal);
  });
  const planned = makeLinuxPlan(flags, kernel, agent);
  const { outcome, subject, console } = await untilInterrupted((signal) => {
    return liveOnce(planned, watcher, signal, flags.accel);
  });
  const record = makeLinuxRecord(
    {
      commandLine: commandLine(),
      options: optionsOf(flags),
      versions: { virtgpu: ownVersion(), node: process.version, platform: `${process.platform} ${process.arch}` },
      startedAt: startedAt.toISOString(),
      durationMs: Date.now() - startedAt.getTime(),
    },
    subject,
    outcome,
    console,
  );
  const files = writeLinuxReport(folder, record, reportPictures(outcome, planned.plan.outputs.length));
  if (flags.keep) writeFileSync(join(folder, "console.log"), `${console.join("\n")}\n`);
  return { record, page: files.find((file) => file.endsWith(".html")) ?? folder };
}

/** What make does file by file is nobody's news. */
function tellOfBuild(line: string, watcher: LifeWatcher): void {
  if (!/^\s*(?:[A-Z][A-Z0-9_]+\s{2,}|make\b)/.test(line)) watcher.note(line);
}

/** For people. */
const ACCELERATORS: Readonly<Record<Accelerator, string>> = { tcg: "software emulation", kvm: "KVM" };

/** The machine for as long as it lives. */
export async function liveOnce(
  { plan, setup, hard }: LinuxRunPlan,
  watcher: LifeWatcher,
  signal: AbortSignal,
  accel: AcceleratorWish = "tcg",
): Promise<Lived> {
  const prepared = await prepareMachine(setup);
  const { qemu, machine: board, boot } = prepared;
  const { accelerator, reason } = await chooseAccelerator(accel, () => probeAccelerator(qemu, board, boot));
  if (accel !== "tcg") watcher.note(`${ACCELERATORS[accelerator]}: ${reason}`);
  const options = { ...prepared, accelerator };
  await using vm = new QemuLinuxVm(options);
  const onAbort = (): void => void vm[Symbol.asyncDispose]();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    signal.throwIfAborted();
    const machine = asMachine(vm, hard.changes?.(setup) ?? {});
    const outcome = await runLife(plan, machine, createNodeClock(), watcher);
    if (signal.aborted) throw new GpuError("ECANCELED", "the run was interrupted");
    return {
      outcome,
      subject: {
        ...subjectOf(setup, options, qemuVersion(setup.qemu), plan.remedy),
        accelerator: accel === "auto" ? `${ACCELERATORS[accelerator]} (${reason})` : ACCELERATORS[accelerator],
      },
      console: [...vm.console],
    };
  } catch (error) {
    if (signal.aborted) throw new GpuError("ECANCELED", "the run was interrupted");
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** What a life leaves. */
export interface Lived {
  readonly outcome: Awaited<ReturnType<typeof runLife>>;
  readonly subject: LinuxRecord["subject"];
  readonly console: readonly string[];
}

/** What is needed of the agent. Throws UsageError where its package is not installed. */
export async function loadAgentParts(): Promise<AgentParts> {
  try {
    const { pattern, LIVE_SAYS } = await import("@virtgpu/linux/agent");
    return { pattern, liveSays: LIVE_SAYS };
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : null;
    if (code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw new UsageError("virtgpu linux needs the package @virtgpu/linux: npm install @virtgpu/linux");
  }
}

function qemuVersion(program: string): string {
  const text = execFileSync(program, ["--version"], { encoding: "utf8" });
  return /^QEMU emulator (version \S+)/.exec(text)?.[1]?.replace("version", "QEMU") ?? "QEMU";
}

function optionsOf({ size, sleep, patch, compare, ...plain }: LinuxFlags): LinuxRecord["options"] {
  return {
    ...plain,
    sleep,
    ...(size === undefined ? {} : { size: `${size.width}x${size.height}` }),
    ...(patch === undefined ? {} : { patch }),
    ...(compare === undefined ? {} : { compare }),
  };
}
