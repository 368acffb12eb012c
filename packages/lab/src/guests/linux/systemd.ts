/**
 * Debian's systemd as the first process of a machine, with units of ours: to try what a user is to install under what will run
 * it. No more of the system than that takes: no log, no udev, no login.
 */
import { copyFileSync, cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { makeFolder } from "../../make-folder.ts";
import { keyOf } from "./cache.ts";
import { debianPackage } from "./debian-packages.ts";
import type { RootAddition } from "./root-disk.ts";

/** Commands that units are written with; busybox has them. */
const COMMANDS = ["basename", "cat", "grep"] as const;

/** Programs of the package, and whoever loads others by itself. */
const PROGRAMS = ["lib/systemd/systemd", "lib/systemd/systemd-sleep", "lib/systemd/systemd-shutdown", "bin/systemctl"];
const OWN_LIBRARIES = "usr/lib/x86_64-linux-gnu/systemd";
const UNITS = "lib/systemd/system";

/** Parts of a system's start that nothing here needs, or that would want to write to the disk. */
const MASKED = [
  "cryptsetup.target",
  "dev-hugepages.mount",
  "dev-mqueue.mount",
  "getty.target",
  "kmod-static-nodes.service",
  "proc-sys-fs-binfmt_misc.automount",
  "sys-fs-fuse-connections.mount",
  "sys-kernel-config.mount",
  "sys-kernel-debug.mount",
  "sys-kernel-tracing.mount",
  "systemd-ask-password-console.path",
  "systemd-ask-password-wall.path",
  "systemd-binfmt.service",
  "systemd-firstboot.service",
  "systemd-initctl.socket",
  "systemd-journal-flush.service",
  "systemd-journald-audit.socket",
  "systemd-journald-dev-log.socket",
  "systemd-journald.service",
  "systemd-journald.socket",
  "systemd-machine-id-commit.service",
  "systemd-modules-load.service",
  "systemd-pcrphase-sysinit.service",
  "systemd-pcrphase.service",
  "systemd-random-seed.service",
  "systemd-remount-fs.service",
  "systemd-repart.service",
  "systemd-sysctl.service",
  "systemd-sysusers.service",
  "systemd-tmpfiles-clean.timer",
  "systemd-tmpfiles-setup-dev.service",
  "systemd-tmpfiles-setup.service",
  "systemd-update-utmp-runlevel.service",
  "systemd-update-utmp.service",
  "systemd-user-sessions.service",
  "tmp.mount",
];

const MACHINE_ID = "76697274677075000000000000000001";

/** The agent takes its words from the kernel's command line, as the other first process does. */
const AGENT = "virtgpu-agent.service";
const AGENT_UNIT = `[Unit]
Description=The lab's agent

[Service]
ExecStart=/usr/lib/virtgpu/agent
StandardInput=null
StandardOutput=tty
StandardError=inherit
TTYPath=/dev/ttyS0
OOMScoreAdjust=-1000
`;

const AGENT_SCRIPT = `#!/bin/sh
read -r line </proc/cmdline
read -r entry </app/entry
exec /usr/bin/node "$entry" \${line#* -- }
`;

/** What a machine started by systemd has on its root disk. Throws GpuError ENOENT, EIO where its packages can't be had. */
export async function systemdAddition(units: Readonly<Record<string, string>>): Promise<RootAddition> {
  const systemd = await debianPackage("systemd");
  const shared = await debianPackage("libsystemd-shared");
  const versions = [systemd, shared].map((folder) => readFileSync(join(folder, "package"), "utf8"));
  return {
    key: keyOf(...versions, ...Object.entries(units).flat(), AGENT_UNIT, AGENT_SCRIPT, ...MASKED),
    programs: PROGRAMS.map((program) => join(systemd, program)),
    libraryFolders: [join(shared, OWN_LIBRARIES)],
    addTo: (tree) => {
      for (const program of PROGRAMS) copy(join(systemd, program), join(tree, program));
      cpSync(join(shared, OWN_LIBRARIES), join(tree, OWN_LIBRARIES), { recursive: true });
      cpSync(join(systemd, UNITS), join(tree, UNITS), { recursive: true, verbatimSymlinks: true });
      addUnits(tree, units);
    },
  };
}

/** Puts units into the tree of a root disk, enabled, with what else systemd wants to find there. */
export function addUnits(tree: string, units: Readonly<Record<string, string>>): void {
  const etc = join(tree, "etc/systemd/system");
  makeFolder(join(etc, "multi-user.target.wants"));
  for (const name of MASKED) symlinkSync("/dev/null", join(etc, name));
  for (const [name, text] of Object.entries({ ...units, [AGENT]: AGENT_UNIT })) writeFileSync(join(etc, name), text);
  for (const [name, text] of Object.entries(units)) enable(etc, name, text);
  symlinkSync(`../${AGENT}`, join(etc, "multi-user.target.wants", AGENT));
  symlinkSync("/lib/systemd/system/multi-user.target", join(etc, "default.target"));
  const agent = join(tree, "usr/lib/virtgpu/agent");
  mkdirSync(dirname(agent), { recursive: true });
  writeFileSync(agent, AGENT_SCRIPT, { mode: 0o755 });
  makeFolder(join(tree, "bin"));
  for (const command of COMMANDS) symlinkSync("busybox", join(tree, "bin", command));
  for (const folder of ["root", "var"]) makeFolder(join(tree, folder));
  writeFileSync(join(tree, "etc/os-release"), 'ID=virtgpu\nNAME="virtgpu lab"\n');
  // Where /etc can't be written, a system without it does not start as it should.
  writeFileSync(join(tree, "etc/machine-id"), `${MACHINE_ID}\n`);
  writeFileSync(join(tree, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
  writeFileSync(join(tree, "etc/group"), "root:x:0:\n");
}

/** What `systemctl enable` does with WantedBy=. */
function enable(etc: string, name: string, text: string): void {
  for (const [, targets = ""] of text.matchAll(/^WantedBy=(.*)$/gm)) {
    for (const target of targets.split(" ").filter((word) => /^[\w-]+\.target$/.test(word))) {
      makeFolder(join(etc, `${target}.wants`));
      symlinkSync(`../${name}`, join(etc, `${target}.wants`, name));
    }
  }
}

function copy(from: string, to: string): void {
  makeFolder(dirname(to));
  copyFileSync(from, to);
}
