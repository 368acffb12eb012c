/**
 * The configuration of a kernel that the lab builds: nothing but what the machine, Node, the agent and the sleeps need,
 * everything built in, so that it compiles in minutes and boots in a second under software emulation.
 *
 * It is given to `make allnoconfig` through KCONFIG_ALLCONFIG (Documentation/kbuild/kconfig.rst): what is not named here
 * is off. Kconfig drops in silence what a kernel doesn't have or what lacks a dependency; {@link checkConfig} compares
 * its answer with what was asked for.
 */

/** An option by its name without CONFIG_, and its value as a `.config` file has it. */
export interface ConfigOption {
  readonly name: string;
  /** "y", a number, or a string with its quotes. */
  readonly value: string;
  /** Why it is asked for; what is missing without it. */
  readonly reason: string;
  /** Whether a kernel without it is of use all the same: older and newer ones lack some. */
  readonly optional: boolean;
}

/** Groups of options with one reason; a `?` behind a name marks an optional one, `=` gives a value other than y. */
const GROUPS: readonly (readonly [reason: string, names: string])[] = [
  [
    "the lab's machine is a PC of 64 bits",
    "64BIT PCI PCI_MSI PCIEPORTBUS? ACPI TTY PRINTK BUG EARLY_PRINTK? MTRR X86_PAT",
  ],
  ["its clocks", "HIGH_RES_TIMERS NO_HZ_IDLE HZ_250 HPET_TIMER? X86_PM_TIMER?"],
  [
    "its consoles and the agent's serial port",
    "SERIAL_8250 SERIAL_8250_CONSOLE SERIAL_8250_NR_UARTS=4 SERIAL_8250_RUNTIME_UARTS=4",
  ],
  ["its disks", "BLOCK VIRTIO_MENU VIRTIO_PCI VIRTIO_BLK BLK_DEV EXT4_FS SWAP"],
  ["its initramfs", "BLK_DEV_INITRD RD_GZIP BINFMT_ELF BINFMT_SCRIPT DEVTMPFS PROC_FS SYSFS TMPFS SHMEM"],
  ["hibernation", "PM HIBERNATION HIBERNATION_SNAPSHOT_DEV ACPI_SLEEP?"],
  [
    "suspend to memory, and waking from it",
    "SUSPEND RTC_CLASS RTC_DRV_CMOS RTC_INTF_SYSFS RTC_INTF_DEV INPUT ACPI_BUTTON",
  ],
  ["sleeps that are broken off on purpose (/sys/power/pm_test)", "PM_DEBUG PM_ADVANCED_DEBUG PM_SLEEP_DEBUG"],
  ["the driver under test", "DRM DRM_VIRTIO_GPU DRM_VIRTIO_GPU_KMS? VIRTIO_PCI_LEGACY?"],
  ["the text console on the screen", "DRM_FBDEV_EMULATION FB? VT VT_CONSOLE FRAMEBUFFER_CONSOLE"],
  ["imported buffers", "DMA_SHARED_BUFFER UDMABUF? DRM_VGEM? DMABUF_HEAPS? DMABUF_HEAPS_SYSTEM? SYNC_FILE?"],
  ["drivers in user space", "UIO? UIO_PCI_GENERIC? HUGETLBFS PROC_PAGE_MONITOR"],
  [
    "Node",
    "MULTIUSER FUTEX EPOLL EVENTFD SIGNALFD TIMERFD AIO MEMBARRIER ADVISE_SYSCALLS FHANDLE MEMFD_CREATE POSIX_TIMERS " +
      "FILE_LOCKING INOTIFY_USER PROC_SYSCTL NET UNIX RSEQ?",
  ],
  [
    "telling what went wrong",
    "PRINTK_TIME KALLSYMS DEBUG_KERNEL DETECT_HUNG_TASK MAGIC_SYSRQ UNWINDER_FRAME_POINTER? IKCONFIG IKCONFIG_PROC " +
      'LOCALVERSION="-virtgpu" DEFAULT_HOSTNAME="virtgpu"',
  ],
];

function toOption(reason: string, word: string): ConfigOption {
  const optional = word.endsWith("?");
  const [name = "", value = "y"] = (optional ? word.slice(0, -1) : word).split("=");
  return { name, value, reason, optional };
}

/** All that is asked for. */
export const CONFIG: readonly ConfigOption[] = GROUPS.flatMap(([reason, names]) =>
  names.split(" ").map((word) => toOption(reason, word)),
);

/** The options as the text of a `.config` file. */
export function configText(options: readonly ConfigOption[] = CONFIG): string {
  return `${options.map((option) => `CONFIG_${option.name}=${option.value}`).join("\n")}\n`;
}

/** Values of a `.config` file by their names without CONFIG_; what is "not set" is not there. */
export function parseConfig(text: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [, name, value] = /^CONFIG_(\w+)=(.*)$/.exec(line.trimEnd()) ?? [];
    if (name !== undefined && value !== undefined) values.set(name, value);
  }
  return values;
}

/** What Kconfig made of the options. */
export interface ConfigCheck {
  /** Asked for, and not as it was asked for. */
  readonly missing: readonly ConfigOption[];
  /** The same of those that a kernel may lack. */
  readonly missingOptional: readonly ConfigOption[];
}

/** Holds a `.config` file against what was asked for. */
export function checkConfig(text: string, options: readonly ConfigOption[] = CONFIG): ConfigCheck {
  const values = parseConfig(text);
  const missing = options.filter((option) => values.get(option.name) !== option.value);
  return {
    missing: missing.filter((option) => !option.optional),
    missingOptional: missing.filter((option) => option.optional),
  };
}

/** One sentence that names the options and what they are for, e.g. for an error. */
export function missingSentence(release: string, missing: readonly ConfigOption[]): string {
  const byReason = new Map<string, string[]>();
  for (const option of missing) byReason.set(option.reason, [...(byReason.get(option.reason) ?? []), option.name]);
  const parts = [...byReason].map(
    ([reason, names]) => `${names.map((name) => `CONFIG_${name}`).join(", ")} (${reason})`,
  );
  return `the kernel ${release} can't be configured for the lab, its Kconfig refuses ${parts.join("; ")}`;
}
