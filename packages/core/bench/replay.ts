/** The commands of a restore and of a freeze, written by a loop that knows them beforehand: what ring and device cost alone. */
import type { CommandOwner } from "../src/driver/session/command-queue.ts";
import type { Session } from "../src/driver/session/session.ts";
import {
  Format,
  GpuCommand,
  HEADER_BYTES,
  MEMORY_ENTRY_BYTES,
  RESOURCE_ATTACH_BACKING_BYTES,
  RESOURCE_CREATE_2D_BYTES,
  RESOURCE_UNREF_BYTES,
  TRANSFER_TO_HOST_2D_BYTES,
  writeHeader,
  writeMemoryEntry,
  writeResourceAttachBacking,
  writeResourceCreate2d,
  writeResourceUnref,
  writeTransferToHost2d,
} from "../src/wire/index.ts";

const PAGE_BYTES = 4096;
/** Ids before it are in other use. */
const FIRST_ID = 1000;
/** Memory from here on is there on every machine. */
const FIRST_PAGE = (2 << 20) / PAGE_BYTES;

/** Images of `size` x `size`, one page each, created and unreferenced. Throws when the device refuses a command. */
export class Replay {
  readonly #session: Session;
  readonly #owner: CommandOwner = {
    replied: (_step, { error }) => {
      if (error !== null) throw error;
    },
    expired: (_step, error) => {
      throw error;
    },
    ended: () => {},
  };

  constructor(session: Session) {
    this.#session = session;
  }

  /** CREATE_2D, ATTACH_BACKING, TRANSFER_TO_HOST_2D for each. */
  restore(count: number, size: number): void {
    const { control } = this.#session;
    for (let index = 0; index < count; index += 1) {
      const id = FIRST_ID + index;
      this.#begin(GpuCommand.RESOURCE_CREATE_2D, RESOURCE_CREATE_2D_BYTES);
      writeResourceCreate2d(control.u32, control.at, id, Format.B8G8R8X8, size, size);
      control.submit(this.#owner, 0, id);
      this.#begin(GpuCommand.RESOURCE_ATTACH_BACKING, RESOURCE_ATTACH_BACKING_BYTES + MEMORY_ENTRY_BYTES);
      writeResourceAttachBacking(control.u32, control.at, id, 1);
      const entry = control.at + (RESOURCE_ATTACH_BACKING_BYTES >> 2);
      writeMemoryEntry(control.u32, entry, (FIRST_PAGE + index) * PAGE_BYTES, PAGE_BYTES);
      control.submit(this.#owner, 0, id);
      this.#begin(GpuCommand.TRANSFER_TO_HOST_2D, TRANSFER_TO_HOST_2D_BYTES);
      writeTransferToHost2d(control.u32, control.at, 0, 0, size, size, 0, id);
      control.submit(this.#owner, 0, id);
    }
    this.#flush();
  }

  /** RESOURCE_UNREF for each, newest first. */
  freeze(count: number): void {
    const { control } = this.#session;
    for (let id = FIRST_ID + count - 1; id >= FIRST_ID; id -= 1) {
      this.#begin(GpuCommand.RESOURCE_UNREF, RESOURCE_UNREF_BYTES);
      writeResourceUnref(control.u32, control.at, id);
      control.submit(this.#owner, 0, id);
    }
    this.#flush();
  }

  #begin(command: number, byteLength: number): void {
    const { control } = this.#session;
    if (!control.begin(byteLength, HEADER_BYTES)) {
      // A device in this process has answered when the kick returns; any other is looked at until it has.
      control.kick();
      do control.process();
      while (!control.begin(byteLength, HEADER_BYTES));
    }
    writeHeader(control.u32, control.at, command, 0, 0, 0, 0, 0);
  }

  #flush(): void {
    const { control } = this.#session;
    control.kick();
    do control.process();
    while (control.outstanding > 0);
  }
}
