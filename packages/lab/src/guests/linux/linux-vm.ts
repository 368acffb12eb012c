/**
 * A small Linux machine of the lab's own making, in a QEMU under software emulation: what the scenarios ask of it. A machine
 * lives through several QEMU processes: it sleeps to its swap disk, and the next process wakes the same kernel.
 */
import type { AgentCall, AgentCalls } from "@virtgpu/linux/agent";
import type { RfbClient } from "../../hosts/qemu/rfb-client.ts";

/** How a machine is built. */
export interface LinuxVmOptions {
  /** The QEMU program. */
  readonly qemu: string;
  /** e.g. "q35". */
  readonly machine: string;
  /** GPUs, as `-device` takes them without an id (they get `gpu0`, `gpu1`, ...). */
  readonly devices: readonly string[];
  /** MiB. */
  readonly memory: number;
  /** Kernel, modules, init and the agent's root disk. */
  readonly boot: BootFiles;
  /** Words for the kernel's command line, e.g. "intel_iommu=on". */
  readonly commandLine: readonly string[];
  /** Further QEMU arguments, e.g. an IOMMU; they come before the GPUs. */
  readonly extra: readonly string[];
  /** MiB of the swap disk; 0: none. */
  readonly swap: number;
  /** The agent's arguments, e.g. "--driver", "virtgpu". */
  readonly agent: readonly string[];
  /** Whether each output has a VNC server, for {@link LinuxVm.rfb}. */
  readonly rfb?: boolean;
  /** "tcg" unless given; "kvm" only where {@link probeAccelerator} says so. */
  readonly accelerator?: Accelerator;
  /** Milliseconds for a boot, and for the end of a process (300,000 unless given: a busy computer emulates slowly); a call has twice as much. */
  readonly deadlineMs?: number;
}

/** How QEMU runs the guest's instructions. */
export type Accelerator = "tcg" | "kvm";

/** What the next QEMU process has otherwise than the machine was made with. */
export type BootChanges = Partial<Pick<LinuxVmOptions, "devices" | "memory" | "extra">>;

/** A virtqueue as QEMU has it; addresses are guest physical ones, 0 where the queue is not set up. */
export interface QueueStatus {
  readonly size: number;
  readonly descriptors: number;
  readonly available: number;
  readonly used: number;
  readonly lastAvailable: number;
  readonly usedIndex: number;
}

/** What a machine boots from; all of it made by the lab or unpacked from packages, nothing installed. */
export interface BootFiles {
  /** `uname -r`. */
  readonly release: string;
  readonly kernel: string;
  readonly initramfs: string;
  /** ext4, read-only: Node and its libraries. */
  readonly root: string;
  /** ext4, read-only: the agent and what it needs. */
  readonly app: string;
}

/** How one QEMU process of the machine ended. */
export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: string | null;
  /** Names of the QMP events that it told, in order, e.g. "SUSPEND_DISK", "SHUTDOWN". */
  readonly events: readonly string[];
}

/** The machine as scenarios use it. Every wait has a deadline; its error carries the last lines of the console. */
export interface LinuxVm extends AsyncDisposable {
  /**
   * Starts a QEMU process; resolves at the agent's first word: "ready" after a fresh boot, the answer to `sleep` after a
   * resume. Rejects with the console's last lines when the process ends before, e.g. because the kernel refused its image.
   */
  boot(changes?: BootChanges): Promise<void>;
  /** Calls the agent. A call to sleep stays open from one QEMU process to the next. */
  call<Call extends AgentCall>(
    call: Call,
    parameters: AgentCalls[Call]["with"],
    deadlineMs?: number,
  ): Promise<AgentCalls[Call]["result"]>;
  /** Resolves when this QEMU process has ended by itself. */
  ended(deadlineMs?: number): Promise<ProcessEnd>;
  /** Resolves when this QEMU process has told an event, now or before, e.g. "SUSPEND". */
  event(name: string, deadlineMs?: number): Promise<void>;
  /** The first line of the console with this text in it, now or later. */
  said(text: string, deadlineMs?: number): Promise<string>;
  /** Wakes a machine that sleeps while its QEMU runs: S3 by QEMU's wake-up, s2idle by the power button. */
  wake(): Promise<void>;
  /** SIGKILL to QEMU: the power is gone in the middle of whatever it is. {@link boot} switches on again. */
  cutPower(): Promise<ProcessEnd>;
  /** What an output shows now: 3 bytes a pixel. */
  screendump(gpu: number, output: number): Promise<{ width: number; height: number; rgb: Uint8Array }>;
  /** A new VNC connection to an output, which sees flushes and the cursor. The caller closes it. */
  rfb(gpu: number, output: number): Promise<RfbClient>;
  /** The host's view of a GPU's queue (0 control, 1 cursor). */
  queue(gpu: number, queue: number): Promise<QueueStatus>;
  /** Any QMP command, e.g. to send a key. */
  qmp(command: string, parameters?: Readonly<Record<string, unknown>>): Promise<unknown>;
  /** Names of the QMP events of the latest process so far, in order. */
  readonly events: readonly string[];
  /** All lines of all QEMU processes' standard error (`-d guest_errors`). */
  readonly errors: readonly string[];
  /** The console's lines since the machine was made. */
  readonly console: readonly string[];
}
