/**
 * A program for the leash's test: starts a process of the Linux machine with a swap disk, says where its folder is, and waits
 * to be killed.
 */
import { SwapDisk } from "../../src/guests/linux/swap-disk.ts";
import { VmProcess } from "../../src/guests/linux/vm-process.ts";
import { QEMU_BINARY } from "../../src/hosts/qemu/qemu-process.ts";

/** A machine that is never switched on. */
export const PAUSED: readonly string[] = [
  ["-accel", "tcg", "-machine", "q35", "-m", "16M", "-nodefaults", "-display", "none", "-S"],
  ["-chardev", "socket,id=qmp,fd=3", "-mon", "chardev=qmp,mode=control"],
  ["-device", "virtio-gpu-pci,id=gpu0", "-vnc", "unix:{folder}/gpu0-0.vnc"],
].flat();

if (process.argv[1]?.endsWith("start-vm-process.ts") === true) {
  const vm = await VmProcess.start({ qemu: QEMU_BINARY, args: PAUSED, swap: new SwapDisk(16) });
  console.log(vm.folder);
  await vm.exited;
}
