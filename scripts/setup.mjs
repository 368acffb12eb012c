/**
 * What every command of this workspace needs first: dependencies as the lock file says, and compiled packages.
 * Plain Node 20 without dependencies, for it runs before there are any.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The workspace's root folder. */
export const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** Where the commands keep what they can make again. */
export const cache = join(root, ".cache");

/**
 * Runs a program in the root folder and gives its exit code; a signal or a failed start counts as 1.
 * `quiet` sends its output to stderr, so that stdout stays machine-readable.
 */
export function run(command, args, { quiet = false, env = process.env } = {}) {
  const stdio = quiet ? ["ignore", 2, 2] : ["ignore", "inherit", "inherit"];
  const result = spawnSync(command, args, { cwd: root, stdio, env });
  if (result.error !== undefined) console.error(`${command}: ${result.error.message}`);
  return result.status ?? 1;
}

/** Runs one of the workspace's tools, given by its file below node_modules, under this Node. */
export function runTool(file, args, options = {}) {
  return run(process.execPath, [join(root, "node_modules", file), ...args], options);
}

/** Runs a TypeScript file of this workspace. `nodeFlags` go to Node itself. */
export function runTypeScript(file, args, { nodeFlags = [], ...options } = {}) {
  return run(process.execPath, [...nodeFlags, "--import", "tsx", join(root, file), ...args], options);
}

/** Installs the dependencies when they are missing or older than the lock file. */
export function ensureDependencies({ quiet = false } = {}) {
  const lock = join(root, "package-lock.json");
  const installed = join(root, "node_modules", ".package-lock.json");
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs) return;
  say(existsSync(installed) ? "dependencies are older than package-lock.json: npm ci" : "no dependencies yet: npm ci");
  const npm = process.env.npm_execpath;
  const code = npm?.endsWith(".js")
    ? run(process.execPath, [npm, "ci", "--no-progress"], { quiet })
    : run("npm", ["ci", "--no-progress"], { quiet });
  if (code !== 0) fail("npm ci failed (see above); nothing can run without the dependencies");
}

/** Compiles the packages that have sources. */
export function build({ quiet = false } = {}) {
  const packages = packagesWithSources();
  say(`building ${packages.join(", ")}`);
  if (runTool("typescript/bin/tsc", ["-b", ...packages], { quiet }) !== 0) fail("the build failed (see above)");
}

/** The packages that have begun: those with a src folder, in the order in which they build on each other. */
export function packagesWithSources() {
  const names = readdirSync(join(root, "packages")).sort();
  return names.filter((name) => existsSync(join(root, "packages", name, "src"))).map((name) => `packages/${name}`);
}

/** Tells the user what goes on. To stderr: stdout belongs to the command. */
export function say(sentence) {
  console.error(`virtgpu: ${sentence}`);
}

/** Ends the command with a sentence. */
export function fail(sentence) {
  console.error(`virtgpu: ${sentence}`);
  process.exit(1);
}
