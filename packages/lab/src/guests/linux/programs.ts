/**
 * Programs of the system that the lab's Linux machine is built with: each is run once, briefly, and when it is not there
 * the error says which package brings it.
 */
import { execFile } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { GpuError } from "@virtgpu/core/base";

/** The Debian package of each program that may be missing. */
const PACKAGE_OF = {
  "apt-cache": "apt",
  "apt-get": "apt",
  "dpkg-deb": "dpkg",
  gcc: "gcc",
  ldd: "libc-bin",
  mke2fs: "e2fsprogs",
  xz: "xz-utils",
  zstd: "zstd",
} as const;

/** A program that {@link runProgram} knows. */
export type Program = keyof typeof PACKAGE_OF;

/** mke2fs and the like lie where a user's PATH does not lead. */
const SYSTEM_FOLDERS = ["/usr/sbin", "/sbin"] as const;

const OUTPUT_MAX = 256 << 20;
const DEADLINE_MS = 600_000;

/** How to run a program. */
export interface RunOptions {
  readonly cwd?: string;
  readonly input?: Uint8Array;
  /** Besides our own environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** The absolute path of a program, or null. */
export function findProgram(name: string): string | null {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), ...SYSTEM_FOLDERS];
  for (const folder of folders) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      continue;
    }
  }
  return null;
}

/** Runs a program to its end and gives what it wrote. Throws GpuError: ENODEV (not there), EIO (it failed; its last words are in the sentence). */
export async function runProgram(name: Program, args: readonly string[], options: RunOptions = {}): Promise<Buffer> {
  const path = findProgram(name);
  if (path === null) {
    throw new GpuError(
      "ENODEV",
      `there is no program ${name}; on Debian or Ubuntu install it with: apt-get install ${PACKAGE_OF[name]}`,
    );
  }
  return new Promise((resolve, reject) => {
    const child = execFile(
      path,
      args,
      {
        encoding: "buffer",
        maxBuffer: OUTPUT_MAX,
        timeout: DEADLINE_MS,
        env: { ...process.env, LC_ALL: "C", ...options.env },
        ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else reject(new GpuError("EIO", failure(name, args, stderr, error), { cause: error }));
      },
    );
    child.stdin?.on("error", () => {});
    child.stdin?.end(options.input);
  });
}

/** Errors first: apt prints warnings after them. */
function failure(name: string, args: readonly string[], stderr: Buffer, error: Error): string {
  const lines = stderr.toString("utf8").trim().split("\n");
  const said = lines.find((line) => line.startsWith("E: ")) ?? lines.at(-1) ?? "";
  return `${name} ${args.at(-1) ?? ""} failed: ${said === "" ? (error.message.split("\n")[0] ?? "") : said}`;
}
