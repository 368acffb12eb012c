/**
 * The first process of the small 32-bit Linux in v86: a script for busybox. A login on the screen's text console, a shell on
 * the serial port. On the kernel's command line, `disk=yes` has it hibernate to the first disk, and resume from it before
 * the display is driven; `display=vga` drives v86's own VGA instead of the virtio-gpu.
 */

/** What the shell on the serial port says when it is ready. */
export const SHELL_PROMPT: string = "v86-guest# ";

/** What the login on the screen greets with. */
export const GREETING: string = "virtgpu on v86";

/** A write to /sys/power/resume comes back only where the disk holds no image (Linux, kernel/power/hibernate.c). */
export const INIT_SCRIPT: string = `#!/bin/busybox sh
export PATH=/bin PS1='${SHELL_PROMPT}'
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec </dev/console >/dev/console 2>&1
hostname v86

load() {
  while read -r name; do
    insmod "/modules/$name.ko" || echo "the module $name could not be loaded"
  done <"/modules/$1"
}

# The kernel hands on what it does not know of its command line: here disk and display.
if [ "$disk" = yes ]; then
  load disk
  until [ -b /dev/sda ]; do sleep 0.1; done
  cat /sys/block/sda/dev >/sys/power/resume
  mkswap /dev/sda >/dev/null
  swapon /dev/sda
fi
load "\${display:-gpu}"

(while :; do setsid getty 38400 tty1 linux; sleep 1; done) </dev/null >/dev/null 2>&1 &
while :; do setsid cttyhack sh </dev/ttyS0 >/dev/ttyS0 2>&1; done
`;
