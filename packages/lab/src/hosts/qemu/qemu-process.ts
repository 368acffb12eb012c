/**
 * One QEMU process, on a leash: it never outlives us, and leaves no file behind.
 *
 * QEMU runs below a small shell that holds the other end of our pipe. When the pipe closes, whether we close it or our
 * process dies (SIGKILL included), the shell kills QEMU with SIGKILL and removes the private folder with its FIFOs and
 * sockets. RAM and QMP are inherited descriptors without a name. Guest code there is none: the processor executes a
 * halt instruction at its reset vector, so nothing but us touches RAM and devices.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, closeSync, constants, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, isAbsolute, join } from "node:path";
import { Duplex } from "node:stream";
import { GpuError } from "@virtgpu/core/base";
import { decodePpm, type RgbPicture } from "./ppm.ts";
import { ErrorLog } from "./error-log.ts";
import { leashScript } from "./leash.ts";
import { createPrivateFolder } from "./private-folder.ts";
import { QmpClient } from "./qmp-client.ts";
import type { QtestChannel } from "./qtest-channel.ts";

/** The program, as it is found in PATH. */
export const QEMU_BINARY = "qemu-system-x86_64";

/** What {@link QemuProcess.start} needs. */
export interface QemuProcessOptions {
  /** Program name or absolute path ({@link QEMU_BINARY} unless given). */
  readonly binary?: string;
  /** Arguments besides those for display, firmware, qtest and QMP. `{folder}` stands for the private folder. */
  readonly args: readonly string[];
  /** Open descriptor that QEMU inherits as descriptor 3 (the RAM file), or null. */
  readonly ramFd: number | null;
  /** Attached to the new QEMU, closed at its end. */
  readonly channel: QtestChannel;
  /** How long QEMU may take to greet us, in milliseconds (30,000 unless given). */
  readonly startDeadlineMs?: number;
}

/** How a QEMU ended. */
export interface QemuExit {
  /** Exit code; 137 after SIGKILL. */
  readonly code: number;
  /** Whether {@link QemuProcess.kill} ended it. */
  readonly killed: boolean;
}

/** Descriptors: 3 RAM, 4 QMP. */
const LEASH = leashScript([3, 4], 'mkfifo -m 600 "$folder/qtest.in" "$folder/qtest.out" || exit 126');

const RESET_VECTOR = 0xfff0;

/** A firmware image of 64 KiB that stops the processor: cli; hlt; jump back, at the reset vector. */
function haltFirmware(): Uint8Array {
  const image = new Uint8Array(65536).fill(0xf4);
  image.set([0xfa, 0xf4, 0xeb, 0xfd], RESET_VECTOR);
  return image;
}

/** The absolute path of the program. Throws GpuError ENODEV that names the package to install. */
export function findQemu(binary: string = QEMU_BINARY): string {
  const candidates = isAbsolute(binary)
    ? [binary]
    : (process.env["PATH"] ?? "").split(delimiter).map((folder) => join(folder, binary));
  for (const candidate of candidates) {
    try {
      accessSync(candidate, constants.X_OK);
      return candidate;
    } catch {
      continue;
    }
  }
  throw new GpuError(
    "ENODEV",
    `there is no program ${binary}; on Debian or Ubuntu install it with: apt-get install qemu-system-x86`,
    { device: "qemu" },
  );
}

/** A running QEMU with its control connection; its registers are reached through the channel it was started with. */
export class QemuProcess {
  /** Private folder of this process; gone when it has ended. */
  readonly folder: string;
  readonly qmp: QmpClient;
  /** Resolves when QEMU has ended and all it wrote was taken in. Never rejects. */
  readonly exited: Promise<QemuExit>;
  readonly #child: ChildProcess;
  readonly #channel: QtestChannel;
  readonly #errors: ErrorLog;
  #exit: QemuExit | null = null;
  #killed = false;
  #dumps = 0;

