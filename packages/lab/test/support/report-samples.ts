/**
 * Records of runs that never were, for the tests of reports.
 */
import { GpuCommand, GpuReply } from "@virtgpu/core/wire";
import type { MatrixCell, MatrixRecord } from "../../src/report/matrix-record.ts";
import {
  type CommandRecord,
  kindRows,
  type ObjectRecord,
  type OutputRecord,
  type PhaseRecord,
  RUN_RECORD_VERSION,
  type RunRecord,
} from "../../src/report/run-record.ts";
import type { ReportPicture } from "../../src/report/write-report.ts";

const HASH = "5f0e7a3c9b1d4e6f8a2b0c4d6e8f1a3b5f0e7a3c9b1d4e6f8a2b0c4d6e8f1a3b";
const KINDS = ["image", "detached image", "blob", "detached blob", "import", "cursor", "context"];

/** What a hostile host or guest would have in its names. */
export const HOSTILE =
  "</script></style><script>alert(1)</script><img src=x onerror=alert(2)> ]]> & \"'\u0000\u001b[31m\u009b\ud800\ufffe\u202egnp.exe\r\n\t${1}";

/** Objects of all kinds, in turn. */
export function sampleObjects(count: number, lost: number = 0): readonly ObjectRecord[] {
  return Array.from({ length: count }, (_, index): ObjectRecord => {
    const isLost = index < lost;
    return {
      key: `buffer ${index}`,
      kind: KINDS[index % KINDS.length] ?? "image",
      bytes: 4096 * (1 + (index % 300)),
      storage: "guest pages",
      attached: index % 2 === 0,
      before: HASH,
      after: isLost ? "absent" : HASH,
      state: isLost ? (index % 3 === 2 ? "unrecoverable" : "lost") : "restored",
      reason: isLost ? "the host knows no such object" : null,
    };
  });
}

function samplePhases(): readonly PhaseRecord[] {
  const phase = (process: number, device: string, name: string, startMs: number, durationMs: number): PhaseRecord => {
    return { process, device, phase: name, startMs, durationMs, outcome: "done", detail: null };
  };
  return [
    phase(1, "system", "hibernate", 812, 96),
    phase(1, "system", "notify", 812.2, 6),
    phase(1, "system", "freeze devices", 819, 21),
    phase(1, "gpu0", "freeze FREEZE", 819.5, 20),
    phase(1, "gpu0", "drain", 820, 4),
    phase(1, "gpu0", "capture", 824, 14),
    phase(1, "system", "image", 841, 52),
    { ...phase(1, "gpu0", "power off", 894, 8), outcome: "unfinished" },
    phase(2, "system", "resume", 1422, 61),
    phase(2, "system", "read image", 1422.5, 22),
    phase(2, "gpu0", "restore RESTORE", 1446, 34),
    phase(2, "gpu0", "handshake", 1446.4, 3),
    phase(2, "gpu0", "picture", 1449.5, 9),
    phase(2, "gpu0", "objects", 1459, 20),
  ];
}

/** Commands in the restore, `count` of them. */
export function sampleCommands(count: number): readonly CommandRecord[] {
  const types = [
    GpuCommand.RESOURCE_CREATE_2D,
    GpuCommand.RESOURCE_ATTACH_BACKING,
    GpuCommand.TRANSFER_TO_HOST_2D,
    GpuCommand.RESOURCE_FLUSH,
  ];
  return Array.from({ length: count }, (_, index): CommandRecord => {
    const type = types[index % types.length] ?? GpuCommand.RESOURCE_FLUSH;
    return {
      process: 2,
      device: "gpu0",
      queue: index % 50 === 49 ? "cursor" : "control",
      sequence: index,
      type,
      object: 1 + (index >> 2),
      startMs: 1449.5 + (29 * index) / count,
      durationMs: index === count - 1 ? null : 0.3 + (index % 7) / 10,
      reply: index === count - 1 ? null : GpuReply.OK_NODATA,
    };
  });
}

const outputs: readonly OutputRecord[] = [0, 1].map((index) => {
  const cursor = index === 0 ? { before: HASH, after: HASH, identical: true } : null;
  const [width, height] = index === 0 ? [1280, 800] : [1024, 768];
  return { cycle: 1, index, width, height, before: HASH, after: HASH, identical: true, differingPixels: 0, cursor };
});

