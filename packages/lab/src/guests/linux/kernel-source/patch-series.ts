/**
 * Patch files as people have them: a bare diff, `git format-patch` files, an mbox with a whole thread as a list's archive
 * gives it (replies, cover letter and older versions among it, perhaps gzipped). Mails are split and decoded by git's own
 * tools (git-mailsplit, git-mailinfo), as `git am` has it done.
 */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { gunzipSync } from "node:zlib";
import { UsageError } from "../../../usage-error.ts";
import { choosePatches, looksLikeMail, type PatchMail, readMail, titleOf } from "./patch-mail.ts";
import { plainEnvironment } from "./run-program.ts";

/** A patch to be applied. */
export interface Patch {
  /** The file it came in, as it was named. */
  readonly file: string;
  /** Its subject without tags, or the file's name. */
  readonly title: string;
  /** latin1, one character a byte. */
  readonly diff: string;
}

/** The patches of all files, in order, and remarks on what was left out. */
export interface PatchSeries {
  readonly patches: readonly Patch[];
  readonly remarks: readonly string[];
}

const FILE_BYTES_MAX = 64 * 1024 * 1024;
const MAILS_MAX = 5000;
const NAMED_MAX = 5;
const HAS_HUNK = /^(?:@@ -\d|GIT binary patch|rename from |new file mode |deleted file mode |old mode )/m;
const run = promisify(execFile);

/**
 * Reads the files in the order given; of a folder its *.patch files in the order of their names, as `git format-patch -o`
 * writes them. Throws UsageError: not there, no patch in it, a series that is not whole.
 */
export async function readSeries(given: readonly string[]): Promise<PatchSeries> {
  const files = given.flatMap(filesOf);
  const patches: Patch[] = [];
  const remarks: string[] = [];
  for (const file of files) {
    const text = readPatchFile(file);
    if (!looksLikeMail(text)) {
      if (!HAS_HUNK.test(text)) throw new UsageError(`${file} holds no patch: neither a diff nor mail with one`);
      patches.push({ file, title: basename(file), diff: text });
      continue;
    }
    const mails = await splitMails(file, text);
    const { patches: chosen, leftOut, lacking } = choosePatches(mails);
    if (lacking.length > 0) throw new UsageError(`${file} lacks patch ${someOf(lacking)} of its series`);
    const isCover = mails.some((mail) => mail.kind === "cover-letter");
    if (chosen.length === 0 && !isCover) throw new UsageError(`${file} holds no patch: there is none in its mail`);
    if (leftOut.length > 0) remarks.push(`${file}: left out ${leftOut.join("; ")}`);
    patches.push(...chosen.map((mail) => ({ file, title: titleOf(mail), diff: mail.diff })));
  }
  if (files.length > 0 && patches.length === 0)
    throw new UsageError(`${files.join(", ")}: a cover letter, but no patch`);
  return { patches, remarks };
}

function filesOf(path: string): readonly string[] {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) return [path];
  const names = readdirSync(path).filter((name) => name.endsWith(".patch"));
  if (names.length === 0) throw new UsageError(`the folder ${path} holds no file *.patch`);
  return names.sort().map((name) => join(path, name));
}

/** A header may claim any number of patches. */
function someOf(numbers: readonly string[]): string {
  const more = numbers.length - NAMED_MAX;
  return numbers.slice(0, NAMED_MAX).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** One character a byte. */
function readPatchFile(file: string): string {
  let bytes: Buffer;
  try {
    const stat = statSync(file);
    if (!stat.isFile()) throw new UsageError(`the patch ${file} is no file`);
    if (stat.size > FILE_BYTES_MAX) throw new UsageError(`${file} is larger than 64 MiB: too much for a patch series`);
    bytes = readFileSync(file);
    if (bytes[0] === 0x1f && bytes[1] === 0x8b) bytes = gunzipSync(bytes, { maxOutputLength: FILE_BYTES_MAX });
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`the patch ${file} can't be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  return bytes.toString("latin1");
}

async function splitMails(file: string, text: string): Promise<PatchMail[]> {
  const scratch = mkdtempSync(join(tmpdir(), "virtgpu-mail-"));
  try {
    const box = join(scratch, "box");
    const split = join(scratch, "split");
    mkdirSync(split);
    writeFileSync(box, text.trimStart(), "latin1");
    await git(file, scratch, ["mailsplit", "--mboxrd", "-b", `-o${split}`, box]);
    const names = readdirSync(split).sort();
    if (names.length > MAILS_MAX) throw new UsageError(`${file} holds more than ${MAILS_MAX} mails`);
    const mails: PatchMail[] = [];
    for (const name of names) mails.push(await decodeMail(file, scratch, join(split, name)));
    return mails;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function decodeMail(file: string, scratch: string, mail: string): Promise<PatchMail> {
  const message = join(scratch, "message");
  const diff = join(scratch, "diff");
  const text = readFileSync(mail, "latin1");
  const information = await git(file, scratch, ["mailinfo", "-k", message, diff], mail);
  const subject = /^Subject: (.*)$/m.exec(information)?.[1] ?? "";
  return readMail(text, subject, readFileSync(diff, "latin1"));
}

/** git without anybody's settings, and in no repository. */
export function gitEnvironment(folder: string): Record<string, string> {
  return plainEnvironment({
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CEILING_DIRECTORIES: join(folder, ".."),
  });
}

async function git(file: string, folder: string, args: readonly string[], input?: string): Promise<string> {
  const options = { cwd: folder, env: gitEnvironment(folder), maxBuffer: FILE_BYTES_MAX };
  try {
    const running = run("git", args, options);
    running.child.stdin?.on("error", () => {});
    running.child.stdin?.end(input === undefined ? "" : readFileSync(input));
    return (await running).stdout;
  } catch (error) {
    const said =
      error instanceof Error && "stderr" in error ? String(error.stderr).trim().split("\n")[0] : String(error);
    throw new UsageError(`${file} can't be read as mail: ${said}`);
  }
}
