/**
 * `virtgpu image inspect` and `virtgpu image verify`: what an image holds, and whether it is whole.
 */
import { GpuError } from "@virtgpu/core/base";
import { type ImageCheck, type ImageHeader, type ImageReader, openImage } from "../image/index.ts";
import { bytesText } from "../report/quantities.ts";
import { UsageError } from "../usage-error.ts";
import type { LabContext } from "./context.ts";
import type { ImageFlags } from "./image.ts";
import { table } from "./style.ts";

/** Where the text goes. */
export interface ImageOut {
  readonly write: (text: string) => void;
  /** One JSON object instead of text. */
  readonly json: boolean;
}

const NOT_AS_IT_MUST_BE = 1;
/** Codes of files that are no whole image. */
const VERDICTS: ReadonlySet<string> = new Set(["EINVAL", "ENOTSUP", "ESTALE"]);
/** Codes of files that can't be opened. */
const TYPED_WRONG: ReadonlySet<string> = new Set(["ENOENT", "EACCES"]);

/** Says what an image holds. Returns the exit code. Throws UsageError when the file can't be opened. */
export async function inspectImage(path: string, out: ImageOut): Promise<number> {
  return withImage(path, out, async ({ header }) => {
    out.write(out.json ? jsonText({ ...header }) : headerText(path, header));
  });
}

/** Checks every byte of an image, and says what it holds. Returns the exit code. Throws UsageError when the file can't be opened. */
export async function verifyImage(path: string, out: ImageOut): Promise<number> {
  return withImage(path, out, async (image) => {
    const check = await image.verify();
    const { header } = image;
    if (out.json) out.write(jsonText({ verdict: "whole", ...header, check }));
    else out.write(`${headerText(path, header)}${checkText(check)}`);
  });
}

/** The command. */
export async function runImageInspect(this: LabContext, { json }: ImageFlags, path: string): Promise<void> {
  const { process } = this;
  process.exitCode = await inspectImage(path, { json, write: (text) => process.stdout.write(text) });
}

/** The command. */
export async function runImageVerify(this: LabContext, { json }: ImageFlags, path: string): Promise<void> {
  const { process } = this;
  process.exitCode = await verifyImage(path, { json, write: (text) => process.stdout.write(text) });
}

async function withImage(path: string, out: ImageOut, use: (image: ImageReader) => Promise<void>): Promise<number> {
  try {
    const image = await openImage(path, { allowUsed: true });
    try {
      await use(image);
    } finally {
      await image.close();
    }
    return 0;
  } catch (error) {
    if (!(error instanceof GpuError)) throw error;
    if (TYPED_WRONG.has(error.code)) throw new UsageError(error.message);
    if (!VERDICTS.has(error.code)) throw error;
    const { code, message } = error;
    out.write(out.json ? jsonText({ verdict: "refused", code, sentence: message }) : `${message}\n`);
    return NOT_AS_IT_MUST_BE;
  }
}

const jsonText = (value: object): string => `${JSON.stringify(value, null, 2)}\n`;

function headerText(path: string, header: ImageHeader): string {
  const { version, id, identity, mark, writtenAtMs, ramBytes, chunkBytes, fileBytes, sections, ram } = header;
  const use = mark === "fresh" ? "fresh: it can be restored, once" : "used: what it holds is of the past";
  const lines = [
    `${path}: a hibernation image of ${bytesText(fileBytes)}, format ${version}`,
    `  ${use}`,
    `  image ${id}`,
    `  of machine ${identity.machine}, sleep ${identity.generation}${timeText(writtenAtMs)}`,
    `  ${bytesText(ramBytes)} of RAM, in chunks of ${bytesText(chunkBytes)}`,
  ];
  const rows = [...sections, { ...ram, name: "RAM" }].map(({ name, byteLength, dataBytes, storedBytes }) => [
    name,
    bytesText(byteLength),
    bytesText(dataBytes),
    bytesText(storedBytes),
  ]);
  return `${lines.join("\n")}\n\n${table([["section", "size", "not zero", "in the file"], ...rows])}`;
}

/** Dates of the year 275760 and later have no text. */
function timeText(writtenAtMs: number): string {
  const date = new Date(writtenAtMs);
  return writtenAtMs === 0 || Number.isNaN(date.getTime()) ? "" : `, written ${date.toISOString()}`;
}

function checkText({ pages, zeroPages, chunks }: ImageCheck): string {
  const packed = Object.entries(chunks)
    .filter(([, count]) => count > 0)
    .map(([codec, count]) => `${count} ${codec}`);
  const all = packed.length === 0 ? "no chunks" : `chunks: ${packed.join(", ")}`;
  return `\n  whole: every byte is as it was written; ${pages} pages and ${zeroPages} of zeros; ${all}\n`;
}
