/**
 * The programs and headers that a kernel's build needs (Documentation/process/changes.rst), and the Debian packages that
 * bring them. Nothing is installed: what to type is said in one sentence.
 */
import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { UsageError } from "../../../usage-error.ts";

/** A command, or a header by its path below /usr/include, and the package that brings it. */
export interface BuildTool {
  readonly probe: string;
  readonly package: string;
}

const BUILD: readonly BuildTool[] = [
  { probe: "gcc", package: "gcc" },
  { probe: "ld", package: "binutils" },
  { probe: "make", package: "make" },
  { probe: "flex", package: "flex" },
  { probe: "bison", package: "bison" },
  { probe: "bc", package: "bc" },
  { probe: "awk", package: "mawk" },
  { probe: "gzip", package: "gzip" },
  { probe: "flock", package: "util-linux" },
  { probe: "/usr/include/stdio.h", package: "libc6-dev" },
  { probe: "/usr/include/gelf.h", package: "libelf-dev" },
];
const UNPACK: readonly BuildTool[] = [
  { probe: "tar", package: "tar" },
  { probe: "xz", package: "xz-utils" },
];
const PATCH: readonly BuildTool[] = [{ probe: "git", package: "git" }];

/** What is about to be done. */
export interface Work {
  readonly unpack: boolean;
  readonly patch: boolean;
}

/** Whether a {@link BuildTool.probe} is there. */
export function isThere(probe: string): boolean {
  if (probe.startsWith("/")) return existsSync(probe);
  return (process.env["PATH"] ?? "").split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, probe), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Throws a UsageError with the line that installs what is missing. `present` is asked about each probe. */
export function requireTools(work: Work, present: (probe: string) => boolean = isThere): void {
  const wanted = [...BUILD, ...(work.unpack ? UNPACK : []), ...(work.patch ? PATCH : [])];
  const missing = wanted.filter((tool) => !present(tool.probe));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((tool) => tool.package))];
  throw new UsageError(
    `to build a kernel ${missing.map((tool) => tool.probe).join(", ")} ${missing.length === 1 ? "is" : "are"} missing; ` +
      `on Debian or Ubuntu: apt-get install --no-install-recommends ${packages.join(" ")}`,
  );
}
