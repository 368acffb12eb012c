/**
 * The lab's Linux machine in QEMU: one life of a guest, through as many QEMU processes as it sleeps. See linux-vm.ts.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { GpuError } from "@virtgpu/core/base";
import type { AgentCall, AgentCalls } from "@virtgpu/linux/agent";
import type { RgbPicture } from "../../hosts/qemu/ppm.ts";
import { withDeadline } from "../../hosts/qemu/qemu-process.ts";
import { RfbClient } from "../../hosts/qemu/rfb-client.ts";
import { AgentChannel } from "./agent-channel.ts";
import { qemuArguments } from "./command-line.ts";
import { ConsoleLog } from "./console-log.ts";
import { INIT_SAYS } from "./init-script.ts";
import type { BootChanges, LinuxVm, LinuxVmOptions, ProcessEnd, QueueStatus } from "./linux-vm.ts";
import { readQueueStatus } from "./queue-status.ts";
import { SwapDisk } from "./swap-disk.ts";
import { VmProcess } from "./vm-process.ts";

const DEFAULT_DEADLINE_MS = 300_000;
const QUICK_DEADLINE_MS = 30_000;
const LINES_SHOWN = 12;

/** Waits for the agent's first word behind a new process. */
interface Waiter {
  resolve(): void;
  reject(error: GpuError): void;
}

/** A {@link LinuxVm} in QEMU. */
export class QemuLinuxVm implements LinuxVm {
  readonly #options: LinuxVmOptions;
  readonly #deadlineMs: number;
  readonly #swap: SwapDisk | null;
  readonly #agent: AgentChannel;
  readonly #console = new ConsoleLog();
  readonly #pastErrors: string[] = [];
  #process: VmProcess | null = null;
  #waiter: Waiter | null = null;
  /** Where the console's lines of the latest process begin. */
  #bootLine = 0;
  #isDisposed = false;

