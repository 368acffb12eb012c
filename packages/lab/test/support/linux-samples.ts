/** Records of guests that never were, for the tests of reports. */
import {
  LINUX_RECORD_VERSION,
  type LinuxCheck,
  type LinuxRecord,
  type LinuxSleep,
} from "../../src/report/linux-record.ts";

function sampleCheck(name: string, changes: Partial<LinuxCheck> = {}): LinuxCheck {
  return { name, requirements: ["R-39 (a)"], result: "pass", detail: "every pixel is the same", ...changes };
}

/** A sleep that went well, with whatever is to be different. */
export function sampleSleep(changes: Partial<LinuxSleep> = {}): LinuxSleep {
  return {
    number: 1,
    way: "s4-platform",
    verdict: "came-back",
    checks: [
      sampleCheck("output 0 shows what it showed, by itself"),
      sampleCheck("the cursor is what it was", { result: "not-offered", detail: "the scene has none" }),
    ],
    times: { hibernate: 2100, wake: 3900, picture: 4000, guestPicture: 31, guestComplete: 48 },
    evidence: {
      events: ["SUSPEND_DISK", "SHUTDOWN"],
      exitCode: 0,
      isNewProcess: true,
      sleepError: null,
      restored: 29,
      lost: 0,
    },
    reason: null,
    ...changes,
  };
}

/** A guest that came back, with whatever is to be different. */
export function sampleGuest(changes: Partial<LinuxRecord> = {}): LinuxRecord {
  return {
    schemaVersion: LINUX_RECORD_VERSION,
    commandLine: "virtgpu linux",
    options: { driver: "virtgpu", sleep: ["s4-platform"] },
    versions: { virtgpu: "0.1.0", node: "v20.20.2", platform: "linux x64" },
    startedAt: "2026-03-01T12:34:56.789Z",
    durationMs: 21_000,
    subject: {
      name: "our driver by uio",
      driver: "virtgpu",
      way: "uio",
      kernel: "6.1.0-cloud",
      source: "Debian's linux-image-cloud-amd64",
      qemu: "QEMU 7.2.22",
      machine: "q35",
      accelerator: "software emulation",
      devices: ["virtio-gpu-pci,max_outputs=2"],
      ram: 256,
      remedy: false,
    },
    verdict: "came-back",
    sentence: "the picture came back by itself; nothing was lost",
    reason: null,
    remedy: null,
    sleeps: [sampleSleep()],
    notOffered: [{ kind: "blob", reason: "the device offers no blobs" }],
    guestLog: [],
    hostLog: [],
    console: ["virtgpu-init: starting the agent"],
    queues: [],
    ...changes,
  };
}

/** The kernel's own driver, which never came back. */
export function neverGuest(changes: Partial<LinuxRecord> = {}): LinuxRecord {
  const checks = [sampleCheck("output 0 shows what it showed, by itself", { result: "fail", detail: "black" })];
  const times = { hibernate: 2000, wake: 3900, picture: null, guestPicture: null, guestComplete: null };
  const reason = "its queues were never enabled again";
  const { subject } = sampleGuest();
  return sampleGuest({
    subject: { ...subject, name: "the kernel's driver", driver: "kernel", way: "drm" },
    verdict: "never",
    sentence: "the picture never came back; 1 check failed",
    reason,
    remedy: { about: "Unbind it.", file: "virtio-gpu-rebind.service", unit: "[Unit]\n" },
    sleeps: [sampleSleep({ verdict: "never", checks, times, reason })],
    queues: ["control queue: size 64, descriptors 0x0"],
    ...changes,
  });
}
