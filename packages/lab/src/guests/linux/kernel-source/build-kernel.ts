/**
 * `--source DIR [--patch MBOX...]`: builds a kernel with the lab's configuration. The user's tree is only read; what is built
 * is a mirror of it in the cache, out of tree (`make O=`), so that another series on the same source compiles only what
 * it changes.
 *
 * In the cache, one folder a source: `tree`, `build`, `unpacked` (of a tarball), logs; and `kernels`, one folder a result,
 * whose name is a hash of all that goes into it.
 *
 * Building runs what the tree's Makefiles say, with the rights of whoever builds: as with every build, the source and the
 * patches have to be trusted.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { UsageError } from "../../../usage-error.ts";
import { applySeries } from "./apply-series.ts";
import { checkConfig, configText, missingSentence } from "./config.ts";
import { takeLock } from "./lock.ts";
import { Mirror, type Patched } from "./mirror.ts";
import { type Patch, readSeries } from "./patch-series.ts";
import { plainEnvironment, runProgram } from "./run-program.ts";
import { findSource, hashListing, type Listing, listSource, type SourcePlace, sourceVersion } from "./source.ts";
import { isThere, requireTools } from "./tools.ts";

/** What {@link buildKernel} needs. */
export interface KernelBuildOptions {
  /** A source tree's folder, or a tarball. */
  readonly source: string;
  /** Diffs, `git format-patch` files, folders of those, or mboxes, applied in this order. */
  readonly patches: readonly string[];
  /** The cache's folder; made where it is not there. */
  readonly cache: string;
  /** What happens, line by line: our own remarks and make's lines. */
  readonly onLine: (line: string) => void;
  /** Compilers at a time. */
  readonly jobs: number;
  /** Ends the build; what was compiled is kept for the next. */
  readonly signal?: AbortSignal | undefined;
}

/** A kernel that is ready to boot. */
export interface BuiltKernel {
  /** The bzImage. */
  readonly kernel: string;
  /** `uname -r`. */
  readonly release: string;
  /** A folder lib/modules/RELEASE: without modules, for all is built in, and with `modules.builtin`, which says so. */
  readonly modules: string;
  /** Its `.config`. */
  readonly config: string;
  /** Titles of the patches in it. */
  readonly patches: readonly string[];
  /** Options without CONFIG_ that the lab would have liked and this kernel does not have. */
  readonly without: readonly string[];
}

/** Counted up when the same input would give another kernel or another record of it. */
const FORMAT = 1;
const RECORD = "kernel.json";
/** A few megabytes each. */
const KERNELS_KEPT = 32;
const recordSchema = v.object({
  release: v.pipe(v.string(), v.regex(/^[\w.+~-]{1,64}$/)),
  patches: v.array(v.string()),
  without: v.array(v.string()),
});

/** Builds the kernel, or takes it from the cache. Throws UsageError: tools or options missing, a patch that does not apply, code that does not compile.
 * `isPresent` is asked for programs and headers. */
export async function buildKernel(
  options: KernelBuildOptions,
  isPresent: (probe: string) => boolean = isThere,
): Promise<BuiltKernel> {
  const place = await findSource(options.source);
  requireTools({ unpack: place.kind === "tarball", patch: options.patches.length > 0 }, isPresent);
  const series = await readSeries(options.patches);
  for (const remark of series.remarks) options.onLine(remark);
  const work = new Work(options, place);
  mkdirSync(work.folder, { recursive: true, mode: 0o700 });
  await using lock = await takeLock(
    join(work.folder, "lock"),
    () => options.onLine("another build of this source runs: waiting for it"),
    options.signal,
  );
  void lock;
  return await work.build(series.patches);
}

/** A hash of all that goes into a kernel. */
export function kernelKey(parts: {
  readonly source: string;
  readonly config: string;
  readonly compiler: string;
  readonly patches: readonly Pick<Patch, "title" | "diff">[];
}): string {
  const patches = parts.patches.map(({ title, diff }) => [title, diff]);
  const all = JSON.stringify([FORMAT, parts.source, parts.config, parts.compiler, patches]);
  return createHash("sha256").update(all).digest("hex").slice(0, 32);
}

