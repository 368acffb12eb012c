/**
 * The first process of the lab's Linux machine: a script for busybox. It loads modules, looks whether the swap disk holds an
 * image (then this kernel becomes the one that slept, and the script of that kernel goes on), and else starts the agent.
 *
 * Where the root disk has systemd, that takes its place, and starts the agent (systemd.ts).
 *
 * The rest of the kernel's command line after `--` is the agent's. What it says about itself begins with {@link INIT_SAYS}.
 */

/** How the script's own lines on the console begin. */
export const INIT_SAYS: string = "virtgpu-init:";

/**
 * At byte 4086 of a swap disk stands its signature: S1SUSPEND while it holds an image (Linux, kernel/power/swap.c). A write
 * to /sys/power/resume returns only when the image could not be resumed; to go on with a new system on disks that belong to
 * a sleeping one would destroy it, so the machine is switched off.
 */
export const INIT_SCRIPT: string = `#!/bin/busybox sh
export PATH=/bin
say() { echo "${INIT_SAYS} $*"; }
off() { sync; sleep 0.2; poweroff -f; sleep 30; }

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec </dev/console >/dev/console 2>&1

load() {
  while read -r name; do
    insmod "/modules/$name.ko" || say "the module $name could not be loaded"
  done <"/modules/$1"
}

disk() {
  for entry in /sys/block/vd*; do
    [ "$(cat "$entry/serial" 2>/dev/null)" = "$1" ] && echo "\${entry##*/}" && return
  done
}

load early
swap=$(disk swap)
root=$(disk root)
app=$(disk app)

if [ -n "$swap" ]; then
  signature=$(dd if="/dev/$swap" bs=1 skip=4086 count=10 2>/dev/null)
  say "swap signature: $signature"
  if [ "$signature" = S1SUSPEND ]; then
    cat "/sys/block/$swap/dev" >/sys/power/resume
    say "the image was not resumed; the kernel says:"
    dmesg | grep -i -E "PM: |hibernat" | tail -n 6
    say "switching off, so that the sleeping system is not harmed"
    off
  fi
  swapon "/dev/$swap" || say "the swap disk could not be used"
  cat "/sys/block/$swap/dev" >/sys/power/resume
fi

# An image as large as it needs to be: the kernel would drop what programs run from, and read it anew page by page on waking.
[ -e /sys/power/image_size ] && echo 17179869184 >/sys/power/image_size
load late
mount -r -t ext4 "/dev/$root" /disk || { say "the root disk could not be mounted"; off; }
mount -r -t ext4 "/dev/$app" /disk/app || { say "the agent's disk could not be mounted"; off; }
for folder in proc sys dev; do mount --bind "/$folder" "/disk/$folder"; done
mount -t tmpfs tmpfs /disk/tmp
mount -t tmpfs tmpfs /disk/run

stty -F /dev/ttyS1 raw -echo 115200 || say "there is no second serial port"
exec 3<>/dev/ttyS1
stty -F /dev/ttyS1 raw -echo 115200
if [ -x /disk/lib/systemd/systemd ]; then
  say "starting systemd"
  exec switch_root /disk /lib/systemd/systemd
fi
say "starting the agent"
chroot /disk /usr/bin/node "$(cat /disk/app/entry)" "$@" 3<&-
say "the agent has ended (exit code $?)"
off
`;
