/**
 * Which commands go wrong, and how: a plan of faults by the number of a command, its type or its resource, and the log of
 * what the host saw. A test counts the commands of a good run, then lets the k-th go wrong, for every k.
 */
import type { Clock } from "../../base/clock.ts";
import { HeaderFlag, GpuCommand } from "../../wire/gpu.ts";
import {
  HEADER_BYTES,
  type HeaderFields,
  readCtxResource,
  readHeader,
  readResourceAssignUuid,
  readResourceAttachBacking,
  readResourceCreate2d,
  readResourceCreate3d,
  readResourceCreateBlob,
  readResourceDetachBacking,
  readResourceFlush,
  readResourceMapBlob,
  readResourceUnmapBlob,
  readResourceUnref,
  readSetScanout,
  readSetScanoutBlob,
  readTransferHost3d,
  readTransferToHost2d,
  readUpdateCursor,
} from "../../wire/gpu.gen.ts";
import { commandName } from "../../wire/names.ts";
import { joinU64 } from "../../wire/words.ts";

/** Most commands kept in a {@link CommandFaults.log}; the oldest go first. */
const LOG_MAX = 100_000;
/** Bytes of a request that are looked at: the longest fixed part. */
export const REQUEST_BYTES_SEEN = 96;

/** A command as the host saw it. */
export interface SeenCommand {
  /** Counted from 1, over all queues and all lives of the device. */
  readonly sequence: number;
  readonly queue: number;
  /** 0 where not even a header could be read. */
  readonly type: number;
  /** The resource it is about, 0 for none. */
  readonly resourceId: number;
  /** The fence's id, or null where the command is not fenced. */
  readonly fenceId: number | null;
  readonly header: HeaderFields;
  readonly atMs: number;
}

/** What happens to a command. */
export type CommandEffect =
  /** Taken, but not carried out, and neither is what follows on its queue, until `release`. */
  | { readonly kind: "hang" }
  /** Carried out; the reply comes at `release`. */
  | { readonly kind: "hold" }
  /** Carried out; the reply comes `ms` milliseconds later. */
  | { readonly kind: "slow"; readonly ms: number }
  /** Carried out; the reply comes after that many others. */
  | { readonly kind: "reorder"; readonly replies: number }
  /** Carried out; there never is a reply. */
  | { readonly kind: "drop" }
  /** Not carried out; answered with this type. */
  | { readonly kind: "refuse"; readonly reply: number }
  /** Carried out; answered with this type all the same. */
  | { readonly kind: "mask"; readonly reply: number }
  /** Carried out; the reply's header or the used element says something else. */
  | {
      readonly kind: "lie";
      readonly header?: Partial<HeaderFields>;
      readonly usedLength?: number;
      readonly usedId?: number;
    }
  /** Carried out; its used element comes a second time, as soon as that is not mistaken for another's, and takes the place of that reply. */
  | { readonly kind: "duplicate" }
  /** The host's process ends before the command is carried out. */
  | { readonly kind: "die" }
  /** The device sets NEEDS_RESET and does nothing more. */
  | { readonly kind: "break" }
  /** Something happens elsewhere just before the command is carried out. */
  | {
      readonly kind: "call";
      /** Called synchronously, the command not yet with the model. */
      readonly run: (command: SeenCommand) => void;
    };

/** One fault of a plan. Conditions that are left out hold for every command. */
export interface CommandFault {
  readonly queue?: number;
  readonly type?: number;
  readonly resourceId?: number;
  /** The k-th command, counted from 1 from the moment of the injection, that meets the conditions. Default 1. */
  readonly at?: number;
  /** For how many such commands in a row. Default 1; Infinity for all. */
  readonly times?: number;
  readonly effect: CommandEffect;
}

interface Rule {
  readonly fault: CommandFault;
  met: number;
}

/** See the file's head. */
export class CommandFaults {
  readonly clock: Clock | undefined;
  /** Called at each fault that strikes, before it does. */
  onStrike: ((command: SeenCommand, effect: CommandEffect) => void) | null = null;
  #rules: Rule[] = [];
  #log: SeenCommand[] = [];
  #count = 0;
  #struck = 0;

  constructor(clock?: Clock) {
    this.clock = clock;
  }

  /** Commands seen so far, over all lives of the device. */
  get count(): number {
    return this.#count;
  }

  /** Faults that struck so far. */
  get struck(): number {
    return this.#struck;
  }

  /** The commands seen, oldest first, from the one after `since` on (a {@link count} taken before). */
  log(since: number = 0): readonly SeenCommand[] {
    return this.#log.filter((command) => command.sequence > since);
  }

