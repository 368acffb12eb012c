/**
 * What the cases of the suite are run on: a machine with a driver under test, and its host, whose power, resets and
 * pictures are at hand. Whoever implements this can run the list.
 */
import type { Clock } from "@virtgpu/core/base";
import type { BufferExporter } from "@virtgpu/core/driver";
import type { BootDriver, CommandFaults } from "@virtgpu/core/sim";
import type { PowerOffMode } from "@virtgpu/core/sleep";
import type { BusAccess } from "@virtgpu/core/virtio";
import type { HostCursor, HostPicture } from "../../hosts/machine.ts";
import type { TestedDriver } from "./driver.ts";
import type { DriverSuccessor } from "./driver-life.ts";

/** A case that failed, and how. */
export class CaseFailed extends Error {
  override readonly name: string = "CaseFailed";
}

/** Throws {@link CaseFailed} with the sentence unless `condition` holds. */
export function must(condition: boolean, sentence: string): asserts condition {
  if (!condition) throw new CaseFailed(sentence);
}

/**
 * What not every machine can do. `firmware`: S3 and S4 as the firmware does them. `blobs`: blob resources. `monitors`:
 * monitors change while the machine runs. `boot-kernel`: another driver has the device before an image takes over.
 * `function-reset`, `bus-reset`, `queue-reset`: these can be reset alone. `power-states`: the function has D-states.
 * `snapshot`: the host process can be saved, and another one go on from that. `driver-restart`: the driver's process ends,
 * and the next one takes the device as it runs. `no-soft-reset`: the device keeps its state over S3. `faults`: commands go
 * wrong by a plan, the device breaks. `other-hosts`: the next power-on may be on another host, with other abilities.
 */
export type Ability = CoreAbility | "no-soft-reset" | "faults" | "other-hosts";

/** What a real host can do, too: cases that need no more are the core of the suite. */
export type CoreAbility =
  | "firmware"
  | "blobs"
  | "monitors"
  | "boot-kernel"
  | "function-reset"
  | "bus-reset"
  | "queue-reset"
  | "power-states"
  | "snapshot"
  | "driver-restart";

/** All of them. */
export const CORE_ABILITIES: ReadonlySet<Ability> = new Set<CoreAbility>([
  "firmware",
  "blobs",
  "monitors",
  "boot-kernel",
  "function-reset",
  "bus-reset",
  "queue-reset",
  "power-states",
  "snapshot",
  "driver-restart",
]);

/** Memory that somebody else owns, and lends to the GPU. */
export interface Lender extends BufferExporter {
  write(offset: number, bytes: Uint8Array): void;
  /** Takes the memory back, moves it to other frames, and lends it again. */
  move(): Promise<void>;
  /** Takes it back; resolves when nobody uses it any more. */
  takeBack(): Promise<void>;
  /** Lends it again. */
  giveAgain(): void;
}

/** A boot kernel's driver, as far as the suite needs one. */
export type BootPicture = Pick<BootDriver, "lightUp">;

/** The host of the machine's GPU, which has two outputs. */
export interface SuspendHost {
  /** Whether its process runs. */
  readonly isOn: boolean;
  /** The PCI configuration space of each GPU; none on another bus. */
  readonly functions: readonly BusAccess[];

  // --- Power ---

  /** A new host process, which knows nothing of any guest. */
  powerOn(): Promise<void>;
  /** Ends the power in the machine's way; a reboot may leave the process alive. */
  powerOff(mode: PowerOffMode): Promise<void>;
  /** The process ends from one instruction to the next. */
  kill(): Promise<void>;
  enterS3(): Promise<void>;
  wakeFromS3(): Promise<void>;
  /** The machine's reset line: everything forgets where it was. */
  systemReset(): Promise<void>;
  /** Somebody writes 0 to the device's status behind the driver's back. */
  resetDevice(): Promise<void>;
  /** The device's status register, read behind the driver's back; it has power. */
  deviceStatus(): number;

  // --- With the abilities of the same names. What a reset takes from configuration space the bus puts back. ---

  functionLevelReset(): Promise<void>;
  /** Of the bus behind a bridge that the function lies on. */
  busReset(): Promise<void>;
  /** Of the queue of commands alone. */
  resetQueue(): Promise<void>;
  /** D3hot and back to D0. */
  cyclePower(): Promise<void>;
  /** The host process is saved with all that it knows, ends, and another one goes on from there. */
  snapshot(): Promise<void>;

  // --- What it shows and knows ---

  /** What an output shows; null when the host says that it is dark. */
  picture(output: number): Promise<HostPicture | null>;
  /** Whether {@link SuspendHost.cursor} tells that a cursor was hidden. */
  readonly seesHiding: boolean;
  /** The cursor of an output; null when there is none. */
  cursor(output: number): Promise<HostCursor | null>;
  /** What it holds of each resource, by id, as in `HostGpu.held`; null where it can't be asked. */
  readonly held: (() => ReadonlyMap<number, Uint8Array>) | null;
  /** Commands that it refused, or had something to say about, since {@link SuspendHost.forgive}; over all processes. */
  errors(): readonly string[];
  forgive(): void;
  /** With the ability `monitors`: an output's monitor asks for another size. */
  setMonitor(output: number, size: { readonly width: number; readonly height: number }): Promise<void>;

  // --- With the abilities `faults` and `other-hosts` ---

  readonly faults: CommandFaults | null;
  /** What hung or was held goes on. */
  release(): void;
  /** The device says that it can't go on. */
  breakDevice(): void;
  /** The host loses all that it was told to make, and says nothing: registers and rings are as they were. */
  forget(): void;
  /** A new host process that has one output only, and no blobs; the next {@link SuspendHost.powerOn} is as ever. */
  powerOnPoorer(): Promise<void>;
}

/** See the file's head. One subject serves one case. */
export interface SuspendSubject {
  /** For people: `embedded host that keeps resources`, `QEMU q35, virtio-gpu-pci`. */
  readonly label: string;
  readonly host: SuspendHost;
  readonly clock: Clock;
  /** Why the machine lacks an ability, in a few words; null when it has it. */
  lacks(ability: Ability): string | null;
  /** Has a driver take the device. */
  probe(): Promise<TestedDriver>;
  lend(byteLength: number): Lender;
  /** Takes an image of memory; the function puts it back, as a resume does: contents may come to lie in other frames. */
  takeImage(): () => void;
  /** The driver of a boot kernel takes the device, on a transport and in memory of its own. */
  startBootDriver(): Promise<BootPicture>;
  /** How often each driver began a session with its device, so far; empty where drivers can't be asked. */
  sessions(): readonly number[];
  /** With the ability `driver-restart`: the driver's process ends, and another one has its state. It did not touch the device yet. */
  restartDriver(): Promise<DriverSuccessor>;
  /** Lets the machine's time pass until `work` is settled. Rejects when nothing can ever settle it. */
  run<T>(work: Promise<T>): Promise<T>;
  /** What must be true at any moment, e.g. that no device touched memory that is not its own. Throws if it is not. */
  verify(): void;
  /** What must be true once the driver was removed, e.g. that all memory was given back. Rejects if it is not. */
  verifyRemoved(): Promise<void>;
}
