/**
 * A machine in v86 for tests: the ready guest, with a virtio-gpu attached, and its serial port as a shell.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { V86 } from "v86";
import { type V86GuestFiles, prepareV86Guest, SHELL_PROMPT } from "../../../lab/src/guests/v86/index.ts";
import { type V86Gpu, type VirtioGpuOptions, attachVirtioGpu } from "../../src/index.ts";
import { NO_NETWORK } from "./no-network.ts";

const WASM = createRequire(import.meta.url).resolve("v86/build/v86.wasm");
const MEMORY_BYTES = 128 << 20;
const BOOT_DEADLINE_MS = 2_400_000;

/** How a machine is made. */
export interface MachineOptions extends VirtioGpuOptions {
  readonly files?: V86GuestFiles;
  /** Added to the kernel's command line. */
  readonly arguments?: string;
  /** A disk, written in place. */
  readonly disk?: ArrayBuffer;
  /** A state of v86's to begin with. */
  readonly state?: ArrayBuffer;
  /** The disk holds a system that sleeps: nobody waits for a shell. */
  readonly resumes?: boolean;
  readonly hear?: (text: string) => void;
}

/** See the file's head. */
export class TestMachine {
  readonly emulator: V86;
  readonly gpu: V86Gpu;
  readonly problems: string[] = [];
  readonly #started: Promise<void>;
  #output = "";
  #waiter: (() => void) | null = null;

  private constructor(options: MachineOptions, files: V86GuestFiles) {
    const image = (path: string): { buffer: ArrayBuffer } => ({ buffer: new Uint8Array(readFileSync(path)).buffer });
    this.emulator = new V86({
      wasm_path: WASM,
      bios: image(files.bios),
      bzimage: image(files.kernel),
      initrd: image(files.initrd),
      cmdline: `${files.commandLine} ${options.disk === undefined ? "" : "disk=yes"} ${options.arguments ?? ""}`,
      memory_size: MEMORY_BYTES,
      vga_memory_size: 16 << 20,
      net_device: NO_NETWORK,
      disable_speaker: true,
      autostart: true,
      ...(options.disk === undefined ? {} : { hda: { buffer: options.disk } }),
      ...(options.state === undefined ? {} : { initial_state: { buffer: options.state } }),
    });
    this.#started = new Promise((resolve) => this.emulator.add_listener("emulator-started", () => resolve()));
    this.emulator.add_listener("serial0-output-byte", (byte) => {
      this.#output += String.fromCharCode(byte);
      options.hear?.(String.fromCharCode(byte));
      this.#waiter?.();
    });
    this.gpu = attachVirtioGpu(this.emulator, { onProblem: (sentence) => this.problems.push(sentence), ...options });
  }

  /** A machine whose shell answers; one that goes on from a state has it at once. */
  static async boot(options: MachineOptions = {}): Promise<TestMachine> {
    const machine = new TestMachine(options, options.files ?? (await prepareV86Guest()));
    await machine.gpu.attached;
    if (options.state !== undefined) await machine.#started;
    else if (options.resumes !== true) await machine.heard(SHELL_PROMPT);
    return machine;
  }

  /** All that came over the serial port. */
  get output(): string {
    return this.#output;
  }

  /** Waits for a text on the serial port, from `from` in its output; returns what came before it. */
  async heard(text: string, from: number = 0, deadlineMs: number = BOOT_DEADLINE_MS): Promise<string> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiter = null;
        const said = this.#output.slice(-2000);
        reject(
          new Error(
            `the guest did not say ${JSON.stringify(text)}; problems: ${this.problems.join("; ")}; it said: ${said}`,
          ),
        );
      }, deadlineMs);
      const look = (): void => {
        const at = this.#output.indexOf(text, from);
        if (at < 0) return;
        clearTimeout(timer);
        this.#waiter = null;
        resolve(this.#output.slice(from, at));
      };
      this.#waiter = look;
      look();
    });
  }

  /** Runs a line in the guest's shell; what it prints. */
  async run(line: string, deadlineMs?: number): Promise<string> {
    const from = this.#output.length;
    this.emulator.serial0_send(`${line}; echo do''ne\n`);
    const said = await this.heard("done\r\n", from, deadlineMs);
    // What is typed before the shell's prompt is echoed twice: by the terminal, then by the shell.
    return said.slice(said.indexOf("\n", said.lastIndexOf("echo do''ne")) + 1);
  }

  /** Types a line and waits for an answer, leaving the program that it starts at work. */
  async start(line: string, answer: string): Promise<void> {
    const from = this.#output.length;
    this.emulator.serial0_send(`${line}\n`);
    await this.heard(answer, from);
  }

  async stop(): Promise<void> {
    await this.emulator.destroy();
  }
}
