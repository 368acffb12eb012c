/**
 * A small Linux machine of the lab's own making, in a QEMU under software emulation: what the scenarios ask of it. A machine
 * lives through several QEMU processes: it sleeps to its swap disk, and the next process wakes the same kernel.
 */
import type { AgentCall, AgentCalls } from "@virtgpu/linux/agent";

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
}

/** What a machine boots from; all of it made by the lab or unpacked from packages, nothing installed. */
export interface BootFiles {
  /** `uname -r`. */
  readonly release: string;
  readonly kernel: string;
  readonly initramfs: string;
  /** ext4, read-only: Node, the agent and what they need. */
  readonly root: string;
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
  /** Starts a QEMU process; resolves when the agent is ready (a fresh boot) or has come back (a resume). */
  boot(): Promise<void>;
  /** Calls the agent. */
  call<Call extends AgentCall>(call: Call, parameters: AgentCalls[Call]["with"]): Promise<AgentCalls[Call]["result"]>;
  /** Resolves when this QEMU process has ended by itself. */
  ended(): Promise<ProcessEnd>;
  /** What an output shows now: 3 bytes a pixel. */
  screendump(gpu: number, output: number): Promise<{ width: number; height: number; rgb: Uint8Array }>;
  /** All lines of all QEMU processes' standard error (`-d guest_errors`). */
  readonly errors: readonly string[];
  /** The console's lines since the machine was made. */
  readonly console: readonly string[];
}
