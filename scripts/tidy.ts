/**
 * House rules that neither the compiler nor the linter can see. Each rule is a function from a file (path and text) to
 * the sentences that say what is wrong, so that a test can plant a violation of each.
 *
 * Run as a program, it checks every file of the tree and ends with 1 if a rule is broken.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/** A file of the tree: its path from the root with forward slashes, and its text. */
export interface TreeFile {
  readonly path: string;
  readonly text: string;
}

/** Says what is wrong with a file: nothing, or one sentence a finding. */
export type Rule = (file: TreeFile) => readonly string[];

/** Most lines of a source file. */
export const LINES_MAX = 500;

const isTypeScript = (path: string): boolean => path.endsWith(".ts");
const isTest = (path: string): boolean => path.endsWith(".test.ts");
const isCoreSource = (path: string): boolean =>
  path.startsWith("packages/core/src/") && isTypeScript(path) && !isTest(path);

/** Source without comments and without what stands inside plain strings; lines keep their numbers. */
export function codeOnly(text: string): string {
  const blank = (match: string): string => match.replace(/[^\n]/g, " ");
  return text.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/g, blank);
}

/** The findings of `pattern` in `text`, each with its line. */
function findings(text: string, pattern: RegExp, sentence: (found: string) => string): string[] {
  return [...text.matchAll(pattern)].map((match) => {
    const line = text.slice(0, match.index).split("\n").length;
    return `line ${line}: ${sentence(match[0].trim())}`;
  });
}

/** Files stay short enough to be read at a sitting. Generated tables and the console's font are exempt. */
export const fileLength: Rule = ({ path, text }) => {
  if (!/\.(ts|mjs)$/.test(path) || /\.gen\.ts$|font/.test(path)) return [];
  const lines = text.split("\n").length - 1;
  return lines > LINES_MAX ? [`${lines} lines; at most ${LINES_MAX}: split it`] : [];
};

/** Nothing is left for later, and no test is switched off. */
export const nothingUnfinished: Rule = ({ path, text }) => {
  if (!/\.(ts|mjs)$/.test(path)) return [];
  const marks = new RegExp(`\\b(${["TO" + "DO", "FIX" + "ME", "X" + "XX"].join("|")})\\b`, "g");
  const switchedOff = /\b(?:it|test|describe)\.(?:skip|only|todo|skipIf|runIf)\b/g;
  return [
    ...findings(text, marks, (found) => `${found}: finish it or leave it out`),
    ...findings(codeOnly(text), switchedOff, (found) => `${found}: no test is switched off`),
  ];
};

/** Core sources take time, randomness and messages from outside, and run without Node. */
export const noBannedGlobals: Rule = ({ path, text }) => {
  if (!isCoreSource(path)) return [];
  const banned =
    /(?<![.\w$])(?:(?:Date|performance|process|console|Buffer)\s*\.|new\s+(?:Date|Buffer)\b|(?:setTimeout|setInterval|setImmediate|queueMicrotask)\s*\(|Math\s*\.\s*random\b|globalThis\b)/g;
  return findings(
    codeOnly(text),
    banned,
    (found) => `${found}: not in the core; it is injected, or not to be had in a browser`,
  );
};

/** The type that switches the compiler off. */
export const noAny: Rule = ({ path, text }) => {
  if (!isTypeScript(path)) return [];
  const uses = /(?:[:<|&,(]\s*|\bas\s+|=>\s*)any\b(?!\s*[:(])/g;
  return findings(codeOnly(text), uses, () => "the type any: say what it is, or unknown");
};

/** Nothing in the tree knows where it was written. */
export const noMachinePaths: Rule = ({ text }) =>
  findings(text, /(?<![\w.\-~*}])\/(?:work|root|home)\/[\w.-]+/g, (found) => `${found}: a path of one machine`);

/** The lock file pins contents, not the server they came from. */
export const noRegistryHosts: Rule = ({ path, text }) => {
  if (!/(^|\/)(package-lock\.json|\.npmrc)$/.test(path)) return [];
  return findings(
    text,
    /"resolved": "https?:[^"]*"|registry\s*=\s*http\S*/g,
    (found) => `${found}: a registry's address`,
  );
};

/** All rules, by name. */
export const rules: Readonly<Record<string, Rule>> = {
  fileLength,
  nothingUnfinished,
  noBannedGlobals,
  noAny,
  noMachinePaths,
  noRegistryHosts,
};

/** A package of the workspace, as the skeleton rule sees it. */
export interface PackageFolder {
  readonly name: string;
  readonly files: readonly string[];
  readonly manifest: Readonly<Record<string, unknown>>;
}

/** Every package that has begun has the same skeleton: who knows one knows all. */
export function packageSkeleton({ name, files, manifest }: PackageFolder): readonly string[] {
  const problems: string[] = [];
  for (const file of ["README.md", "tsconfig.json", "src/index.ts"]) {
    if (!files.includes(file)) problems.push(`packages/${name}: has no ${file}`);
  }
  const expected = { license: "MIT", type: "module" } as const;
  for (const [key, value] of Object.entries(expected)) {
    if (manifest[key] !== value)
      problems.push(`packages/${name}: package.json says ${key} ${String(manifest[key])}, not ${value}`);
  }
  for (const key of ["description", "engines", "exports", "files"]) {
    if (manifest[key] === undefined) problems.push(`packages/${name}: package.json has no ${key}`);
  }
  return problems;
}

/** The tree's text files: what is committed or about to be. */
function treeFiles(root: string): TreeFile[] {
  const listed = execFileSync("git", ["ls-files", "-co", "--exclude-standard"], { cwd: root, encoding: "utf8" });
  const paths = listed.split("\n").filter((path) => /\.(ts|mjs|json|md|html|css|sh)$|(^|\/)(\.npmrc|run)$/.test(path));
  return paths
    .filter((path) => existsSync(join(root, path)))
    .map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));
}

/** The packages that have begun: those with a source file. `paths` are the tree's. */
function packageFolders(root: string, paths: readonly string[]): PackageFolder[] {
  const begun = new Set(paths.flatMap((path) => /^packages\/([^/]+)\/src\//.exec(path)?.[1] ?? []));
  return [...begun].sort().map((name) => {
    const folder = `packages/${name}/`;
    const files = paths.filter((path) => path.startsWith(folder)).map((path) => path.slice(folder.length));
    const manifest: Record<string, unknown> = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"));
    return { name, files, manifest };
  });
}

/** Every finding in the tree below `root`, one sentence each. */
export function tidyTree(root: string): readonly string[] {
  const files = treeFiles(root);
  const inFiles = files.flatMap((file) =>
    Object.values(rules).flatMap((rule) => rule(file).map((sentence) => `${file.path}: ${sentence}`)),
  );
  const folders = packageFolders(
    root,
    files.map((file) => file.path),
  );
  return [...inFiles, ...folders.flatMap(packageSkeleton)];
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const problems = tidyTree(fileURLToPath(new URL("..", import.meta.url)));
  for (const problem of problems) console.log(problem);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
