/**
 * A small Linux machine of the lab's own making: kernel, initramfs, disks, and the QEMU processes that it lives in.
 */
export * from "./boot-files.ts";
export * from "./cache.ts";
export * from "./debian-packages.ts";
export * from "./initramfs.ts";
export * from "./kernel.ts";
export * from "./linux-vm.ts";
export * from "./qemu-linux-vm.ts";
export * from "./root-disk.ts";