/** A run in which nothing was lost, with whatever is to be different. */
export function sampleRun(changes: Partial<RunRecord> = {}): RunRecord {
  const objects = changes.objects ?? sampleObjects(48);
  return {
    schemaVersion: RUN_RECORD_VERSION,
    commandLine: "npx virtgpu hibernate --host qemu --device virtio-gpu-pci,max_outputs=2 photo.png",
    options: { host: "qemu", sleep: "s4", hard: false, objects: 24, fault: [], policy: null },
    versions: { virtgpu: "0.1.0", node: "v20.20.2", platform: "linux x64" },
    host: { name: "QEMU", version: "7.2.22", device: "virtio-gpu-pci,max_outputs=2", machine: "q35" },
    startedAt: "2026-03-01T12:34:56.789Z",
    durationMs: 1893.2,
    verdict: "nothing lost",
    sentence: "nothing lost: 48 objects, 2 outputs, 1 cursor the same, byte for byte",
    cycles: 1,
    outputs,
    objects,
    kinds: kindRows(objects),
    phases: samplePhases(),
    commands: sampleCommands(160),
    commandsDropped: 0,
    errors: [],
    timeToPictureMs: 12.5,
    timeToCompleteMs: 34,
    processes: [
      { process: 1, pid: 4711, role: "draws and sleeps", startMs: 20, endMs: 905, exit: "exit code 0" },
      { process: 2, pid: 4730, role: "comes back from the image", startMs: 940, endMs: 1880, exit: "exit code 0" },
    ],
    ...changes,
  };
}

/** A run that lost some of everything. */
export function lostRun(): RunRecord {
  const [first, second] = outputs;
  return sampleRun({
    verdict: "lost",
    sentence: "lost: output 1 differs in 2,400 pixels; the cursor of output 0 differs; 7 objects",
    objects: sampleObjects(48, 7),
    outputs: [
      ...(first === undefined ? [] : [{ ...first, cursor: { before: HASH, after: null, identical: false } }]),
      ...(second === undefined ? [] : [{ ...second, after: "other", identical: false, differingPixels: 2400 }]),
    ],
    errors: [
      { code: "EIO", message: "the host refused RESOURCE_CREATE_2D of resource 7 (0x1201)", where: "gpu0, restore" },
      { code: "LOST", message: "output 1 differs in 2400 pixels", where: "output 1" },
    ],
  });
}

/** A picture with something to see. */
export function samplePicture(output: number, when: "before" | "after", width: number, height: number): ReportPicture {
  const rgba = new Uint8Array(width * height * 4);
  for (let y = 0, at = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, at += 4) {
      const isWindow = x > width / 5 && x < (3 * width) / 5 && y > height / 5 && y < (4 * height) / 5;
      const isBar = isWindow && y < height / 5 + 28;
      rgba[at] = isBar ? 60 : isWindow ? 245 : 30 + Math.floor((90 * y) / height);
      rgba[at + 1] = isBar ? 110 : isWindow ? 245 : 80 + Math.floor((60 * x) / width);
      rgba[at + 2] = isBar ? 190 : isWindow ? 240 : 140;
      rgba[at + 3] = 255;
    }
  }
  return { output, when, width, height, rgba };
}

/** The picture with a rectangle of other pixels. */
export function damaged(picture: ReportPicture, columns: number, rows: number): ReportPicture {
  const { width, height } = picture;
  const rgba = ("rgba" in picture ? picture.rgba : new Uint8Array(width * height * 4)).slice();
  for (let y = 0; y < rows; y += 1) {
    for (let x = 0; x < columns; x += 1) rgba.set([200, 20, 20], ((y + (height >> 1)) * width + x + (width >> 1)) * 4);
  }
  return { output: picture.output, when: picture.when, width, height, rgba };
}

const SLEEPS = ["s4", "shutdown", "reboot", "s3", "s2idle", "hybrid", "abort-freeze", "test-core"];
const FAULTS = ["none", "hang@restore:3", "no-memory@restore:1", "kill-host@freeze:2"];
const HOSTS = ["embedded", "embedded packed", "q35", "q35 root port", "microvm", "virtio-vga"];

/** A matrix in which all is well. */
export function sampleMatrix(changes: Partial<MatrixRecord> = {}): MatrixRecord {
  const cells = SLEEPS.flatMap((sleep) =>
    FAULTS.flatMap((fault) =>
      HOSTS.map((host, at): MatrixCell => {
        const isOffered = at < 2 || !/^(hang|no-memory)/.test(fault);
        const reason = isOffered ? null : "a real QEMU can't be made to refuse a command";
        const mustPass = isOffered && fault === "none";
        return { sleep, fault, host, result: isOffered ? "pass" : "not offered", reason, durationMs: 812.5, mustPass };
      }),
    ),
  );
  return {
    schemaVersion: 1,
    commandLine: "npx virtgpu matrix --host qemu",
    options: { host: "qemu", shard: "1/1" },
    versions: { virtgpu: "0.1.0", node: "v20.20.2", platform: "linux x64" },
    startedAt: "2026-03-01T12:34:56.789Z",
    durationMs: 93_000,
    planned: cells.length,
    shards: [{ index: 1, count: 1 }],
    hosts: HOSTS.map((name) => ({ name, label: `${name}, QEMU 7.2.22, virtio-gpu-pci` })),
    cells,
    ...changes,
  };
}
