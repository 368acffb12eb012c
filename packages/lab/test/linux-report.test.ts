/** The reports of a guest: page, JUnit, JSON, and two guests side by side. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SaxesParser } from "saxes";
import { afterAll, describe, expect, it } from "vitest";
import { compareLinux } from "../src/report/linux-compare.ts";
import { linuxJunit } from "../src/report/linux-junit.ts";
import { linuxPage } from "../src/report/linux-page.ts";
import { linuxSummary, parseLinuxRecord } from "../src/report/linux-record.ts";
import { writeLinuxComparison, writeLinuxReport } from "../src/report/write-linux-report.ts";
import { unbindRemedy } from "../src/scenarios/linux/remedy.ts";
import { neverGuest, sampleGuest, sampleSleep } from "./support/linux-samples.ts";
import { HOSTILE, samplePicture } from "./support/report-samples.ts";

const folder = mkdtempSync(join(tmpdir(), "virtgpu-linux-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Elements by name, with their attributes. Throws where it is not well-formed. */
function elements(xml: string): readonly { readonly name: string; readonly attributes: Record<string, string> }[] {
  const found: { name: string; attributes: Record<string, string> }[] = [];
  const parser = new SaxesParser();
  parser.on("error", (error) => {
    throw error;
  });
  parser.on("opentag", ({ name, attributes }) => found.push({ name, attributes: { ...attributes } }));
  parser.write(xml).close();
  return found;
}

describe("the page of a guest", () => {
  it("says the verdict, the reason, and what helps today", () => {
    const text = linuxPage(neverGuest(), []);
    for (const words of [
      "Never came back",
      "its queues were never enabled again",
      "virtio-gpu-rebind.service",
      "--remedy",
    ]) {
      expect(text).toContain(words);
    }
    expect(linuxPage(sampleGuest(), [])).toContain("Came back, nothing lost");
  });

  it("is not well where a check failed though the picture came back", () => {
    const checks = [{ name: "the cursor is what it was", requirements: [], result: "fail" as const, detail: "none" }];
    expect(linuxPage(sampleGuest({ sleeps: [sampleSleep({ checks })] }), [])).toContain(
      "Came back, but 1 check failed",
    );
  });

  it("takes nothing that a guest or a host says for markup", () => {
    const lines = [HOSTILE];
    const hostile = neverGuest({ guestLog: lines, hostLog: lines, console: lines, reason: HOSTILE, queues: lines });
    const text = linuxPage({ ...hostile, subject: { ...hostile.subject, name: HOSTILE, kernel: HOSTILE } }, []);
    expect(text).not.toContain("<script>alert");
    expect(text).not.toContain("<img src=x");
    expect(() => elements(linuxJunit(hostile))).not.toThrow();
  });
});

describe("the files of a guest", () => {
  it("are a page, a record that can be read again, JUnit, pictures, and the remedy's unit", () => {
    const pictures = [samplePicture(0, "before", 64, 48), samplePicture(0, "after", 64, 48)];
    writeLinuxReport(folder, neverGuest(), pictures);
    for (const name of ["linux.html", "junit.xml", "before-0.png", "after-0.png", "virtio-gpu-rebind.service"]) {
      expect(existsSync(join(folder, name))).toBe(true);
    }
    const read = parseLinuxRecord(readFileSync(join(folder, "linux.json"), "utf8"), "linux.json");
    expect(read).toEqual(neverGuest());
    writeLinuxReport(folder, sampleGuest(), []);
    expect(existsSync(join(folder, "virtio-gpu-rebind.service"))).toBe(false);
  });

  it("refuse a record that is none", () => {
    expect(() => parseLinuxRecord("{}", "linux.json")).toThrow("linux.json is no report of a guest");
    const other = JSON.stringify({ ...sampleGuest(), schemaVersion: 99 });
    expect(() => parseLinuxRecord(other, "linux.json")).toThrow("linux.json has version 99");
    const wrong = JSON.stringify({ ...sampleGuest(), verdict: "maybe" });
    expect(() => parseLinuxRecord(wrong, "linux.json")).toThrow(/verdict/);
  });
});