  /** One line a command, e.g. `RESOURCE_UNREF 7`. */
  render(since: number = 0): string {
    return this.log(since)
      .map(({ type, resourceId }) => (resourceId === 0 ? commandName(type) : `${commandName(type)} ${resourceId}`))
      .join("\n");
  }

  /** Adds a fault to the plan. Where several would strike the same command, the one added first does. */
  inject(fault: CommandFault): void {
    this.#rules.push({ fault, met: 0 });
  }

  /** Forgets the plan: from now on all goes well. What hangs or is held stays so until it is released. */
  clear(): void {
    this.#rules = [];
  }

  /** Forgets the commands seen so far; they stay counted. */
  forgetLog(): void {
    this.#log = [];
  }

  /** Takes note of a command; says what is to happen to it, or null. For the queue. */
  see(queue: number, request: Uint32Array, byteLength: number): { command: SeenCommand; effect: CommandEffect | null } {
    this.#count += 1;
    const readable = byteLength >= HEADER_BYTES;
    const header = readHeader(readable ? request : new Uint32Array(HEADER_BYTES / 4), 0);
    const command: SeenCommand = {
      sequence: this.#count,
      queue,
      type: header.type,
      resourceId: readable ? resourceOf(header.type, request) : 0,
      fenceId: (header.flags & HeaderFlag.FENCE) === 0 ? null : joinU64(header.fenceLow, header.fenceHigh),
      header,
      atMs: this.clock?.nowMs() ?? 0,
    };
    this.#log.push(command);
    if (this.#log.length > LOG_MAX) this.#log = this.#log.slice(LOG_MAX >> 1);
    return { command, effect: this.#decide(command) };
  }

  /** Every rule counts, also where another strikes. */
  #decide(command: SeenCommand): CommandEffect | null {
    let effect: CommandEffect | null = null;
    for (const rule of this.#rules) {
      const { fault } = rule;
      if (!meets(fault, command)) continue;
      rule.met += 1;
      const first = fault.at ?? 1;
      if (rule.met >= first && rule.met < first + (fault.times ?? 1)) effect ??= fault.effect;
    }
    if (effect === null) return null;
    this.#struck += 1;
    this.onStrike?.(command, effect);
    return effect;
  }
}

function meets(fault: CommandFault, command: SeenCommand): boolean {
  return (
    (fault.queue ?? command.queue) === command.queue &&
    (fault.type ?? command.type) === command.type &&
    (fault.resourceId ?? command.resourceId) === command.resourceId
  );
}

type ResourceReader = (u32: Uint32Array, at: number) => { readonly resourceId: number };

const resourceReaders: ReadonlyMap<number, ResourceReader> = new Map<number, ResourceReader>([
  [GpuCommand.RESOURCE_CREATE_2D, readResourceCreate2d],
  [GpuCommand.RESOURCE_UNREF, readResourceUnref],
  [GpuCommand.SET_SCANOUT, readSetScanout],
  [GpuCommand.RESOURCE_FLUSH, readResourceFlush],
  [GpuCommand.TRANSFER_TO_HOST_2D, readTransferToHost2d],
  [GpuCommand.RESOURCE_ATTACH_BACKING, readResourceAttachBacking],
  [GpuCommand.RESOURCE_DETACH_BACKING, readResourceDetachBacking],
  [GpuCommand.RESOURCE_ASSIGN_UUID, readResourceAssignUuid],
  [GpuCommand.RESOURCE_CREATE_BLOB, readResourceCreateBlob],
  [GpuCommand.SET_SCANOUT_BLOB, readSetScanoutBlob],
  [GpuCommand.CTX_ATTACH_RESOURCE, readCtxResource],
  [GpuCommand.CTX_DETACH_RESOURCE, readCtxResource],
  [GpuCommand.RESOURCE_CREATE_3D, readResourceCreate3d],
  [GpuCommand.TRANSFER_TO_HOST_3D, readTransferHost3d],
  [GpuCommand.TRANSFER_FROM_HOST_3D, readTransferHost3d],
  [GpuCommand.RESOURCE_MAP_BLOB, readResourceMapBlob],
  [GpuCommand.RESOURCE_UNMAP_BLOB, readResourceUnmapBlob],
  [GpuCommand.UPDATE_CURSOR, readUpdateCursor],
  [GpuCommand.MOVE_CURSOR, readUpdateCursor],
]);

function resourceOf(type: number, request: Uint32Array): number {
  return resourceReaders.get(type)?.(request, 0).resourceId ?? 0;
}
