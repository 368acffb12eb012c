/**
 * Kernels built from source, on a tree that only looks like a kernel's: which patches are taken from which files, where they
 * go, what is compiled anew, and what is said when something does not fit. A real kernel's build is no test of ours
 * (docs/kernel-source.md has one).
 */
import { execFileSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { whereItFails } from "../src/guests/linux/kernel-source/apply-series.ts";
import { type BuiltKernel, buildKernel, kernelKey } from "../src/guests/linux/kernel-source/build-kernel.ts";
import { CONFIG, checkConfig, configText, missingSentence } from "../src/guests/linux/kernel-source/config.ts";
import { readSeries } from "../src/guests/linux/kernel-source/patch-series.ts";
import { requireTools } from "../src/guests/linux/kernel-source/tools.ts";
import { collectModules } from "../src/guests/linux/modules.ts";
import { UsageError } from "../src/usage-error.ts";
import { driverText, lineDiff, mail, patchBody, writeFakeKernel } from "./support/fake-kernel.ts";

let folder: string;
let tree: string;
let said: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "virtgpu-kernel-source-"));
  tree = join(folder, "linux");
  said = [];
  writeFakeKernel(tree);
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function write(name: string, text: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, text, "latin1");
  return path;
}

async function build(patches: readonly string[], source: string = tree, signal?: AbortSignal): Promise<BuiltKernel> {
  said = [];
  const options = {
    source,
    patches,
    cache: join(folder, "cache"),
    jobs: 1,
    onLine: (line: string) => said.push(line),
    signal,
  };
  return buildKernel(options, () => true);
}

const compiled = (): string[] => said.flatMap((line) => /^CC +.*\/(\w+)\.c$/.exec(line)?.[1] ?? []);
const built = (kernel: BuiltKernel): string => readFileSync(kernel.kernel, "utf8");
const plain = driverText("one") + driverText("two");

/** Every file of a folder with its contents, times and number of names. */
function inventory(root: string): string[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((path) => `${path} ${lstatSync(path).mtimeMs} ${readFileSync(path, "latin1")}`);
}

