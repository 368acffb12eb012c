/**
 * The report of a guest, and of two side by side, to a folder; as {@link writeReport} does.
 */
import { compareLinux } from "./linux-compare.ts";
import { linuxComparePage } from "./linux-compare-page.ts";
import { linuxJunit } from "./linux-junit.ts";
import { linuxPage } from "./linux-page.ts";
import type { LinuxRecord } from "./linux-record.ts";
import { embedPictures, type ReportPicture, writeFiles } from "./write-report.ts";

/**
 * Writes `linux.html`, `linux.json`, `junit.xml`, the remedy's unit where there is one, and the pictures. Returns the paths.
 * Throws GpuError with the file system's reason.
 */
export function writeLinuxReport(
  folder: string,
  record: LinuxRecord,
  pictures: readonly ReportPicture[],
): readonly string[] {
  const files = new Map<string, string | Uint8Array>();
  const embedded = embedPictures(pictures, files);
  files.set("linux.html", linuxPage(record, embedded));
  files.set("linux.json", `${JSON.stringify(record, null, 1)}\n`);
  files.set("junit.xml", linuxJunit(record));
  if (record.remedy !== null) files.set(record.remedy.file, record.remedy.unit);
  return writeFiles(folder, files, /^(?:before|after|difference)-\d+\.png$|^virtio-gpu-rebind\.service$/);
}

/** Writes `compare.html` and `compare.json`. */
export function writeLinuxComparison(folder: string, records: readonly [LinuxRecord, LinuxRecord]): readonly string[] {
  const comparison = compareLinux(...records);
  const files = new Map<string, string | Uint8Array>([
    ["compare.html", linuxComparePage(comparison, records)],
    ["compare.json", `${JSON.stringify(comparison, null, 1)}\n`],
  ]);
  return writeFiles(folder, files, null);
}