describe("JUnit XML of a guest", () => {
  it("has a suite a sleep, and a case a check", () => {
    const found = elements(linuxJunit(neverGuest({ sleeps: [...neverGuest().sleeps, sampleSleep({ number: 2 })] })));
    expect(found[0]?.attributes).toMatchObject({ tests: "5", failures: "2", skipped: "1" });
    expect(found.filter(({ name }) => name === "testsuite").map(({ attributes }) => attributes["name"])).toEqual([
      "1: s4-platform, the kernel's driver",
      "2: s4-platform, the kernel's driver",
    ]);
  });
});

describe("--json", () => {
  it("has verdict, checks, times and evidence of every sleep", () => {
    expect(linuxSummary(sampleGuest())).toMatchObject({
      verdict: "came-back",
      checks: [{ sleep: 1, way: "s4-platform", result: "pass" }, { result: "not-offered" }],
      times: [{ sleep: 1, guestPicture: 31 }],
      evidence: [{ sleep: 1, isNewProcess: true }],
    });
  });
});

describe("two guests side by side", () => {
  it("are told apart by the verdict first", () => {
    const comparison = compareLinux(neverGuest(), sampleGuest());
    expect(comparison.better).toBe("second");
    expect(comparison.sentence).toBe(
      "our driver by uio, Linux 6.1.0-cloud is better: came-back against never of the kernel's driver, Linux 6.1.0-cloud",
    );
    expect(compareLinux(sampleGuest(), neverGuest()).better).toBe("first");
  });

  it("then by what failed, else both are best", () => {
    const checks = [{ name: "the cursor is what it was", requirements: [], result: "fail" as const, detail: "none" }];
    const worse = sampleGuest({ sleeps: [sampleSleep({ checks })] });
    expect(compareLinux(worse, sampleGuest())).toMatchObject({ better: "second" });
    expect(compareLinux(sampleGuest(), sampleGuest())).toMatchObject({
      better: "both",
      sentence: "both came back with nothing lost; only times differ",
      names: ["our driver by uio, Linux 6.1.0-cloud (A)", "our driver by uio, Linux 6.1.0-cloud (B)"],
    });
  });

  it("have a page that shows where they differ", () => {
    writeLinuxComparison(folder, [neverGuest(), sampleGuest()]);
    const text = readFileSync(join(folder, "compare.html"), "utf8");
    expect(text).toContain("Better: our driver by uio, Linux 6.1.0-cloud");
    expect(text).toContain("from the wake to the picture");
  });
});

describe("the remedy", () => {
  it("is a unit that runs before a sleep and is taken back after it, in systemd's way to write a dollar sign", () => {
    const { unit } = unbindRemedy();
    expect(unit).toMatch(/^\[Unit\]\n[^]*^StopWhenUnneeded=yes$[^]*^ExecStart=[^]*unbind[^]*^ExecStop=[^]*bind/m);
    expect(unit.replaceAll("$$", "")).not.toContain("$");
  });

  it("is a unit that systemd takes as it is, and the test sees one that it does not", () => {
    const { file, unit } = unbindRemedy();
    const verdict = (text: string): { readonly status: number | null; readonly said: string } => {
      writeFileSync(join(folder, file), text);
      const args = ["--man=no", "verify", join(folder, file)];
      const { status, stderr, error } = spawnSync("systemd-analyze", args, { encoding: "utf8" });
      if (error !== undefined) throw new Error("install systemd-analyze: apt-get install systemd", { cause: error });
      return {
        status,
        said: stderr
          .split("\n")
          .filter((line) => line.includes(file))
          .join("\n"),
      };
    };
    expect(verdict(unit)).toEqual({ status: 0, said: "" });
    expect(verdict(unit.replace("StopWhenUnneeded", "StopWhenever")).said).toContain("Unknown key 'StopWhenever'");
  });
});