/** The processes that have this test's folder in their command line. */
function processesOf(path: string): string[] {
  return readdirSync("/proc").filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/cmdline`, "utf8").includes(path);
    } catch {
      return false;
    }
  });
}

describe("the configuration", () => {
  it("is held against what Kconfig made of it, name by name", () => {
    const text = configText();
    expect(checkConfig(text)).toEqual({ missing: [], missingOptional: [] });
    const poorer = text
      .replace("CONFIG_HIBERNATION=y\n", "# CONFIG_HIBERNATION is not set\n")
      .replace("CONFIG_SERIAL_8250_NR_UARTS=4", "CONFIG_SERIAL_8250_NR_UARTS=1")
      .replace("CONFIG_UDMABUF=y\n", "");
    const { missing, missingOptional } = checkConfig(poorer);
    expect(missing.map((option) => option.name).sort()).toEqual(["HIBERNATION", "SERIAL_8250_NR_UARTS"]);
    expect(missingOptional.map((option) => option.name)).toEqual(["UDMABUF"]);
    expect(missingSentence("6.1.7", missing)).toMatch(/6\.1\.7 .*CONFIG_HIBERNATION \(hibernation\)/);
  });

  it("asks for each option once", () => {
    const names = CONFIG.map((option) => option.name);
    expect(new Set(names).size).toBe(names.length);
    for (const option of CONFIG) expect(option.name).toMatch(/^[A-Z0-9_]+$/);
  });
});

describe("the tools", () => {
  it("that are missing are named with the line that installs them", () => {
    const without = new Set(["flex", "/usr/include/gelf.h"]);
    const check = (): void => requireTools({ unpack: true, patch: true }, (probe) => !without.has(probe));
    expect(check).toThrow(UsageError);
    expect(check).toThrow(/flex, \/usr\/include\/gelf\.h are missing; .*apt-get install .*flex libelf-dev$/);
    expect(() =>
      requireTools({ unpack: false, patch: false }, (probe) => probe !== "git" && probe !== "xz"),
    ).not.toThrow();
  });
});

describe("a patch file", () => {
  it("may be a bare diff", async () => {
    const file = write("fix.diff", lineDiff("one", 5, "five"));
    expect(await readSeries([file])).toEqual({
      patches: [{ file, title: "fix.diff", diff: lineDiff("one", 5, "five") }],
      remarks: [],
    });
  });

  it("may be one mail of git format-patch, its cover letter being left out", async () => {
    const cover = write("0000.patch", mail("[PATCH v2 0/2] Two lines", "What it is about."));
    const first = write(
      "0001.patch",
      mail("[PATCH v2 1/2] drm/virtio: Change\n a line", patchBody(lineDiff("one", 5, "five"))),
    );
    const series = await readSeries([cover, first]);
    expect(series.patches.map((patch) => patch.title)).toEqual(["drm/virtio: Change a line"]);
    await expect(readSeries([cover])).rejects.toThrow(/a cover letter, but no patch/);
  });

  it("may be a folder of them, taken in the order of their names", async () => {
    mkdirSync(join(folder, "out"));
    for (const number of [2, 1]) {
      const body = patchBody(lineDiff("one", 5 * number, `new ${number}`));
      write(`out/000${number}-p.patch`, mail(`[PATCH ${number}/2] P${number}`, body));
    }
    write("out/notes.txt", "no patch");
    expect((await readSeries([join(folder, "out")])).patches.map((patch) => patch.title)).toEqual(["P1", "P2"]);
  });

  it("may be a list's thread, out of order, with replies, quotes, an older version and a second copy", async () => {
    const inThread = (id: string, root = "<0@x>"): Record<string, string> => ({ "Message-ID": id, References: root });
    const second = mail("[PATCH v3 2/2] Second", patchBody(lineDiff("two", 5, "new")), inThread("<2@x>"));
    const quoted = `${lineDiff("one", 9, "quoted")}`.replace(/^/gm, "> ");
    const box = [
      mail(
        "Re: [PATCH v3 1/2] First",
        `On Monday A wrote:\n${quoted}\nBetter:\n${lineDiff("one", 9, "better")}`,
        inThread("<r@x>"),
      ),
      second,
      mail("[PATCH v2 1/1] First", patchBody(lineDiff("one", 5, "old")), inThread("<old@x>")),
      mail("[PATCH v3 1/2] First", patchBody(lineDiff("one", 5, "new")), inThread("<1@x>")),
      second,
      mail("[PATCH v3 0/2] Both", "About it.\n\n>From here on", { "Message-ID": "<0@x>" }),
    ].join("\n");
    const series = await readSeries([write("t.mbox.gz", gzipSync(Buffer.from(box)))]);
    expect(series.patches.map((patch) => patch.title)).toEqual(["First", "Second"]);
    expect(series.patches[0]?.diff).toContain("+new");
    expect(series.remarks.join()).toMatch(
      /1 mail without a patch.*a second copy of .*Second.*version 2, for there is version 3/,
    );
  });

  it("takes the newest of two versions that came in threads of their own", async () => {
    const box = [2, 3].map((version) =>
      mail(`[PATCH v${version}] One thing`, patchBody(lineDiff("one", 5, `v${version}`)), {
        "Message-ID": `<${version}@x>`,
      }),
    );
    const series = await readSeries([write("both.mbox", box.join("\n"))]);
    expect(series.patches.map((patch) => /\+(v\d)/.exec(patch.diff)?.[1])).toEqual(["v3"]);
  });

  it("is decoded from what mail makes of it", async () => {
    const diff = lineDiff("one", 5, "a = b; // gr\u00fc\u00df");
    const encoded = Buffer.from(patchBody(diff)).toString("base64").replace(/.{76}/g, "$&\n");
    const fields = { "Content-Type": "text/plain; charset=utf-8", "Content-Transfer-Encoding": "base64" };
    const series = await readSeries([write("b64.patch", mail("[PATCH] Encoded", encoded, fields))]);
    expect(Buffer.from(series.patches[0]?.diff ?? "", "latin1").toString("utf8")).toContain(diff);
  });

  it("stays in the order of the file where branches stand one behind the other without threads", async () => {
    const titles = ["[PATCH 1/2] A one", "[PATCH 2/2] A two", "[PATCH 1/2] B one", "[PATCH 2/2] B two"];
    const box = titles.map((title, index) => mail(title, patchBody(lineDiff("one", 3 + index * 4, "new"))));
    const series = await readSeries([write("branches.mbox", box.join("\n"))]);
    expect(series.patches.map((patch) => patch.title)).toEqual(["A one", "A two", "B one", "B two"]);
  });

  it("is refused in one sentence where it is none, or not whole", async () => {
    const of = (number: number): string => mail(`[PATCH ${number}/3] P${number}`, patchBody(lineDiff("one", 5, "x")));
    const lacking = write("lacking.mbox", [of(1), of(3)].join("\n"));
    await expect(readSeries([lacking])).rejects.toThrow(/lacking\.mbox lacks patch 2\/3 of its series$/);
    const boasting = mail("[PATCH 1/9999] P", patchBody(lineDiff("one", 5, "x")));
    await expect(readSeries([write("boasting.mbox", `${boasting}\n${mail("Hello", "No patch.")}`)])).rejects.toThrow(
      /lacks patch 2\/9999, .*, 6\/9999 and 9993 more of its series$/,
    );
    await expect(readSeries([write("letter", mail("Hello", "No patch."))])).rejects.toThrow(/holds no patch/);
    await expect(readSeries([write("text", "no patch either\n")])).rejects.toThrow(/holds no patch/);
    await expect(readSeries([write("empty", "")])).rejects.toThrow(/holds no patch/);
    await expect(readSeries([folder])).rejects.toThrow(/the folder .* holds no file \*\.patch/);
    await expect(readSeries([join(folder, "none")])).rejects.toThrow(/can't be read: ENOENT/);
    await expect(readSeries([write("bad.gz", Uint8Array.of(0x1f, 0x8b, 1))])).rejects.toThrow(UsageError);
  });
});

describe("a kernel", () => {
  it("is built from a tree that is not written to, and taken from the cache the next time", async () => {
    const before = inventory(tree);
    const kernel = await build([]);
    expect(kernel).toMatchObject({
      release: "6.1.7-rc3-virtgpu",
      patches: [],
      without: ["DRM_VIRTIO_GPU_KMS"],
    });
    expect(built(kernel)).toBe(plain);
    expect(compiled()).toEqual(["one", "two"]);
    expect(kernel.modules).toMatch(/lib\/modules\/6\.1\.7-rc3-virtgpu$/);
    expect(await collectModules(kernel.modules, ["ext4"])).toEqual({ modules: [], missing: [] });
    expect(await build([])).toEqual(kernel);
    expect(said).toEqual([]);
    expect(inventory(tree)).toEqual(before);
  });

  it("with patches has just the files compiled that differ, also when they go again", async () => {
    const before = inventory(tree);
    const one = write("one.diff", lineDiff("one", 5, "five"));
    const two = write("two.diff", lineDiff("two", 7, "seven"));
    await build([]);
    const first = await build([one]);
    expect(built(first)).toBe(plain.replace("one line 5\n", "five\n"));
    expect([first.patches, compiled()]).toEqual([["one.diff"], ["one"]]);
    const both = await build([one, two]);
    expect(built(both)).toBe(plain.replace("one line 5\n", "five\n").replace("two line 7\n", "seven\n"));
    expect(compiled()).toEqual(["two"]);
    rmSync(join(folder, "cache/kernel-source/kernels"), { recursive: true });
    expect(built(await build([]))).toBe(plain);
    expect(compiled().sort()).toEqual(["one", "two"]);
    expect(inventory(tree)).toEqual(before);
  });

  it("follows the tree, whatever the age of what comes into it, and without a write to it", async () => {
    await build([write("one.diff", lineDiff("one", 5, "five"))]);
    const driver = join(tree, "drivers/gpu/drm/virtio/two.c");
    rmSync(driver);
    writeFakeKernel(tree, { "drivers/gpu/drm/virtio/two.c": "older, and restored\n" });
    execFileSync("touch", ["-d", "2001-01-01", driver]);
    const before = inventory(tree);
    expect(built(await build([]))).toBe(`${driverText("one")}older, and restored\n`);
    expect(compiled().sort()).toEqual(["one", "two"]);
    expect(inventory(tree)).toEqual(before);
  });

  it("may have files made, renamed and removed by a series", async () => {
    const path = "drivers/gpu/drm/virtio";
    const made = `diff --git a/${path}/new.h b/${path}/new.h\nnew file mode 100644\n--- /dev/null\n+++ b/${path}/new.h\n@@ -0,0 +1 @@\n+new\n`;
    const moved = `diff --git a/Kconfig b/${path}/Kconfig\nsimilarity index 100%\nrename from Kconfig\nrename to ${path}/Kconfig\n`;
    await build([write("made.diff", made), write("moved.diff", moved)]);
    const [work = ""] = readdirSync(join(folder, "cache/kernel-source")).filter((name) => name.startsWith("folder-"));
    const mirror = join(folder, "cache/kernel-source", work, "tree");
    expect(readFileSync(join(mirror, path, "new.h"), "utf8")).toBe("new\n");
    expect([existsSync(join(mirror, "Kconfig")), existsSync(join(mirror, path, "Kconfig"))]).toEqual([false, true]);
    rmSync(join(folder, "cache/kernel-source/kernels"), { recursive: true });
    await build([]);
    expect([existsSync(join(mirror, "Kconfig")), existsSync(join(mirror, path, "new.h"))]).toEqual([true, false]);
  });

  it("comes from a tarball too", async () => {
    const tarball = join(folder, "linux.tar.gz");
    execFileSync("tar", ["-czf", tarball, "-C", folder, "linux"]);
    expect(built(await build([write("one.diff", lineDiff("one", 5, "five"))], tarball))).toContain("five\n");
    expect(built(await build([], tarball))).toBe(plain);
    expect(compiled()).toEqual(["one"]);
  });

  it("comes from a git tree as git sees it, products of a build left out", async () => {
    const git = (...args: string[]): string => execFileSync("git", ["-C", tree, ...args], { encoding: "utf8" });
    writeFakeKernel(tree, { ".gitignore": "*.o\n.config\n" });
    git("init", "-q");
    git("add", ".");
    writeFakeKernel(tree, { ".config": "CONFIG_X=y\n", "stale.o": "stale" });
    await build([]);
    const [work = ""] = readdirSync(join(folder, "cache/kernel-source")).filter((name) => name.startsWith("folder-"));
    const names = readdirSync(join(folder, "cache/kernel-source", work, "tree"));
    expect(names.sort()).toEqual([".gitignore", "Kconfig", "Makefile", "drivers", "refused"]);
  });

  it("has another key for another source, configuration, compiler or patch", () => {
    const parts = { source: "a", config: "b", compiler: "c", patches: [{ title: "d", diff: "e" }] };
    const others = [
      { ...parts, source: "x" },
      { ...parts, config: "x" },
      { ...parts, compiler: "x" },
      { ...parts, patches: [] },
      { ...parts, patches: [{ title: "d", diff: "x" }] },
      { ...parts, patches: [...parts.patches, ...parts.patches] },
    ];
    expect(new Set([parts, ...others].map(kernelKey)).size).toBe(others.length + 1);
    expect(kernelKey({ ...parts })).toBe(kernelKey(parts));
  });
});

describe("a build that can't be done", () => {
  it("for a patch that does not fit names the patch, the file and the hunk, and leaves the tree as it was", async () => {
    const kernel = await build([]);
    const good = write("good.diff", lineDiff("one", 5, "five"));
    const second = lineDiff("two", 14, "x")
      .replace(/^ two line 13$/m, " somebody else's line")
      .split("\n")
      .slice(3)
      .join("\n");
    const bad = write("bad.patch", mail("[PATCH] Fit nothing", patchBody(lineDiff("two", 5, "y") + second)));
    const failure = await build([good, bad]).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(UsageError);
    const sentence = String(failure);
    expect(sentence).toMatch(
      /patch 2 of 2 "Fit nothing" \(.*bad\.patch\) does not apply to Linux 6\.1\.7-rc3: drivers\/gpu\/drm\/virtio\/two\.c, hunk 2 of 2 \(at line 13, in two line 12\); the log is /,
    );
    expect(readFileSync(sentence.split("the log is ")[1] ?? "", "utf8")).toContain("somebody else's line");
    rmSync(kernel.kernel);
    expect(built(await build([]))).toBe(plain);
    expect(compiled()).toEqual([]);
  });

  it("for a patch that is there already says so", async () => {
    writeFakeKernel(tree, { "drivers/gpu/drm/virtio/one.c": driverText("one").replace("one line 5\n", "five\n") });
    await expect(build([write("in.diff", lineDiff("one", 5, "five"))])).rejects.toThrow(/this source has it already/);
  });

  it("for a patch that leads out of the tree, or was wrapped, writes nothing", async () => {
    const victim = write("victim", "untouched\n");
    const outside = `--- a/../victim\n+++ b/../victim\n@@ -1 +1 @@\n-untouched\n+touched\n`;
    await expect(build([write("outside.diff", outside)])).rejects.toThrow(UsageError);
    symlinkSync(folder, join(tree, "link"));
    const behind = `--- a/link/victim\n+++ b/link/victim\n@@ -1 +1 @@\n-untouched\n+touched\n`;
    await expect(build([write("behind.diff", behind)])).rejects.toThrow(/"link" is no folder there/);
    const wrapped = lineDiff("one", 5, "five").replace("+five", "+fi\nve");
    await expect(build([write("wrapped.diff", wrapped)])).rejects.toThrow(/is damaged: corrupt patch at line \d+/);
    expect(readFileSync(victim, "utf8")).toBe("untouched\n");
  });

  it("for code that does not compile gives the compiler's own line", async () => {
    await expect(build([write("broken.diff", lineDiff("one", 5, "BROKEN"))])).rejects.toThrow(
      /Linux 6\.1\.7-rc3 does not compile: drivers\/gpu\/drm\/virtio\/one\.c:1:1: error: it is broken; the log is .*build\.log$/,
    );
    expect(built(await build([]))).toBe(plain);
  });

  it("for an option that this kernel lacks names it", async () => {
    writeFakeKernel(tree, { refused: "CONFIG_HIBERNATION=y\n" });
    await expect(build([])).rejects.toThrow(/6\.1\.7-rc3 can't be configured .*CONFIG_HIBERNATION \(hibernation\)$/);
  });

  it("for a source that is none says what it is", async () => {
    await expect(build([], join(folder, "nowhere"))).rejects.toThrow(/is not there/);
    await expect(build([], write("a.txt", ""))).rejects.toThrow(/no source tree and no tarball/);
    mkdirSync(join(folder, "other"));
    await expect(build([], join(folder, "other"))).rejects.toThrow(/is no Linux source tree/);
    await expect(build([], write("a.tar.xz", "no tarball"))).rejects.toThrow(/can't be unpacked; the log is /);
    writeFakeKernel(tree, { ".config": "" });
    await expect(build([])).rejects.toThrow(/holds the products of a build \(\.config\).*make mrproper/);
  });

  it("because it was interrupted leaves no process, and the next one goes on", async () => {
    const makefile = readFileSync(join(tree, "Makefile"), "utf8");
    writeFakeKernel(tree, {
      Makefile: makefile.replace("\t@cp $< $@", '\t@echo waiting; sh -c "sleep 600; : $(O)"; cp $< $@'),
    });
    const interrupt = new AbortController();
    const running = build([], tree, interrupt.signal);
    while (!said.includes("waiting")) await Promise.race([running, new Promise((resolve) => setImmediate(resolve))]);
    expect(processesOf(folder).length).toBeGreaterThan(0);
    interrupt.abort(new Error("interrupted"));
    await expect(running).rejects.toThrow("interrupted");
    while (processesOf(folder).length > 0) await new Promise((resolve) => setImmediate(resolve));
    writeFakeKernel(tree);
    expect(built(await build([]))).toBe(plain);
  });

  it("waits for another one of the same source", async () => {
    const [first, second] = await Promise.all([build([]), build([write("one.diff", lineDiff("one", 5, "five"))])]);
    expect(built(first)).toBe(plain);
    expect(built(second)).toContain("five\n");
  });
});

describe("the place where a patch fails", () => {
  it("is found in git's words whatever the prefix of the paths", () => {
    const diff = lineDiff("one", 5, "x").replaceAll("a/drivers", "old/drivers");
    const words = "error: patch failed: drivers/gpu/drm/virtio/one.c:4\nerror: drivers: patch does not apply\n";
    expect(whereItFails(diff, words)).toBe("drivers/gpu/drm/virtio/one.c, hunk 1 of 1 (at line 4, in one line 3)");
    expect(whereItFails(diff, "error: x.c: No such file or directory\n")).toBe("x.c: No such file or directory");
  });
});