class Work {
  readonly folder: string;
  readonly #options: KernelBuildOptions;
  readonly #place: SourcePlace;

  constructor(options: KernelBuildOptions, place: SourcePlace) {
    this.#options = options;
    this.#place = place;
    this.folder = join(options.cache, "kernel-source", place.id);
  }

  async build(patches: readonly Patch[]): Promise<BuiltKernel> {
    const { signal, source: shown } = this.#options;
    const source = await this.#sourceFolder();
    const version = sourceVersion(source, shown);
    const listing = await listSource(source, shown, signal);
    const key = kernelKey({
      source: this.#place.kind === "tarball" ? this.#place.id : hashListing(listing),
      config: configText(),
      compiler: compilerVersion(),
      patches,
    });
    const result = join(this.#options.cache, "kernel-source", "kernels", key);
    const cached = readResult(result);
    if (cached !== null) return cached;
    const patched = await this.#applied(source, `Linux ${version}`, patches);
    await this.#mirrored(source, listing, patched);
    const without = await this.#configure(version);
    await this.#compile(version);
    return this.#keep(result, patches, without);
  }

  /** A tarball is unpacked once; its one folder's contents become `unpacked`. */
  async #sourceFolder(): Promise<string> {
    if (this.#place.kind === "folder") return this.#place.path;
    const unpacked = join(this.folder, "unpacked");
    if (existsSync(unpacked)) return unpacked;
    const part = join(this.folder, "unpacked.part");
    rmSync(part, { recursive: true, force: true });
    mkdirSync(part);
    this.#options.onLine(`unpacking ${this.#options.source}`);
    const args = ["tar", "--extract", "--no-same-owner", "--strip-components=1", `--file=${this.#place.path}`];
    const log = join(this.folder, "unpack.log");
    const code = await this.#run(args, part, log, false);
    if (code !== 0) throw new UsageError(`${this.#options.source} can't be unpacked; the log is ${log}`);
    sourceVersion(part, this.#options.source);
    renameSync(part, unpacked);
    return unpacked;
  }

  async #applied(source: string, name: string, patches: readonly Patch[]): Promise<Patched> {
    const scratch = join(this.folder, "patched");
    return applySeries({ source, name, patches, scratch, log: join(this.folder, "apply.log") });
  }

  async #mirrored(source: string, listing: Listing, patched: Patched): Promise<void> {
    const mirror = new Mirror(this.folder);
    const changed = await mirror.update(source, listing, patched, this.#options.signal);
    rmSync(patched.from, { recursive: true, force: true });
    this.#options.onLine(`${changed} files of the tree are new or changed, ${patched.paths.length} of them by patches`);
  }

  /** Gives the names of the optional options that this kernel lacks. */
  async #configure(version: string): Promise<readonly string[]> {
    const wanted = join(this.folder, "virtgpu.config");
    writeFileSync(wanted, configText());
    const log = join(this.folder, "config.log");
    mkdirSync(join(this.folder, "build"), { recursive: true });
    const code = await this.#make(["allnoconfig", `KCONFIG_ALLCONFIG=${wanted}`], log, false);
    if (code !== 0) throw new UsageError(`Linux ${version} can't be configured: ${firstError(log)}; the log is ${log}`);
    const check = checkConfig(readFileSync(join(this.folder, "build/.config"), "utf8"));
    if (check.missing.length > 0) throw new UsageError(missingSentence(version, check.missing));
    const without = check.missingOptional.map((option) => option.name);
    if (without.length > 0) this.#options.onLine(`this kernel has no ${without.join(", ")}; the lab does without`);
    return without;
  }

