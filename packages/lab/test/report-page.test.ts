/**
 * Pages and folders: standing alone, bounded, escaped, whole or not at all.
 */
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decode } from "fast-png";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { html } from "../src/report/markup.ts";
import { parseMatrixRecord } from "../src/report/matrix-record.ts";
import { matrixPage } from "../src/report/matrix-page.ts";
import { runPage } from "../src/report/run-page.ts";
import { kindRows, parseRunRecord } from "../src/report/run-record.ts";
import { writeMatrixReport, writeReport } from "../src/report/write-report.ts";
import {
  damaged,
  HOSTILE,
  lostRun,
  sampleCommands,
  sampleMatrix,
  sampleObjects,
  samplePicture,
  sampleRun,
} from "./support/report-samples.ts";

/** Any UTF-16, halves of surrogate pairs too. */
const anyText = fc.array(fc.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "virtgpu-report-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const hostileRun = sampleRun({
  verdict: "failed",
  sentence: HOSTILE,
  commandLine: HOSTILE,
  options: { [HOSTILE]: HOSTILE, list: [HOSTILE] },
  versions: { virtgpu: HOSTILE, node: HOSTILE, platform: HOSTILE },
  host: { name: HOSTILE, version: HOSTILE, device: HOSTILE, machine: HOSTILE },
  startedAt: HOSTILE,
  outputs: sampleRun().outputs.map((output) => ({ ...output, before: HOSTILE, after: HOSTILE })),
  objects: sampleObjects(20, 5).map((object) => ({
    ...object,
    key: HOSTILE,
    kind: HOSTILE,
    storage: HOSTILE,
    reason: HOSTILE,
  })),
  kinds: [{ kind: HOSTILE, count: 1, bytes: 1, restored: 1, lost: 0, unrecoverable: 0 }],
  phases: sampleRun().phases.map((phase) => ({ ...phase, device: HOSTILE, phase: HOSTILE, detail: HOSTILE })),
  commands: sampleCommands(20).map((command) => ({ ...command, device: HOSTILE })),
  errors: [{ code: HOSTILE, message: HOSTILE, where: HOSTILE }],
  processes: [{ process: 1, pid: 1, role: HOSTILE, startMs: 0, endMs: 1, exit: HOSTILE }],
});

const cell = { sleep: HOSTILE, fault: HOSTILE, host: HOSTILE, reason: HOSTILE, durationMs: 1, mustPass: true };
const hostileMatrix = sampleMatrix({
  commandLine: HOSTILE,
  hosts: [{ name: HOSTILE, label: HOSTILE }],
  cells: [
    { ...cell, result: "fail" },
    { ...cell, fault: "x", result: "not offered" },
  ],
});

/** What the policy allows by its hash, and what is there. */
function inline(
  page: string,
  tag: "script" | "style",
): { readonly allowed: string | undefined; readonly found: string[] } {
  const found = [...page.matchAll(new RegExp(`<${tag}>([\\s\\S]*?)</${tag}>`, "g"))].map(([, text = ""]) => {
    return createHash("sha256").update(text).digest("base64");
  });
  const policy =
    /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(page)?.[1]?.replaceAll("&#39;", "'") ?? "";
  return { allowed: new RegExp(`${tag}-src 'sha256-([^']*)'(?:;|$)`).exec(policy)?.[1], found };
}

