/**
 * QEMU's command line for the lab's Linux machine. A kernel takes its image back only on the machine that it left, so both
 * boots of a sleep get the same.
 */
import { UsageError } from "../../usage-error.ts";
import { wantsBlobs } from "./blobs.ts";
import type { LinuxVmOptions } from "./linux-vm.ts";

/** PCI slots of the disks, far from those that QEMU gives out by itself. */
const DISK_SLOTS = { swap: "10", root: "11", app: "12" } as const;
const MOST_HEADS = 16;

/** cmpxchg16b is left out: QEMU 7.2's emulation of it corrupts the flags, and newer kernels die of it at random. */
const PROCESSORS = { tcg: "qemu64,-cx16", kvm: "host" } as const;

function disk(name: keyof typeof DISK_SLOTS, file: string, isWritable: boolean): readonly string[] {
  const options = `format=raw,file.locking=off${isWritable ? "" : ",readonly=on"}`;
  return [
    "-drive",
    `file=${file.replaceAll(",", ",,")},if=none,id=${name},${options}`,
    "-device",
    `virtio-blk-pci,drive=${name},serial=${name},addr=${DISK_SLOTS[name]}`,
  ];
}

function kernelWords(options: LinuxVmOptions): string {
  const words = [
    "console=ttyS0",
    "loglevel=5",
    "no_console_suspend",
    "panic=-1",
    // An emulated processor speculates about nothing; without the precautions a boot takes a tenth less.
    "mitigations=off",
    // A busy host delivers ticks late; a kernel that checks for them then takes the timer for broken and panics.
    "no_timer_check",
    // Nor is a processor that stood still for a while the kernel's fault there.
    "watchdog_thresh=60",
    // The kernel tries out its ciphers at each start: seconds where every instruction is emulated.
    "cryptomgr.notests",
    ...options.commandLine,
    ...(options.agent.length === 0 ? [] : ["--", ...options.agent]),
  ];
  const wrong = words.find((word) => !/^[\x21\x23-\x7e]+$/.test(word));
  if (wrong !== undefined)
    throw new UsageError(`the kernel's command line can't have the word ${JSON.stringify(wrong)}`);
  return words.join(" ");
}

/** Outputs of a GPU as `-device` has it. */
export function headsOf(device: string): number {
  const heads = Number(/(?:^|,)max_outputs=(\d+)(?:,|$)/.exec(device)?.[1] ?? "1");
  return Math.min(Math.max(heads, 1), MOST_HEADS);
}

function vnc(devices: readonly string[]): readonly string[] {
  return devices.flatMap((device, gpu) =>
    Array.from({ length: headsOf(device) }, (_, head) => [
      "-vnc",
      `unix:{folder}/gpu${gpu}-${head}.vnc,display=gpu${gpu},head=${head}`,
    ]).flat(),
  );
}

/** The arguments; `{folder}` stands for the private folder of the process. */
export function qemuArguments(options: LinuxVmOptions): string[] {
  const accelerator = options.accelerator ?? "tcg";
  const blobs = options.devices.some(wantsBlobs);
  const backed = blobs ? ",memory-backend=memory" : "";
  const gpus = options.devices.flatMap((device, index) => ["-device", `${device},id=gpu${index}`]);
  return [
    ["-machine", `${options.machine}${backed}`, "-accel", accelerator, "-cpu", PROCESSORS[accelerator]],
    blobs ? ["-object", `memory-backend-memfd,id=memory,size=${options.memory}M,share=on`] : [],
    ["-m", String(options.memory), "-smp", "1", "-nodefaults", "-no-user-config", "-vga", "none"],
    ["-display", "none", "-no-reboot", "-d", "guest_errors"],
    ["-chardev", "socket,id=qmp,fd=3", "-mon", "chardev=qmp,mode=control"],
    ["-chardev", "socket,id=console,fd=4", "-serial", "chardev:console"],
    ["-chardev", "socket,id=agent,fd=5", "-serial", "chardev:agent"],
    options.extra,
    gpus,
    options.swap === 0 ? [] : ["-add-fd", "fd=6,set=1", "-add-fd", "fd=7,set=1", ...disk("swap", "/dev/fdset/1", true)],
    disk("root", options.boot.root, false),
    disk("app", options.boot.app, false),
    ["-kernel", options.boot.kernel, "-initrd", options.boot.initramfs, "-append", kernelWords(options)],
    options.rfb === true ? vnc(options.devices) : [],
  ].flat();
}
