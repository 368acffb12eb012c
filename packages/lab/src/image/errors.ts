/** What goes wrong with images, as GpuErrors: the file's path first, then one sentence. */
import { type ErrorCode, GpuError } from "@virtgpu/core/base";

/** EINVAL: the file is not whole. */
export function damaged(path: string, what: string): GpuError {
  return new GpuError("EINVAL", `the image is damaged: ${what}`, { object: path });
}

/** EINVAL: the file ends too early. */
export function truncated(path: string, what: string): GpuError {
  return new GpuError("EINVAL", `the image is cut off: ${what}`, { object: path });
}

/** By the system's code: ours, and what it means; `%` is what was being done. */
const MEANINGS: Readonly<Record<string, readonly [code: ErrorCode, sentence: string]>> = {
  ENOSPC: ["ENOSPC", "the disk is full, the system could not %"],
  EDQUOT: ["ENOSPC", "the disk quota is used up, the system could not %"],
  EFBIG: ["ENOSPC", "the file would become larger than it may be, the system could not %"],
  EACCES: ["EACCES", "permission is missing to %"],
  EPERM: ["EACCES", "permission is missing to %"],
  EROFS: ["EACCES", "its file system is read-only, the system could not %"],
  ENOENT: ["ENOENT", "there is no such file or folder, the system could not %"],
  ENOTDIR: ["ENOENT", "a part of its path is no folder, the system could not %"],
  EISDIR: ["EINVAL", "this is a folder, the system could not %"],
  ENAMETOOLONG: ["EINVAL", "its name is too long, the system could not %"],
};

/** A failure of the file system as a GpuError; one that is a GpuError already as it is; anything else EIO. */
export function fileError(error: unknown, path: string, doing: string): GpuError {
  if (error instanceof GpuError) return error;
  const system = error instanceof Error && "code" in error ? String(error.code) : null;
  const [code, sentence] = MEANINGS[system ?? ""] ?? ["EIO", `the system could not % (${system ?? String(error)})`];
  return new GpuError(code, sentence.replace("%", doing), { object: path, cause: error });
}

/** Runs `work`, with its failures as {@link fileError}. */
export async function withFileErrors<T>(path: string, doing: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fileError(error, path, doing);
  }
}