  constructor(options: LinuxVmOptions) {
    this.#options = options;
    this.#deadlineMs = options.deadlineMs ?? DEFAULT_DEADLINE_MS;
    qemuArguments(options);
    this.#swap = options.swap === 0 ? null : new SwapDisk(options.swap);
    this.#agent = new AgentChannel({
      alive: () => this.#waiter?.resolve(),
      failed: (reason) => this.#agentFailed(reason),
      noise: (line) => this.#console.note(`on the agent's port: ${line}`),
    });
  }

  get errors(): readonly string[] {
    return [...this.#pastErrors, ...(this.#process?.errorLines ?? [])];
  }

  get console(): readonly string[] {
    return this.#console.lines;
  }

  get events(): readonly string[] {
    return this.#process?.end?.events ?? this.#process?.qmp.events.map(({ event }) => event) ?? [];
  }

  async boot(changes: BootChanges = {}): Promise<void> {
    if (this.#isDisposed) throw new GpuError("ENODEV", "the machine was given up");
    if (this.#process !== null && this.#process.end === null) throw new GpuError("EBUSY", "the machine runs already");
    this.#pastErrors.push(...(this.#process?.errorLines ?? []));
    this.#process = null;
    const args = qemuArguments({ ...this.#options, ...changes });
    const started = await VmProcess.start({
      qemu: this.#options.qemu,
      args,
      swap: this.#swap,
    });
    if (this.#isDisposed) {
      await started.kill();
      throw new GpuError("ENODEV", "the machine was given up");
    }
    this.#process = started;
    this.#bootLine = this.#console.lines.length;
    this.#console.attach(started.console);
    const alive = new Promise<void>((resolve, reject) => {
      this.#waiter = { resolve, reject };
    });
    alive.catch(() => {});
    this.#agent.attach(started.agent);
    void started.exited.then((end) => this.#processEnded(started, end));
    try {
      await this.#within(alive, this.#deadlineMs, "the agent did not answer");
    } finally {
      this.#waiter = null;
    }
  }

  call<Call extends AgentCall>(
    call: Call,
    parameters: AgentCalls[Call]["with"],
    deadlineMs: number = this.#deadlineMs * 2,
  ): Promise<AgentCalls[Call]["result"]> {
    const answer = this.#within(this.#agent.call(call, parameters), deadlineMs, `the agent did not answer to ${call}`);
    // Who sleeps looks at the answer only behind the next boot; a boot that fails in between says it all.
    answer.catch(() => {});
    return answer;
  }

  async ended(deadlineMs: number = this.#deadlineMs): Promise<ProcessEnd> {
    return this.#within(this.#latest().exited, deadlineMs, "the machine did not switch itself off");
  }

  async event(name: string, deadlineMs: number = this.#deadlineMs): Promise<void> {
    const { qmp } = this.#running();
    if (qmp.events.some(({ event }) => event === name)) return;
    await this.#within(qmp.nextEvent(name), deadlineMs, `there was no event ${name}`);
  }

  async said(text: string, deadlineMs: number = this.#deadlineMs): Promise<string> {
    const ended = this.#process?.exited.then((): never => {
      throw this.#error("ENODEV", `the machine ended before its console said "${text}"`);
    });
    ended?.catch(() => {});
    const heard = this.#console.said(text);
    const line = ended === undefined ? heard : Promise.race([heard, ended]);
    return this.#within(line, deadlineMs, `the console did not say "${text}"`);
  }

  async wake(): Promise<void> {
    const { qmp } = this.#running();
    try {
      await qmp.execute("system_wakeup");
    } catch (error) {
      // QEMU wakes only from S3; a guest that idles is woken by its power button.
      if (!(error instanceof GpuError) || error.code !== "EIO") throw error;
      await qmp.execute("system_powerdown");
    }
  }

  async cutPower(): Promise<ProcessEnd> {
    return this.#latest().kill();
  }

  async screendump(gpu: number, output: number): Promise<RgbPicture> {
    const dump = this.#running().screendump(`gpu${gpu}`, output);
    return this.#within(dump, QUICK_DEADLINE_MS, "QEMU gave no screen dump");
  }

  async rfb(gpu: number, output: number): Promise<RfbClient> {
    const path = join(this.#running().folder, `gpu${gpu}-${output}.vnc`);
    if (this.#options.rfb !== true || !existsSync(path)) {
      throw new GpuError("ENOTSUP", "there is no VNC server for this output: make the machine with rfb: true");
    }
    return this.#within(RfbClient.connect(path), QUICK_DEADLINE_MS, "the VNC server did not answer");
  }

  async queue(gpu: number, queue: number): Promise<QueueStatus> {
    const status = readQueueStatus(this.#running().qmp, `gpu${gpu}`, queue);
    return this.#within(status, QUICK_DEADLINE_MS, "QEMU did not tell its queue's state");
  }

  async qmp(command: string, parameters: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    return this.#within(this.#running().qmp.execute(command, parameters), QUICK_DEADLINE_MS, "QEMU did not answer");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    await this.#process?.kill();
    this.#agent.fail(new GpuError("ENODEV", "the machine was given up"));
    this.#swap?.close();
  }

  #latest(): VmProcess {
    if (this.#process === null) throw new GpuError("ENODEV", "the machine was never started");
    return this.#process;
  }

  #running(): VmProcess {
    const latest = this.#latest();
    if (latest.end !== null) throw new GpuError("ENODEV", "the machine does not run");
    return latest;
  }

  #processEnded(process: VmProcess, end: ProcessEnd): void {
    if (this.#process !== process) return;
    this.#agent.detach();
    const how = endSentence(end, process.errorLines);
    const refused = refusedImage(this.#console.lines.slice(this.#bootLine));
    const sentence = refused ?? `the machine ended before its agent answered (${how})`;
    this.#waiter?.reject(this.#error("ENODEV", sentence));
    this.#waiter = null;
  }

  #agentFailed(reason: string): void {
    const error = this.#error("EIO", `the agent ended: ${reason}`);
    this.#waiter?.reject(error);
    this.#agent.fail(error);
  }

  /** ETIMEDOUT with the console's last lines unless `work` is settled in time. */
  async #within<T>(work: Promise<T>, deadlineMs: number, sentence: string): Promise<T> {
    try {
      return await withDeadline(work, deadlineMs, sentence);
    } catch (error) {
      if (error instanceof GpuError && error.code === "ETIMEDOUT" && error.message.includes(sentence)) {
        throw this.#error("ETIMEDOUT", `${sentence} within ${deadlineMs} ms`);
      }
      throw error;
    }
  }

  #error(code: "ENODEV" | "EIO" | "ETIMEDOUT", sentence: string): GpuError {
    const last = this.#console.lines.slice(-LINES_SHOWN);
    const said = last.length === 0 ? "; the console said nothing" : `; the console's last lines:\n${last.join("\n")}`;
    return new GpuError(code, `${sentence}${said}`, { device: "qemu" });
  }
}

/** The sentence for a kernel that did not take its image (its words: kernel/power/snapshot.c), or null. */
function refusedImage(lines: readonly string[]): string | null {
  if (!lines.some((line) => line.startsWith(`${INIT_SAYS} the image was not resumed`))) return null;
  const reason = lines.flatMap((line) => /Image mismatch: (.*)$/.exec(line)?.[1] ?? []).at(0);
  return reason === undefined
    ? "the kernel did not take its image back"
    : `the kernel did not take its image back, as this machine is not the one that it left (mismatch: ${reason})`;
}

function endSentence(end: ProcessEnd, errors: readonly string[]): string {
  const how = end.signal === null ? `exit code ${end.code}` : `${end.signal}`;
  const last = errors.at(-1);
  return last === undefined ? how : `${how}; QEMU's last words: ${last}`;
}
