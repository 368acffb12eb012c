/** A refusal of the kernel, by the name of its errno. */
import { getSystemErrorMap } from "node:util";

/** What a system call failed with: one sentence that begins with the errno's name, as in `ENOSPC: ...`. */
export class SystemCallError extends Error {
  override readonly name: string = "SystemCallError";
  /** The errno's name, e.g. `EBUSY`. */
  readonly code: string;
  /** What was being done, e.g. `open /dev/vfio/7`. */
  readonly call: string;

  constructor(code: string, call: string, reason: string) {
    super(`${code}: ${call}: ${reason}`);
    this.code = code;
    this.call = call;
  }

  /** Of an errno's number (errno(3)). */
  static of(errno: number, call: string): SystemCallError {
    const [code, reason] = getSystemErrorMap().get(-errno) ?? [`errno ${errno}`, "unknown error"];
    return new SystemCallError(code, call, reason);
  }
}

/** The errno's name of an error of Node's file functions or of ours; null for anything else. */
export function errnoName(error: unknown): string | null {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : null;
}