describe("a page", () => {
  it("asks nobody for anything: no address but data: and files beside it", () => {
    for (const page of [runPage(lostRun(), []), matrixPage(sampleMatrix())]) {
      expect(page).not.toMatch(/https?:|@import|url\(|<link|<iframe|<base/i);
      const addresses = [...page.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, address = ""]) => address);
      for (const address of addresses) expect(address).toMatch(/^(?:data:image\/png;base64,|[\w-]+\.(?:json|png)$)/);
      expect(page).toContain("default-src &#39;none&#39;");
    }
  });

  it("lets one script and one style sheet run, by their hashes", () => {
    for (const page of [runPage(lostRun(), []), runPage(hostileRun, []), matrixPage(hostileMatrix)]) {
      for (const tag of ["script", "style"] as const) {
        const { allowed, found } = inline(page, tag);
        expect(found).toEqual([allowed]);
      }
      expect(page.replace(/="[^"]*"/g, '=""')).not.toMatch(/<[a-z]+[^>]* (?:on\w+|style)=/);
    }
  });

  it("makes no markup of what comes from elsewhere", () => {
    const quiet = (page: string): string[] => [...page.matchAll(/<\/?([a-z]+)/g)].map(([, tag = ""]) => tag);
    for (const page of [runPage(hostileRun, []), matrixPage(hostileMatrix)]) {
      expect(page).toContain("&lt;script&gt;alert(1)");
      expect(page).not.toContain("<script>alert");
      expect(page).not.toContain("<img src=x");
      // oxlint-disable-next-line no-control-regex
      expect(page).not.toMatch(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202e]/);
      expect(quiet(page).filter((tag) => tag === "script")).toHaveLength(2);
    }
  });

  it("escapes whatever is put into a template, in elements and in attributes", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const markup = html`<p title="${text}">${text}</p>`.toString();
        const [, attribute = "<", element = "<"] = /^<p title="([^"]*)">([^<]*)<\/p>$/.exec(markup) ?? [];
        expect(attribute + element).not.toMatch(/[<>"']/);
      }),
    );
    expect(html`${html`<b>`}${["&", null, 1]}`.toString()).toBe("<b>&amp;1");
  });

  it("says what was lost before all else, and each object that was", () => {
    const page = runPage(lostRun(), []);
    const places = ["<h1>Lost</h1>", "2 errors", "<h2>Outputs", "7 objects that did not come back", "By kind"].map(
      (text) => page.indexOf(text),
    );
    expect(places).toEqual([...places].sort((one, other) => one - other));
    expect(places).not.toContain(-1);
    expect(page).toContain("2,400 pixels of 786,432 (0.31 %) differ");
    expect(runPage(sampleRun(), [])).not.toContain("did not come back");
  });

  it("stays bounded with 10,000 objects, 20,000 commands and 5,000 errors, and says what is left out", () => {
    const objects = sampleObjects(10_000, 3000);
    const errors = Array.from({ length: 5000 }, () => ({ code: "EIO", message: "x".repeat(3000), where: "y" }));
    const page = runPage(
      sampleRun({ objects, kinds: kindRows(objects), commands: sampleCommands(20_000), commandsDropped: 5, errors }),
      [],
    );
    expect(page.length).toBeLessThan(2_000_000);
    for (const told of [
      "2,800 more in report.json",
      "All 10,000 objects; the first 1,000 here",
      "5 commands in the middle",
    ]) {
      expect(page).toContain(told);
    }
  });

  it("draws each phase, and many commands as how many there were", () => {
    const few = runPage(sampleRun(), []);
    for (const name of ["freeze FREEZE", "capture", "restore RESTORE", "picture"]) expect(few).toContain(`${name}: `);
    expect(few.match(/class="panel"/g)).toHaveLength(2);
    expect(few.match(/<rect class="command/g)).toHaveLength(160);
    const many = runPage(sampleRun({ commands: sampleCommands(20_000) }), []);
    expect(many.match(/<rect class="command/g)?.length).toBeLessThan(1000);
    expect(runPage(sampleRun({ phases: [] }), [])).toContain("No phase was recorded");
  });
});

describe("a report's folder", () => {
  const pictures = (["before", "after"] as const).map((when) => samplePicture(0, when, 160, 100));

  it("has the page, the record, the trace, the XML, and the pictures of each output", () => {
    const [before = samplePicture(0, "before", 1, 1), after = before] = pictures;
    const written = writeReport(join(folder, "new", "report"), sampleRun(), [before, damaged(after, 5, 4)]);
    const names = readdirSync(join(folder, "new", "report")).sort();
    expect(names).toEqual([
      "after-0.png",
      "before-0.png",
      "difference-0.png",
      "junit.xml",
      "report.html",
      "report.json",
      "trace.json",
    ]);
    expect(written.map((path) => path.slice(join(folder, "new", "report").length + 1)).sort()).toEqual(names);
    const read = (name: string): Buffer => readFileSync(join(folder, "new", "report", name));
    expect(parseRunRecord(read("report.json").toString(), "report.json")).toEqual(sampleRun());
    const shown = decode(read("after-0.png")).data;
    expect(shown.slice(0, 4)).toEqual(decode(read("before-0.png")).data.slice(0, 4));
    expect(shown.slice((50 * 160 + 80) * 4, (50 * 160 + 81) * 4)).toEqual(Uint8Array.of(200, 20, 20, 255));
    const { data, channels } = decode(read("difference-0.png"));
    const highlighted = Array.from(
      { length: 160 * 100 },
      (_, at) => data[at * channels] === 255 && data[at * channels + 2] === 160,
    );
    expect(highlighted.filter(Boolean)).toHaveLength(20);
    expect(read("report.html").toString()).toContain(`data:image/png;base64,${read("after-0.png").toString("base64")}`);
  });

  it("keeps no picture of an earlier report, and nothing else is touched", () => {
    for (const name of ["before-7.png", "difference-0.png", "photo.png", "before-x.png"]) {
      writeFileSync(join(folder, name), "old");
    }
    writeReport(folder, sampleRun(), pictures.slice(0, 1));
    const names = readdirSync(folder);
    expect(names).not.toContain("before-7.png");
    expect(names).not.toContain("difference-0.png");
    expect(names).toEqual(expect.arrayContaining(["photo.png", "before-x.png", "before-0.png"]));
  });

  it("is told with its reason when it can't be written, and leaves the earlier report whole", () => {
    writeReport(folder, sampleRun(), pictures);
    const before = readFileSync(join(folder, "report.html"), "utf8");
    writeFileSync(join(folder, "file"), "");
    expect(() => writeReport(join(folder, "file", "report"), lostRun(), [])).toThrow(/can't be written to .*ENOTDIR/);
    // The last file but one can't be written: where it is to go first, a folder is in the way.
    const inTheWay = join(folder, `.trace.json.${process.pid}.new`);
    mkdirSync(inTheWay);
    expect(() => writeReport(folder, lostRun(), [])).toThrow(/the report can't be written to /);
    rmSync(inTheWay, { recursive: true });
    expect(readdirSync(folder).filter((name) => name.endsWith(".new"))).toEqual([]);
    expect(readFileSync(join(folder, "report.html"), "utf8")).toBe(before);
  });

  it("has a matrix as page, record and XML", () => {
    writeMatrixReport(folder, sampleMatrix());
    expect(readdirSync(folder).sort()).toEqual(["junit.xml", "matrix.html", "matrix.json"]);
    const json = readFileSync(join(folder, "matrix.json"), "utf8");
    expect(parseMatrixRecord(json, "matrix.json")).toEqual(sampleMatrix());
  });
});
