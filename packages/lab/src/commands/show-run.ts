/** `virtgpu show`. */
import { resolve } from "node:path";
import { GpuError } from "@virtgpu/core/base";
import type * as linuxPackage from "@virtgpu/linux";
import { readPicture } from "../scenarios/scene/picture-file.ts";
import { UsageError } from "../usage-error.ts";
import type { LabContext } from "./context.ts";
import type { ShowFlags } from "./show.ts";
import { untilInterrupted } from "./until-interrupted.ts";

/** What the package has; it is loaded only when it is needed. */
type LinuxPackage = typeof linuxPackage;

/** Exit code 1: something did not come back. */
const LOST = 1;

/** See the file's head. */
export async function runShowCommand(this: LabContext, flags: ShowFlags, ...paths: string[]): Promise<void> {
  const { process: own, folder = process.cwd() } = this;
  const pictures = paths.map((path) => readPicture(resolve(folder, path), path));
  const linux = await loadLinuxPackage();
  assertRoot();
  const say = (line: string): void => own.stdout.write(`${line}\n`);
  const options = {
    pictures,
    gpus: flags.gpu ?? [],
    way: flags.way,
    memory: flags.memory,
    all: flags.all,
    hibernate: flags.hibernate ? flags.mode : null,
    logind: flags.logind,
    durationMs: flags.seconds === undefined ? null : flags.seconds * 1000,
  };
  try {
    const isWhole = await untilInterrupted((signal) => linux.showPictures(options, { say, signal }));
    own.exitCode = isWhole ? 0 : LOST;
  } catch (error) {
    if (error instanceof GpuError && error.code === "EINVAL") throw new UsageError(error.message);
    throw error;
  }
}

/** The package is optional: it needs Linux. */
async function loadLinuxPackage(): Promise<LinuxPackage> {
  if (process.platform !== "linux") throw new UsageError(`this needs Linux, and runs on ${process.platform}`);
  try {
    return await import("@virtgpu/linux");
  } catch (error) {
    const isMissing = error instanceof Error && "code" in error && error.code === "ERR_MODULE_NOT_FOUND";
    if (isMissing) throw new UsageError("this needs the package @virtgpu/linux: npm install @virtgpu/linux");
    throw error;
  }
}

function assertRoot(): void {
  if (process.getuid?.() !== 0) throw new UsageError("taking a GPU over needs root: sudo virtgpu show ...");
}
