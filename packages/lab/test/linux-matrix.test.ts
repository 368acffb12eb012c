/** The matrix of drivers in guests: which lives its cells are run in, and the table that they become. */
import { describe, expect, it } from "vitest";
import {
  cellOf,
  type GuestCell,
  isGreen,
  MATRIX_GUESTS,
  matrixDocument,
  matrixRows,
  planLives,
} from "../src/scenarios/linux/matrix.ts";
import { machineFor } from "../src/scenarios/linux/ways.ts";
import { neverGuest, sampleSleep } from "./support/linux-samples.ts";

const cell: GuestCell = {
  guest: "ours, uio",
  row: "s4-platform",
  verdict: "came-back",
  failed: [],
  notOffered: null,
  reason: null,
  pictureMs: 30,
  completeMs: 40,
};

describe("the lives of the matrix", () => {
  it("have each row of each guest once, but for cases that a guest can't have", () => {
    for (const one of MATRIX_GUESTS) {
      const lives = planLives(one, matrixRows());
      const rows = lives.flatMap(({ chain, hard }) => [...chain, ...(hard === null ? [] : [hard])]);
      expect(new Set(rows).size).toBe(rows.length);
      const left = matrixRows().filter((row) => !rows.includes(row));
      expect(left).toEqual(one.driver === "virtgpu" ? [] : ["hung-host", "hung-host-cursor"]);
    }
  });

  it("never need a hibernation behind an ACPI S3, and end where a driver is lost", () => {
    for (const { chain, guest: one } of MATRIX_GUESTS.flatMap((each) => planLives(each, matrixRows()))) {
      expect(machineFor(chain)).toBe("q35");
      if (one.driver === "kernel") expect(chain.length).toBeLessThan(2);
    }
  });
});

describe("the cells of the matrix", () => {
  it("are of the worst sleep", () => {
    const bad = neverGuest().sleeps;
    expect(cellOf("kernel 6.1", "s4-platform", [sampleSleep(), ...bad])).toMatchObject({
      verdict: "never",
      failed: ["output 0 shows what it showed, by itself (black)"],
      reason: "its queues were never enabled again",
    });
    expect(isGreen(cellOf("ours, uio", "s3", [sampleSleep()]))).toBe(true);
    expect(cellOf("ours, uio", "s3", [])).toMatchObject({ verdict: "failed" });
  });

  it("become a table with numbered reasons, each once", () => {
    const never: GuestCell = { ...cell, guest: "kernel 6.1", verdict: "never", failed: ["x"], reason: 'lost ("line")' };
    const refused: GuestCell = { ...cell, row: "test-resume", notOffered: "this kernel refuses this way: EBUSY" };
    const partly: GuestCell = { ...cell, row: "s3", failed: ["the cursor is what it was"] };
    const cells = [cell, never, { ...never, row: "s4-reboot" }, refused, partly];
    const time = { objects: "10 of 64 KiB", guest: "ours, uio", pictureMs: 31, completeMs: 1500, wakeMs: null };
    const text = matrixDocument(cells, [{ ...time, verdict: "came-back" }]);
    expect(text).toContain("| s4-platform | ✓ |  |  | **never** (1) |  |\n");
    expect(text).toContain("| s4-reboot |  |  |  | **never** (1) |  |\n");
    expect(text).toContain("| test-resume | ✓ refused (2) |");
    expect(text).toContain("| s3 | came back, but (3) |");
    expect(text).toContain("1. lost\n2. this kernel refuses this way: EBUSY\n3. not so: the cursor is what it was\n");
    expect(text).toContain("| 10 of 64 KiB | ours, uio | came-back | 31.0 ms | 1.50 s | – |\n");
    expect(text).toContain("* `hung-host`: ");
  });
});
