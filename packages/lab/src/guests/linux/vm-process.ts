/**
 * One QEMU process of the lab's Linux machine, on a leash: a small shell holds the other end of our pipe, and when the pipe
 * closes, whether we close it or our process dies (SIGKILL included), it kills QEMU and removes the private folder. Control,
 * console, the agent's port and the swap disk are inherited descriptors without a name.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Duplex } from "node:stream";
import { GpuError } from "@virtgpu/core/base";
import { ErrorLog } from "../../hosts/qemu/error-log.ts";
import { decodePpm, type RgbPicture } from "../../hosts/qemu/ppm.ts";
import { createPrivateFolder } from "../../hosts/qemu/private-folder.ts";
import { findQemu, withDeadline } from "../../hosts/qemu/qemu-process.ts";
import { QmpClient } from "../../hosts/qemu/qmp-client.ts";
import { leashScript } from "../../hosts/qemu/leash.ts";
import type { ProcessEnd } from "./linux-vm.ts";
import type { SwapDisk } from "./swap-disk.ts";

/** Descriptors: 3 QMP, 4 console, 5 agent, 6 and 7 swap. */
const LEASH = leashScript([3, 4, 5, 6, 7]);

const START_DEADLINE_MS = 60_000;
const SIGNALS: ReadonlyMap<number, string> = new Map([
  [134, "SIGABRT"],
  [137, "SIGKILL"],
  [139, "SIGSEGV"],
  [143, "SIGTERM"],
]);

/**
 * On q35, SeaBIOS reaches for PCI configuration space by its memory window (0xb0000000, 256 MiB) before it has switched it on
 * again after S3. No RAM and no BAR ever lies there, so no device can be meant.
 */
const FIRMWARE_NOISE = /^Invalid (read|write) at addr 0xB[0-9A-F]{7}, size \d+, region '\(null\)', reason: rejected$/;

/** What a process is started with. */
export interface VmProcessOptions {
  readonly qemu: string;
  /** `{folder}` stands for the private folder. */
  readonly args: readonly string[];
  readonly swap: SwapDisk | null;
}

/** A QEMU that runs, or has ended. */
export class VmProcess {
  readonly folder: string;
  readonly qmp: QmpClient;
  readonly console: Duplex;
  readonly agent: Duplex;
  /** Resolves when it has ended and all that it wrote was taken in. Never rejects. */
  readonly exited: Promise<ProcessEnd>;
  readonly #child: ChildProcess;
  readonly #errors: ErrorLog;
  #end: ProcessEnd | null = null;
  #dumps = 0;

  private constructor(child: ChildProcess, folder: string, errors: ErrorLog) {
    this.#child = child;
    this.folder = folder;
    this.#errors = errors;
    child.stdin?.on("error", () => {});
    this.exited = new Promise((resolve) => {
      child.once("error", () => this.#ended(1, resolve));
      child.once("close", (code) => this.#ended(code ?? 137, resolve));
    });
    this.console = duplex(child, 4);
    this.agent = duplex(child, 5);
    this.console.on("error", () => {});
    this.qmp = new QmpClient(duplex(child, 3));
  }

  /** Starts QEMU; resolves when it takes orders. Throws GpuError: ENODEV (no such program), EINVAL (it refused its arguments). */
  static async start(options: VmProcessOptions): Promise<VmProcess> {
    const program = findQemu(options.qemu);
    const folder = createPrivateFolder();
    let started: VmProcess;
    try {
      started = VmProcess.#spawn(program, folder, options);
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw new GpuError("ENODEV", "QEMU could not be started", { device: "qemu", cause: error });
    }
    try {
      await withDeadline(started.#greeted(), START_DEADLINE_MS, "QEMU did not start");
    } catch (error) {
      await started.kill();
      throw error;
    }
    return started;
  }

  static #spawn(program: string, folder: string, options: VmProcessOptions): VmProcess {
    const errors = new ErrorLog(folder);
    const args = options.args.map((argument) => argument.replaceAll("{folder}", folder));
    const swap = [options.swap?.fd ?? "ignore", options.swap?.readFd ?? "ignore"] as const;
    const child = spawn("/bin/sh", ["-c", LEASH, "sh", folder, program, ...args], {
      stdio: ["pipe", "ignore", errors.fd, "pipe", "pipe", "pipe", ...swap],
      detached: true,
    });
    return new VmProcess(child, folder, errors);
  }

  /** How it ended, or null while it runs. */
  get end(): ProcessEnd | null {
    return this.#end;
  }

  /** What QEMU wrote to its error stream, except what its own firmware does in an S3 wake-up. */
  get errorLines(): readonly string[] {
    return this.#errors.lines.filter((line) => !FIRMWARE_NOISE.test(line));
  }

  /** What a display shows. */
  async screendump(device: string, head: number): Promise<RgbPicture> {
    this.#dumps += 1;
    const filename = join(this.folder, `dump-${this.#dumps}.ppm`);
    await this.qmp.execute("screendump", { filename, format: "ppm", device, head });
    const picture = decodePpm(readFileSync(filename));
    rmSync(filename);
    return picture;
  }

  /** SIGKILL, as a power cut. */
  async kill(): Promise<ProcessEnd> {
    if (this.#end === null) this.#child.stdin?.destroy();
    return this.exited;
  }

  async #greeted(): Promise<void> {
    const early = this.exited.then(({ code }): never => {
      const said = this.#errors.lines.join("; ").trim();
      throw new GpuError(
        "EINVAL",
        `QEMU ended at its start (exit code ${code})${said === "" ? "" : `; it said: ${said}`}`,
        { device: "qemu" },
      );
    });
    early.catch(() => {});
    // QMP's own failure at QEMU's end says less than QEMU's last words.
    await Promise.race([early, this.qmp.ready.catch(async () => early)]);
  }

  #ended(code: number, resolve: (end: ProcessEnd) => void): void {
    if (this.#end !== null) return;
    this.#errors.close();
    this.#end = { code, signal: SIGNALS.get(code) ?? null, events: this.qmp.events.map(({ event }) => event) };
    this.qmp.close("it ended");
    rmSync(this.folder, { recursive: true, force: true });
    resolve(this.#end);
  }
}

function duplex(child: ChildProcess, index: number): Duplex {
  const stream = child.stdio[index];
  if (stream instanceof Duplex) return stream;
  throw new GpuError("ENODEV", "no socket for QEMU's connections");
}
