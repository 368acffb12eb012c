/**
 * Reports to a folder. Each file appears whole or not at all, and pictures of an earlier report do not stay beside a later
 * one.
 */
import { readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { assert, type ErrorCode, GpuError } from "@virtgpu/core/base";
import { makeFolder } from "../make-folder.ts";
import { chromeTrace } from "./chrome-trace.ts";
import { matrixJunit, runJunit } from "./junit.ts";
import { matrixPage } from "./matrix-page.ts";
import type { MatrixRecord } from "./matrix-record.ts";
import { differencePicture, fitPicture } from "./pictures.ts";
import { encodePng, type Picture, pixelsOf } from "./png.ts";
import { type EmbeddedPicture, type OutputPictures, runPage } from "./run-page.ts";
import type { RunRecord } from "./run-record.ts";

/** What an output showed, of the last sleep; the cursor drawn in, if a viewer would see it. */
export type ReportPicture = Picture & { readonly output: number; readonly when: "before" | "after" };

/** How large all pictures in a page may be together. Those in files beside it are always whole. */
const PAGE_PICTURES_BYTES = 24 << 20;

/**
 * Writes `report.html`, `report.json`, `trace.json`, `junit.xml`, and `before-N.png`, `after-N.png`, `difference-N.png` of
 * each output N; makes the folder if there is none. Returns the paths. Throws GpuError with the file system's reason.
 */
export function writeReport(folder: string, record: RunRecord, pictures: readonly ReportPicture[]): readonly string[] {
  const files = new Map<string, string | Uint8Array>();
  const embedded = embedPictures(pictures, files);
  files.set("report.html", runPage(record, embedded));
  files.set("report.json", `${JSON.stringify(record, null, 1)}\n`);
  files.set("trace.json", `${JSON.stringify(chromeTrace(record))}\n`);
  files.set("junit.xml", runJunit(record));
  return writeFiles(folder, files, /^(?:before|after|difference)-\d+\.png$/);
}

/** Writes `matrix.html`, `matrix.json`, `junit.xml`; as {@link writeReport} does. */
export function writeMatrixReport(folder: string, record: MatrixRecord): readonly string[] {
  const files = new Map<string, string | Uint8Array>([
    ["matrix.html", matrixPage(record)],
    ["matrix.json", `${JSON.stringify(record, null, 1)}\n`],
    ["junit.xml", matrixJunit(record)],
  ]);
  return writeFiles(folder, files, null);
}

/** Pictures by output for a page; whole ones go to `files`. */
export function embedPictures(
  pictures: readonly ReportPicture[],
  files: Map<string, string | Uint8Array>,
): readonly OutputPictures[] {
  const outputs = [...new Set(pictures.map(({ output }) => output))].sort((one, other) => one - other);
  const bytesMax = Math.floor(PAGE_PICTURES_BYTES / Math.max(1, 3 * outputs.length));
  const embed = (name: string, picture: Picture | undefined, like: PictureFile | null = null): PictureFile | null => {
    if (picture === undefined) return null;
    const isSame = like !== null && like.width === picture.width && samePixels(like.picture, picture);
    const whole = isSame ? like.whole : encodePng(picture);
    const fitted = isSame ? { png: like.png, scale: like.scale } : fitPicture(picture, whole, bytesMax);
    const file = `${name}.png`;
    files.set(file, whole);
    return { ...fitted, width: picture.width, height: picture.height, file, picture, whole };
  };
  return outputs.map((output): OutputPictures => {
    assert(Number.isSafeInteger(output) && output >= 0, "outputs are counted");
    const [before, after] = (["before", "after"] as const).map((when) =>
      pictures.find((picture) => picture.output === output && picture.when === when),
    );
    const found = before === undefined || after === undefined ? null : differencePicture(before, after);
    const then = embed(`before-${output}`, before);
    return {
      output,
      before: then,
      after: embed(`after-${output}`, after, then),
      difference: embed(`difference-${output}`, found?.picture),
      differingPixels: found?.differingPixels ?? null,
    };
  });
}

/** A picture that is encoded, with what it was made of. */
interface PictureFile extends EmbeddedPicture {
  readonly picture: Picture;
  readonly whole: Uint8Array;
}

function samePixels(one: Picture, other: Picture): boolean {
  const [{ pixels, channels }, against] = [pixelsOf(one), pixelsOf(other)];
  return channels === against.channels && Buffer.compare(pixels, against.pixels) === 0;
}

/** Writes all, then removes what matches `stale` and was not written. Throws GpuError with the file system's reason. */
export function writeFiles(
  folder: string,
  files: ReadonlyMap<string, string | Uint8Array>,
  stale: RegExp | null,
): readonly string[] {
  const made: string[] = [];
  try {
    makeFolder(folder);
    for (const [name, content] of files) {
      const temporary = join(folder, `.${name}.${process.pid}.new`);
      // One that a crash left behind; process numbers come again.
      rmSync(temporary, { force: true });
      made.push(temporary);
      writeFileSync(temporary, content, { flag: "wx" });
    }
    for (const [index, name] of [...files.keys()].entries()) renameSync(made[index] ?? "", join(folder, name));
    const old = stale === null ? [] : readdirSync(folder).filter((name) => stale.test(name) && !files.has(name));
    for (const name of old) rmSync(join(folder, name), { force: true });
  } catch (error) {
    for (const path of made) rmSync(path, { force: true });
    throw reportError(folder, error);
  }
  return [...files.keys()].map((name) => join(folder, name));
}

const CODES: Readonly<Record<string, ErrorCode>> = {
  ENOSPC: "ENOSPC",
  EDQUOT: "ENOSPC",
  EACCES: "EACCES",
  EPERM: "EACCES",
  EROFS: "EACCES",
  ENOENT: "ENOENT",
};

function reportError(folder: string, error: unknown): GpuError {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return new GpuError(
    CODES[code] ?? "EIO",
    `the report can't be written to ${folder}${code === "" ? "" : `: ${code}`}`,
    {
      cause: error,
    },
  );
}
