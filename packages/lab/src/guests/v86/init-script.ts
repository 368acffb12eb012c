/**
 * The first process of the small 32-bit Linux in v86: a script for busybox. A login on the screen's text console, a shell on
 * the serial port. With a disk it hibernates there, and resumes from it. `display=vga` on the kernel's command line drives
 * v86's own VGA instead of the virtio-gpu.
 */

/** What the shell on the serial port says when it is ready. */
export const SHELL_PROMPT: string = "v86-guest# ";

/** What the login on the screen greets with. */
export const GREETING: string = "virtgpu on v86";

/** A swap disk holds the letters S1SUSPEND at byte 4086 while an image is on it (Linux, kernel/power/swap.c). */
export const INIT_SCRIPT: string = `#!/bin/busybox sh
export PATH=/bin PS1='${SHELL_PROMPT}'
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec </dev/console >/dev/console 2>&1
hostname v86

if [ -b /dev/sda ]; then
  cat /sys/block/sda/dev >/sys/power/resume
  mkswap /dev/sda >/dev/null
  swapon /dev/sda
fi

# The kernel hands on what it does not know of its command line.
while read -r name; do
  insmod "/modules/$name.ko" || echo "the module $name could not be loaded"
done <"/modules/\${display:-gpu}"

(while :; do setsid getty 38400 tty1 linux; sleep 1; done) </dev/null >/dev/null 2>&1 &
while :; do setsid cttyhack sh </dev/ttyS0 >/dev/ttyS0 2>&1; done
`;
