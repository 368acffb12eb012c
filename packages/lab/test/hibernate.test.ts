/**
 * `virtgpu hibernate` on the embedded host, each run a process of its own with machine processes below it.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encode } from "fast-png";
import { describe, expect, it } from "vitest";
import { ended, hibernate, inFolder, namesIn, startVirtgpu } from "./support/run-virtgpu.ts";

const REPORT = [
  "after-0.png",
  "after-1.png",
  "before-0.png",
  "before-1.png",
  "difference-0.png",
  "difference-1.png",
  "junit.xml",
  "report.html",
  "report.json",
  "trace.json",
];

/** A picture with something of everything in it. */
function photo(width: number, height: number): Uint8Array {
  const data = new Uint8Array(width * height * 3);
  for (let at = 0; at < data.length; at += 1) data[at] = (at * 7 + (at >> 9) * 31) & 0xff;
  return encode({ width, height, data, channels: 3, depth: 8 });
}

/** Processes that this one started. */
function childrenOf(pid: number): readonly number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text.split(" ").filter(Boolean).map(Number);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe("virtgpu hibernate", () => {
  it("brings a picture, a desktop, a cursor and every kind of object back in a new process", async () => {
    await inFolder(async (folder) => {
      writeFileSync(join(folder, "photo.png"), photo(500, 300));
      const { status, stderr, summary } = await hibernate(folder, ["photo.png"]);
      expect([stderr, status]).toEqual(["", 0]);
      expect(summary.verdict).toBe("nothing lost");
      expect(summary.errors).toEqual([]);
      expect(summary.outputs.map(({ width, height, identical }) => [width, height, identical])).toEqual([
        [500, 300, true],
        [320, 200, true],
      ]);
      expect(summary.outputs[0]?.cursor).toMatchObject({ identical: true });
      const kinds = new Map(summary.objects.map((row) => [row.kind, row]));
      expect([...kinds.keys()].sort()).toEqual(
        ["blob", "context", "cursor", "detached blob", "detached image", "image", "import"].sort(),
      );
      for (const row of kinds.values()) expect(row).toMatchObject({ restored: row.count, lost: 0 });
      const phases = summary.phases.map(({ process: number, phase }) => `${number} ${phase}`);
      for (const phase of ["1 freeze FREEZE", "1 snapshot", "1 restore THAW", "1 write-image", "2 restore RESTORE"]) {
        expect(phases).toContain(phase);
      }
      expect(summary.timeToPictureMs).toBeGreaterThan(0);
      expect(namesIn(join(folder, "report"))).toEqual(REPORT);
      for (const output of [0, 1]) {
        const [before, after] = ["before", "after"].map((when) =>
          readFileSync(join(folder, "report", `${when}-${output}.png`)),
        );
        expect(before?.equals(after ?? Buffer.alloc(0))).toBe(true);
      }
    });
  });

  it("tells what it does, in plain lines where there is no terminal, and ends with the verdict", async () => {
    await inFolder(async (folder) => {
      const args = ["hibernate", "--hard", "--size", "320x200", "--objects", "4"];
      const { status, stdout, stderr } = await ended(startVirtgpu(folder, args));
      expect([stderr, status]).toEqual(["", 0]);
      expect(stdout).toMatch(/^switch a machine on\ndraw a scene/);
      expect(stdout).toMatch(/process \d+ is gone \(SIGKILL\)/);
      expect(stdout).toMatch(/report: report\/report\.html\n/);
      expect(stdout).toMatch(/\nnothing lost: 17 objects, 2 outputs, 1 cursor the same, byte for byte\n$/);
      expect(stdout).not.toContain("\u001b");
    });
  });

  it.each([
    ["s3"],
    ["s2idle"],
    ["hybrid"],
    ["hybrid", "--hard"],
    ["test-resume"],
    ["abort-freeze"],
    ["abort-image"],
    ["abort-power-off"],
    ["shutdown", "--cycles", "2"],
  ])("loses nothing over %s", async (...way) => {
    await inFolder(async (folder) => {
      const { status, summary } = await hibernate(folder, ["--sleep", ...way]);
      expect([summary.sentence, status]).toEqual([expect.stringMatching(/^nothing lost/), 0]);
    });
  });

  it.each([["hang@freeze:3"], ["refuse@restore:9"], ["full-disk"]])("loses nothing to the fault %s", async (fault) => {
    await inFolder(async (folder) => {
      const { status, summary } = await hibernate(folder, ["--fault", fault]);
      expect([summary.sentence, status]).toEqual([expect.stringMatching(/^nothing lost/), 0]);
      expect(namesIn(join(folder, "report"))).toEqual(REPORT);
    });
  });

  it.each([
    ["forget-object", /the host knows no such object/],
    ["damage-page", /the guest's memory of it is not what it was/],
  ])("finds a loss that was planted: %s", async (fault, why) => {
    await inFolder(async (folder) => {
      const { status, summary } = await hibernate(folder, ["--fault", fault]);
      expect([summary.verdict, status]).toEqual(["lost", 1]);
      expect(summary.lost.map(({ key, reason }) => [key, reason])).toEqual([["image 0", expect.stringMatching(why)]]);
      expect(summary.errors[0]?.message).toMatch(why);
    });
  });

  it("is vetoed by a game, loses it where that is wanted, or waits for its end", async () => {
    await inFolder(async (folder) => {
      const [veto, lose, wait] = await Promise.all(
        ["veto", "lose", "wait"].map((policy) =>
          hibernate(folder, ["--policy", policy, "--report", `report of ${policy}`]),
        ),
      );
      expect(veto?.summary.verdict).toBe("nothing lost");
      const vetoed = veto?.summary.phases.filter(({ outcome }) => outcome === "failed").map(({ phase }) => phase);
      expect(vetoed).toEqual(["notify HIBERNATION_PREPARE"]);
      expect([lose?.summary.verdict, lose?.status]).toEqual(["lost", 1]);
      expect(lose?.summary.sentence).toMatch(
        /^lost, as --policy lose allows: context \d+ "a game": its contents went with the host; all else is the same, byte/,
      );
      expect(lose?.summary.errors).toMatchObject([{ code: "LOST", where: expect.stringContaining("a game") }]);
      expect(lose?.summary.lost).toMatchObject([{ kind: "context", state: "unrecoverable" }]);
      expect([wait?.summary.verdict, wait?.status]).toEqual(["nothing lost", 0]);
    });
  });

  it.each(["SIGTERM", "SIGKILL"] as const)("takes its machine along when it is ended by %s", async (signal) => {
    await inFolder(async (folder) => {
      const child = startVirtgpu(folder, ["hibernate", "--size", "320x200", "--cycles", "1000"]);
      const end = ended(child);
      const pids: number[] = [];
      try {
        // It tells of each machine that is gone; by then the next one is on its way.
        await new Promise<void>((resolve, reject) => {
          child.stdout.on("data", (text: string) => {
            pids.push(...childrenOf(child.pid ?? 0));
            if (text.includes("is gone")) resolve();
          });
          child.once("close", () => reject(new Error("it ended by itself")));
        });
      } finally {
        child.kill(signal);
      }
      const { status, stdout } = await end;
      while (pids.some(isAlive)) await new Promise((resolve) => setTimeout(resolve, 5));
      if (signal === "SIGKILL") return;
      expect([stdout, status]).toEqual([expect.stringMatching(/failed: interrupted\n$/), 3]);
      expect(namesIn(join(folder, "report")).filter((name) => name.startsWith("."))).toEqual([]);
    });
  });
});
