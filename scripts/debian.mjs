/**
 * The system programs that tests use as judges of ours: a real QEMU, an EDID reader, a C compiler with Linux's headers.
 * A test never skips itself for want of one; they are put there first.
 */
import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fail, run, say } from "./setup.mjs";

/** What is looked for (a command, or a file by its path), and the Debian package that brings it. */
export const needed = [
  { probe: "qemu-system-x86_64", package: "qemu-system-x86", why: "the real device that ours is compared with" },
  { probe: "edid-decode", package: "edid-decode", why: "judges the EDID blocks that we generate" },
  { probe: "gcc", package: "gcc", why: "prints the kernel's struct layouts" },
  { probe: "/usr/include/stdio.h", package: "libc6-dev", why: "prints the kernel's struct layouts" },
  { probe: "/usr/include/linux/virtio_gpu.h", package: "linux-libc-dev", why: "the kernel's own struct layouts" },
  { probe: "/usr/include/libdrm/virtgpu_drm.h", package: "libdrm-dev", why: "the struct layouts of the kernel's DRM" },
  { probe: "/usr/sbin/mke2fs", package: "e2fsprogs", why: "makes the disks of the lab's Linux machine" },
  { probe: "xz", package: "xz-utils", why: "unpacks kernel modules" },
  { probe: "make", package: "make", why: "builds what looks like a kernel" },
  { probe: "git", package: "git", why: "splits and applies patch series" },
  { probe: "systemd-analyze", package: "systemd", why: "judges the unit that helps the kernel's driver" },
  { probe: "dbus-daemon", package: "dbus-daemon", why: "the bus that a fake logind is on" },
];

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function isThere(probe) {
  if (probe.startsWith("/")) return existsSync(probe);
  return (process.env.PATH ?? "").split(delimiter).some((folder) => isExecutable(join(folder, probe)));
}

/** The rows of {@link needed} that this machine lacks. */
export function missingPrograms() {
  return needed.filter((row) => !isThere(row.probe));
}

/** Installs what is missing (as root on Debian), or says exactly what to type and ends the command. */
export function ensurePrograms() {
  const missing = missingPrograms();
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((row) => row.package))];
  for (const row of missing) say(`missing: ${row.probe} (${row.why}), in the Debian package ${row.package}`);
  const install = ["install", "-y", "--no-install-recommends", ...packages];
  const isDebian = existsSync("/etc/debian_version") && isThere("apt-get");
  if (!isDebian || process.getuid?.() !== 0) {
    fail(`the tests need them. Install them with:\n  sudo apt-get update && sudo apt-get ${install.join(" ")}`);
  }
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  say("this is Debian and you are root, so: apt-get update");
  if (run("apt-get", ["-qq", "update"], { env }) !== 0)
    say("apt-get update failed; trying with the lists that are there");
  say(`apt-get ${install.join(" ")}`);
  if (run("apt-get", ["-qq", ...install], { env }) !== 0) fail("apt-get install failed (see above)");
  const still = missingPrograms();
  if (still.length > 0) fail(`still missing after the installation: ${still.map((row) => row.probe).join(", ")}`);
}