  private constructor(child: ChildProcess, control: Duplex, folder: string, errors: ErrorLog, channel: QtestChannel) {
    this.#child = child;
    this.folder = folder;
    this.#channel = channel;
    this.#errors = errors;
    child.stdin?.on("error", () => {});
    this.exited = new Promise((resolve) => {
      child.once("error", () => this.#ended(1, resolve));
      child.once("close", (code) => this.#ended(code ?? 137, resolve));
    });
    this.qmp = new QmpClient(control);
  }

  /** Starts QEMU and waits until its channels work. Throws GpuError: ENODEV (no such program), EINVAL (it refused its arguments). */
  static async start(options: QemuProcessOptions): Promise<QemuProcess> {
    const program = findQemu(options.binary);
    const folder = createPrivateFolder();
    let started: QemuProcess;
    try {
      started = QemuProcess.#spawn(program, folder, options);
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw new GpuError("ENODEV", "QEMU could not be started", { device: "qemu", cause: error });
    }
    await started.#connect(options);
    return started;
  }

  static #spawn(program: string, folder: string, options: QemuProcessOptions): QemuProcess {
    const firmware = join(folder, "halt.bin");
    writeFileSync(firmware, haltFirmware(), { mode: 0o600 });
    const errors = new ErrorLog(folder);
    const args = commandLine(firmware, folder, options.args);
    const child = spawn("/bin/sh", ["-c", LEASH, "sh", folder, program, ...args], {
      stdio: ["pipe", "ignore", errors.fd, options.ramFd ?? "ignore", "pipe"],
      detached: true,
    });
    const control = child.stdio[4];
    if (!(control instanceof Duplex)) throw new GpuError("ENODEV", "no socket for QEMU's control connection");
    return new QemuProcess(child, control, folder, errors, options.channel);
  }

  /** Whether it runs (as far as we have heard). */
  get isRunning(): boolean {
    return this.#exit === null;
  }

  /** What QEMU wrote to its error stream: its own complaints, and the guest's errors where they are logged. */
  get errorLines(): readonly string[] {
    return this.#errors.lines;
  }

  /** The result of `work`, or GpuError ENODEV as soon as QEMU has ended. */
  async orExit<T>(work: Promise<T>): Promise<T> {
    const ended = this.exited.then((exit): never => {
      throw new GpuError("ENODEV", this.#exitSentence(exit), { device: "qemu" });
    });
    return Promise.race([work, ended]);
  }

  /** What a display shows. `device` and `head` name the output; without them the first console. */
  async screendump(output?: { readonly device: string; readonly head: number }): Promise<RgbPicture> {
    this.#dumps += 1;
    const filename = join(this.folder, `dump-${this.#dumps}.ppm`);
    this.#channel.drain();
    await this.orExit(this.qmp.execute("screendump", { filename, format: "ppm", ...output }));
    const picture = decodePpm(readFileSync(filename));
    rmSync(filename);
    return picture;
  }

  /** SIGKILL, as a power cut: nothing is flushed, nothing said. Resolves when the process is gone. */
  async kill(): Promise<QemuExit> {
    if (this.#exit !== null) return this.#exit;
    this.#killed = true;
    this.#channel.close("it was killed");
    this.#child.stdin?.destroy();
    return this.exited;
  }

  async #connect(options: QemuProcessOptions): Promise<void> {
    const deadlineMs = options.startDeadlineMs ?? 30_000;
    const early = this.exited.then((exit): never => {
      const said = this.#errors.lines.join("\n").trim();
      throw new GpuError(
        "EINVAL",
        `QEMU ended at its start (exit code ${exit.code})${said === "" ? "" : `; it said: ${said}`}`,
        { device: "qemu" },
      );
    });
    early.catch(() => {});
    try {
      await withDeadline(Promise.race([this.#ready(), early]), deadlineMs, "QEMU did not start");
      this.#openChannel(options.channel);
    } catch (error) {
      await this.kill();
      if (error instanceof GpuError) throw error;
      throw new GpuError("ENODEV", "QEMU ended at its start", { device: "qemu", cause: error });
    }
  }

  /** QMP's own failure at QEMU's end says less than QEMU's exit: it leaves the word to that. */
  async #ready(): Promise<void> {
    try {
      await this.qmp.ready;
    } catch {
      await this.exited;
    }
  }

  /** QEMU holds both FIFOs open for reading and writing once it has greeted us, so neither open waits or fails. */
  #openChannel(channel: QtestChannel): void {
    const output = join(this.folder, "qtest.out");
    const input = join(this.folder, "qtest.in");
    const readFd = openSync(output, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const writeFd = openSync(input, constants.O_WRONLY | constants.O_NONBLOCK);
      channel.attach(readFd, writeFd);
    } catch (error) {
      closeSync(readFd);
      throw error;
    }
    rmSync(output);
    rmSync(input);
  }

  #ended(code: number, resolve: (exit: QemuExit) => void): void {
    if (this.#exit !== null) return;
    this.#errors.close();
    this.#exit = { code, killed: this.#killed };
    this.#channel.close(this.#killed ? "it was killed" : `it ended with exit code ${code}`);
    this.qmp.close("it ended");
    rmSync(this.folder, { recursive: true, force: true });
    resolve(this.#exit);
  }

  #exitSentence(exit: QemuExit): string {
    const last = this.#errors.lines.at(-1);
    const how = exit.killed ? "was killed" : `ended with exit code ${exit.code}`;
    return `QEMU ${how}${last === undefined || exit.killed ? "" : `; its last words: ${last}`}`;
  }
}

/** Rejects with GpuError ETIMEDOUT unless `work` is settled in time. */
export async function withDeadline<T>(work: Promise<T>, deadlineMs: number, sentence: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new GpuError("ETIMEDOUT", `${sentence} within ${deadlineMs} ms`, { device: "qemu" })),
      deadlineMs,
    );
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A guest's power-off stops QEMU instead of ending it: 7.2 aborts in its own clean-up while qtest is on a FIFO. */
function commandLine(firmware: string, folder: string, args: readonly string[]): string[] {
  const groups = [
    ["-accel", "tcg", "-bios", firmware, "-display", "none", "-nodefaults", "-no-user-config", "-no-shutdown"],
    ["-chardev", `pipe,id=qtest,path=${folder}/qtest`, "-object", "qtest,id=qtest0,chardev=qtest,log=none"],
    ["-chardev", "socket,id=qmp,fd=4", "-mon", "chardev=qmp,mode=control"],
    args.map((argument) => argument.replaceAll("{folder}", folder)),
  ];
  return groups.flat();
}
