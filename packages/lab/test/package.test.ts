/**
 * The two packages as others get them: packed, laid out in an empty project beside their dependencies, and started by the
 * name that npm would link. (The dependencies are copied from here, so that no network is needed.)
 */
import { execFileSync, spawnSync } from "node:child_process";
import { accessSync, constants, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../../..", import.meta.url));

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly bin?: Readonly<Record<string, string>>;
}

function manifestOf(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
}

describe("the packed packages", () => {
  const project = mkdtempSync(join(tmpdir(), "virtgpu-packed-"));
  const modules = join(project, "node_modules");
  const lab = join(modules, "virtgpu");

  /** Packs a workspace and unpacks it where npm would install it. */
  function install(workspace: string): void {
    const source = join(root, workspace);
    const { name, version } = manifestOf(source);
    execFileSync("npm", ["pack", "--ignore-scripts", "--silent", "--pack-destination", project], { cwd: source });
    const tarball = `${name.replace("@", "").replace("/", "-")}-${version}.tgz`;
    mkdirSync(join(modules, name), { recursive: true });
    execFileSync("tar", ["-xzf", join(project, tarball), "-C", join(modules, name), "--strip-components=1"]);
  }

  /** What a package needs, and what that needs. */
  function copyDependencies(folder: string): void {
    for (const name of Object.keys(manifestOf(folder).dependencies ?? {})) {
      const target = join(modules, name);
      if (existsSync(target)) continue;
      cpSync(join(root, "node_modules", name), target, { recursive: true });
      copyDependencies(target);
    }
  }

  beforeAll(() => {
    install("packages/core");
    install("packages/lab");
    copyDependencies(lab);
  });

  afterAll(() => rmSync(project, { recursive: true, force: true }));

  it("hold a command that can be run, and no tests", () => {
    const bin = join(lab, manifestOf(lab).bin?.["virtgpu"] ?? "none");
    expect(() => accessSync(bin, constants.X_OK)).not.toThrow();
    const files = execFileSync("find", [lab, "-name", "*.test.*", "-o", "-name", "*.tsbuildinfo"], {
      encoding: "utf8",
    });
    expect(files).toBe("");
  });

  it("hibernate, and lose nothing", () => {
    const bin = join(lab, "bin/virtgpu.js");
    const args = ["hibernate", "--quiet", "--objects", "4", "--size", "320x200"];
    const run = spawnSync(bin, args, { cwd: project, encoding: "utf8" });
    expect([run.status, run.stderr]).toEqual([0, ""]);
    expect(run.stdout).toMatch(/^nothing lost: \d+ objects, 2 outputs, 1 cursor/);
    expect(existsSync(join(project, "report/report.html"))).toBe(true);
  });

  it("please publint", () => {
    const publint = join(root, "node_modules/publint/src/cli.js");
    const args = [publint, "run", lab, "--strict", "--pack", "false"];
    const run = spawnSync(process.execPath, args, { encoding: "utf8" });
    expect(run.stdout + run.stderr).toContain("All good!");
    expect(run.status).toBe(0);
  });
});
