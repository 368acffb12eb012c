/**
 * /dev/snapshot: images of the running system, made and taken back by a program. While it is open for reading the kernel is
 * between PM_HIBERNATION_PREPARE and PM_POST_HIBERNATION. Kernel interface: uapi suspend_ioctls.h, Documentation/power/userland-swsusp.
 */
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import type { Sys } from "../../native/index.ts";

/** The requests: _IO('3', n), and _IOW('3', 17, int) for the image. drm/structs.test.ts holds them against the header. */
export const snapshotRequests = {
  SNAPSHOT_FREEZE: 0x3301,
  SNAPSHOT_UNFREEZE: 0x3302,
  SNAPSHOT_ATOMIC_RESTORE: 0x3304,
  SNAPSHOT_FREE: 0x3305,
  SNAPSHOT_PLATFORM_SUPPORT: 0x330f,
  SNAPSHOT_POWER_OFF: 0x3310,
  SNAPSHOT_CREATE_IMAGE: 0x4004_3311,
} as const;

/** The device, open. After {@link freeze} only the thread that called it runs. */
export class SnapshotDevice {
  readonly #sys: Sys;
  readonly #fd: number;

  /** Throws what open(2) says: EBUSY where a hibernation is under way. */
  constructor(sys: Sys, purpose: "create" | "restore") {
    this.#sys = sys;
    this.#fd = openSync("/dev/snapshot", purpose === "create" ? "r" : "w");
  }

  freeze(): void {
    this.#plain("SNAPSHOT_FREEZE");
  }

  /** Nothing thaws, and nobody is told, while there is an image: {@link freeImage} comes first. */
  unfreeze(): void {
    this.#plain("SNAPSHOT_UNFREEZE");
  }

  /** Makes an image: true in the machine that made it, false in the image's own life. */
  createImage(): boolean {
    const inSuspend = new Int32Array(1);
    this.#sys.ioctl(this.#fd, snapshotRequests.SNAPSHOT_CREATE_IMAGE, new Uint8Array(inSuspend.buffer));
    return inSuspend[0] !== 0;
  }

  /** Reads a page of the image; 0 at its end. */
  read(page: Uint8Array): number {
    return readSync(this.#fd, page, 0, page.length, null);
  }

  /** Writes a page of an image that is to be restored. */
  write(page: Uint8Array): void {
    for (let at = 0; at < page.length; ) at += writeSync(this.#fd, page, at, page.length - at, null);
  }

  freeImage(): void {
    this.#plain("SNAPSHOT_FREE");
  }

  /** The image lives on in place of this system. Returns only where the kernel refuses: it throws then. */
  restore(): void {
    this.#plain("SNAPSHOT_ATOMIC_RESTORE");
  }

  /** ACPI S4. */
  powerOff(): void {
    this.#sys.ioctlNumber(this.#fd, snapshotRequests.SNAPSHOT_PLATFORM_SUPPORT, 1);
    this.#plain("SNAPSHOT_POWER_OFF");
  }

  /** Closes it; what is frozen thaws. */
  close(): void {
    closeSync(this.#fd);
  }

  #plain(
    name: "SNAPSHOT_FREEZE" | "SNAPSHOT_UNFREEZE" | "SNAPSHOT_ATOMIC_RESTORE" | "SNAPSHOT_FREE" | "SNAPSHOT_POWER_OFF",
  ): void {
    this.#sys.ioctlNumber(this.#fd, snapshotRequests[name], 0);
  }
}
