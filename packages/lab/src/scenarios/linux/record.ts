/**
 * From a guest life to the record that its report is made of.
 */
import type { LinuxVmOptions } from "../../guests/linux/linux-vm.ts";
import { LINUX_RECORD_VERSION, type LinuxRecord, type LinuxSubject } from "../../report/linux-record.ts";
import type { Options, Versions } from "../../report/run-record.ts";
import type { ReportPicture } from "../../report/write-report.ts";
import { judgeLife, judgeSleep } from "./judge.ts";
import type { LifeOutcome } from "./life.ts";
import type { DeviceStatus } from "./machine.ts";
import { unbindRemedy } from "./remedy.ts";
import { kernelText, type LinuxSetup, subjectName, usualKernel } from "./setup.ts";

const CONSOLE_LINES = 200;

/** Who ran it, and with which words. */
export interface LinuxFacts {
  readonly commandLine: string;
  readonly options: Options;
  readonly versions: Versions;
  readonly startedAt: string;
  readonly durationMs: number;
}

/** See the file's head. */
export function makeLinuxRecord(
  facts: LinuxFacts,
  subject: LinuxSubject,
  outcome: LifeOutcome,
  console: readonly string[],
): LinuxRecord {
  const sleeps = outcome.observations.map(judgeSleep);
  const { verdict, sentence, reason } = judgeLife(sleeps);
  const isWell = verdict === "came-back";
  const isKernel = subject.driver === "kernel";
  return {
    schemaVersion: LINUX_RECORD_VERSION,
    ...facts,
    subject,
    verdict,
    sentence,
    reason,
    remedy: isKernel && (!isWell || subject.remedy) ? unbindRemedy() : null,
    sleeps,
    notOffered: outcome.notOffered,
    guestLog: outcome.observations.flatMap(({ kernelLines }) => kernelLines),
    hostLog: outcome.observations.flatMap(({ hostLines }) => hostLines),
    console: console.slice(-CONSOLE_LINES),
    queues: outcome.observations.flatMap(({ status }) => (status === null ? [] : queueLines(status))),
  };
}

/** What was tried, for people. */
export function subjectOf(
  setup: LinuxSetup,
  options: LinuxVmOptions,
  qemuVersion: string,
  remedy: boolean,
): Omit<LinuxSubject, "accelerator"> {
  return {
    name: subjectName(setup, remedy),
    driver: setup.driver,
    way: setup.driver === "kernel" ? "drm" : setup.way,
    kernel: options.boot.release,
    source: kernelText(setup.kernel ?? usualKernel(setup.driver)),
    qemu: qemuVersion,
    machine: options.machine,
    devices: options.devices,
    ram: options.memory,
    remedy,
  };
}

function queueLines({ status, queues }: DeviceStatus): readonly string[] {
  const names = ["control", "cursor"];
  return [
    `device status: ${status.join(", ") || "not told"}`,
    ...queues.map(({ queue, size, descriptors, available, used, lastAvailable, usedIndex }) => {
      const hex = (address: number): string => `0x${address.toString(16)}`;
      return `${names[queue] ?? queue} queue: size ${size}, descriptors ${hex(descriptors)}, available ${hex(available)}, used ${hex(used)}, last available ${lastAvailable}, used index ${usedIndex}`;
    }),
  ];
}

/** Pictures for the page: outputs of further GPUs count on. */
export function reportPictures(outcome: LifeOutcome, outputs: number): readonly ReportPicture[] {
  return outcome.pictures.map(({ gpu, output, when, picture }) => ({
    ...picture,
    output: gpu * outputs + output,
    when,
  }));
}
