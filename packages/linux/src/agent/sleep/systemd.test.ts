import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { sleepBySystemd } from "./systemd.ts";

let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "virtgpu-systemctl-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function systemctl(script: string): string {
  const path = join(folder, "systemctl");
  writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return path;
}

it("systemd is asked for a sleep by its name", async () => {
  const path = systemctl(`echo "$@" >>${folder}/asked`);
  for (const way of ["s4-platform", "s3", "hybrid"] as const) {
    expect(await sleepBySystemd(way, path)).toEqual({ error: null, isSecondLife: false });
  }
  expect(readFileSync(join(folder, "asked"), "utf8")).toBe("hibernate\nsuspend\nhybrid-sleep\n");
});

it("what systemd refuses is told in its own words, and what it has not, too", async () => {
  const path = systemctl('echo "Call to Hibernate failed: not enough swap" >&2\necho more >&2\nexit 1');
  expect((await sleepBySystemd("s4-platform", path)).error).toBe(
    "EIO: systemctl hibernate: Call to Hibernate failed: not enough swap",
  );
  expect((await sleepBySystemd("s2idle", path)).error).toBe("ENOTSUP: systemd has no s2idle");
});
