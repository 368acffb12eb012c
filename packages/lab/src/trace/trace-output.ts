/**
 * The file that a trace becomes: written under another name beside it, so that an earlier trace stays until the new one is
 * whole, and nothing is left of one that was given up.
 */
import { randomUUID } from "node:crypto";
import { closeSync, openSync, realpathSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileError } from "../image/errors.ts";
import { UsageError } from "../usage-error.ts";

/** Only its owner may read it: it holds what was on the screen. */
const OWNER_ONLY = 0o600;
/** Failures of the disk, not mistakes in what was typed. */
const DISK_FAILURES: ReadonlySet<unknown> = new Set(["ENOSPC", "EDQUOT", "EIO", "EMFILE", "ENFILE"]);

/** See the file's head. */
export class TraceOutput {
  /** What is written until {@link TraceOutput.keep}. */
  readonly temporary: string;
  readonly #path: string;
  readonly #name: string;

  private constructor(path: string, name: string, temporary: string) {
    this.#path = path;
    this.#name = name;
    this.temporary = temporary;
  }

  /** Makes an empty file beside `path`, which was typed as `name`. Throws UsageError where no file can have that name, GpuError where the disk refuses. */
  static create(path: string, name: string): TraceOutput {
    const target = targetOf(path, name);
    const temporary = join(dirname(target), `.${basename(target).slice(0, 200)}-${randomUUID().slice(0, 8)}`);
    try {
      closeSync(openSync(temporary, "wx", OWNER_ONLY));
    } catch (error) {
      if (DISK_FAILURES.has(codeOf(error))) throw fileError(error, name, "begin the trace");
      throw new UsageError(`${name} can't be written (${codeOf(error)})`);
    }
    return new TraceOutput(target, name, temporary);
  }

  /** Whether something was written. */
  get hasContent(): boolean {
    return statSync(this.temporary).size > 0;
  }

  /** Gives it its name; what had that name before is gone. Throws GpuError. */
  keep(): void {
    try {
      renameSync(this.temporary, this.#path);
    } catch (error) {
      this.discard();
      throw fileError(error, this.#name, "give the trace its name");
    }
  }

  /** Takes it away. Does nothing where it was kept or discarded. */
  discard(): void {
    rmSync(this.temporary, { force: true });
  }
}

/** The file that a name stands for, behind links; the name itself where there is none yet. */
function targetOf(path: string, name: string): string {
  let target: string;
  try {
    target = realpathSync(path);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return path;
    throw new UsageError(`${name} can't be written (${codeOf(error)})`);
  }
  if (!statSync(target).isFile()) throw new UsageError(`${name} is no regular file: a trace can't take its place`);
  return target;
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}
