import { mkdtempSync, readFileSync, readlinkSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { addUnits } from "./systemd.ts";

let tree = "";

beforeEach(() => {
  tree = mkdtempSync(join(tmpdir(), "virtgpu-systemd-"));
});

afterEach(() => {
  rmSync(tree, { recursive: true, force: true });
});

const unit = "[Service]\nExecStart=/bin/true\n\n[Install]\nWantedBy=sleep.target other.target ../../evil\n";

it("units are enabled for the targets that want them, and the agent for all", () => {
  addUnits(tree, { "a.service": unit });
  const etc = join(tree, "etc/systemd/system");
  expect(readFileSync(join(etc, "a.service"), "utf8")).toBe(unit);
  for (const target of ["sleep.target", "other.target"]) {
    expect(readlinkSync(join(etc, `${target}.wants/a.service`))).toBe("../a.service");
  }
  expect(readlinkSync(join(etc, "multi-user.target.wants/virtgpu-agent.service"))).toBe("../virtgpu-agent.service");
  expect(readlinkSync(join(etc, "default.target"))).toBe("/lib/systemd/system/multi-user.target");
});

it("what would write to a disk, or needs more than there is, is masked", () => {
  addUnits(tree, {});
  for (const name of ["systemd-journald.service", "getty.target", "systemd-random-seed.service", "tmp.mount"]) {
    expect(readlinkSync(join(tree, "etc/systemd/system", name))).toBe("/dev/null");
  }
});

it("the agent gets what stands behind two dashes on the kernel's command line", () => {
  addUnits(tree, {});
  const script = join(tree, "usr/lib/virtgpu/agent");
  expect(statSync(script).mode & 0o111).not.toBe(0);
  expect(readFileSync(script, "utf8")).toContain('exec /usr/bin/node "$entry" ${line#* -- }');
});