  async #compile(version: string): Promise<void> {
    const log = join(this.folder, "build.log");
    const code = await this.#make([`-j${this.#options.jobs}`, "bzImage"], log, true);
    if (code !== 0) throw new UsageError(`Linux ${version} does not compile: ${firstError(log)}; the log is ${log}`);
  }

  async #make(args: readonly string[], log: string, isTold: boolean): Promise<number> {
    const build = join(this.folder, "build");
    return this.#run(
      ["make", "-C", join(this.folder, "tree"), `O=${build}`, "ARCH=x86_64", ...args],
      this.folder,
      log,
      isTold,
    );
  }

  async #run(command: readonly string[], folder: string, log: string, isTold: boolean): Promise<number> {
    writeFileSync(log, "");
    return runProgram(command, {
      folder,
      env: buildEnvironment(this.folder),
      signal: this.#options.signal,
      onLine: (line) => {
        appendFileSync(log, `${line}\n`, "latin1");
        if (isTold) this.#options.onLine(line.trim());
      },
    });
  }

  #keep(result: string, patches: readonly Patch[], without: readonly string[]): BuiltKernel {
    const build = join(this.folder, "build");
    const kernels = join(result, "..");
    mkdirSync(kernels, { recursive: true });
    const part = mkdtempSync(join(kernels, "part-"));
    copyFileSync(join(build, "arch/x86/boot/bzImage"), join(part, "bzImage"));
    copyFileSync(join(build, ".config"), join(part, "config"));
    const release = readFileSync(join(build, "include/config/kernel.release"), "utf8").trim();
    const record = { release, patches: patches.map(({ title }) => title), without };
    if (!v.is(recordSchema, record)) throw new UsageError(`${JSON.stringify(release)} is no release that can be used`);
    const modules = join(part, "lib/modules", release);
    mkdirSync(join(modules, "kernel"), { recursive: true });
    copyFileSync(join(build, "modules.builtin"), join(modules, "modules.builtin"));
    writeFileSync(join(part, RECORD), JSON.stringify(record));
    rmSync(result, { recursive: true, force: true });
    renameSync(part, result);
    prune(kernels);
    return { ...filesOf(result, release), ...record };
  }
}

/** Null where there is none, or not all of it. */
function readResult(folder: string): BuiltKernel | null {
  try {
    const record = v.safeParse(recordSchema, JSON.parse(readFileSync(join(folder, RECORD), "utf8")));
    if (!record.success) return null;
    const files = filesOf(folder, record.output.release);
    if (!Object.values(files).every((path) => existsSync(path))) return null;
    const now = new Date();
    utimesSync(folder, now, now);
    return { ...files, ...record.output };
  } catch {
    return null;
  }
}

function filesOf(folder: string, release: string): Pick<BuiltKernel, "kernel" | "modules" | "config"> {
  const modules = join(folder, "lib/modules", release);
  return { kernel: join(folder, "bzImage"), modules, config: join(folder, "config") };
}

/** Removes the kernels that were used the longest time ago, and what an interrupted build left. */
function prune(kernels: string): void {
  const used = readdirSync(kernels)
    .map((name) => join(kernels, name))
    .map((path) => ({ path, ms: statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0 }))
    .sort((one, other) => other.ms - one.ms);
  for (const { path } of used.slice(KERNELS_KEPT)) rmSync(path, { recursive: true, force: true });
}

/** The same input gives the same bytes: no time, user or machine in the kernel, and no repository found above the cache. */
function buildEnvironment(folder: string): Record<string, string> {
  return plainEnvironment({
    KBUILD_BUILD_TIMESTAMP: "1970-01-01",
    KBUILD_BUILD_USER: "virtgpu",
    KBUILD_BUILD_HOST: "lab",
    GIT_CEILING_DIRECTORIES: folder,
  });
}

function compilerVersion(): string {
  const output = execFileSync("gcc", ["--version"], { env: plainEnvironment(), encoding: "utf8" });
  return output.split("\n", 1)[0] ?? "";
}

/** The line of a log that says what went wrong: a compiler's error rather than make's, which only reports it. */
export function firstError(log: string): string {
  const lines = readFileSync(log, "latin1").split("\n");
  const told = [/(?:fatal )?error: |undefined reference/, /^make.*\*\*\*/, /\*\*\*/].map((pattern) =>
    lines.find((line) => pattern.test(line)),
  );
  return (
    told.find((line) => line !== undefined) ??
    lines.filter((line) => line !== "").at(-1) ??
    "no reason given"
  ).trim();
}
