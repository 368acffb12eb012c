/**
 * Lines that tell of something, picked from a kernel's log and from QEMU's error stream; and those that don't, though they
 * look so.
 */

const KERNEL_COMPLAINTS: readonly RegExp[] = [
  /\bWARNING: (?:CPU|possible|at)\b/,
  /\bBUG: /,
  /\bkernel BUG at\b/,
  /\bOops\b/,
  /\bPANIC\b|Kernel panic/,
  /general protection fault/,
  /blocked for more than \d+ seconds/,
  /\*ERROR\*/,
  /^(?:\[ *[\d.]+\] )?(?:virtio_gpu|virtio-pci|\[drm\]).*\b(?:failed|error|timed out)\b/i,
  /\bresponse 0x12[0-9a-f]{2}\b/,
  /failed to (?:freeze|thaw|restore|hibernate|suspend|resume) /i,
  /rcu: INFO: .* stall/,
];

/** What a kernel says of a sleep that was meant to fail, and no defect. */
const MEANT: readonly RegExp[] = [/PM: .*(?:Cannot find swap|Cannot get swap|not enough swap|Not enough)/i];

/** Lines of a kernel's log that tell of a defect. */
export function kernelComplaints(lines: readonly string[]): readonly string[] {
  return lines.filter(
    (line) => KERNEL_COMPLAINTS.some((pattern) => pattern.test(line)) && !MEANT.some((pattern) => pattern.test(line)),
  );
}

/**
 * SeaBIOS, after an ACPI S3, touches the LPC bridge's configuration space before ECAM is there again: QEMU rejects reads of
 * 0xb00f8000 to 0xb00f8fff. It does so without a GPU, too.
 */
const FIRMWARE = /^Invalid (?:read|write) at addr 0xB00F8[0-9A-F]{3}\b.*reason: rejected/i;
const HARMLESS: readonly RegExp[] = [
  FIRMWARE,
  /^qemu-system-\S+: (?:warning: )?(?:terminating on signal|TCG doesn't support requested feature)/,
  /^qemu-system-\S+: warning: host doesn't support requested feature/,
];

/** Lines of QEMU's error stream (`-d guest_errors`) that tell of a defect of the guest's. */
export function hostComplaints(lines: readonly string[]): readonly string[] {
  return lines.filter((line) => !HARMLESS.some((pattern) => pattern.test(line)));
}
