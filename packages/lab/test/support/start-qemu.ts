/**
 * A program for the leash's test: starts a QEMU with a VNC socket, says where its folder is, and waits to be killed.
 */
import { QemuProcess } from "../../src/hosts/qemu/qemu-process.ts";
import { QtestChannel } from "../../src/hosts/qemu/qtest-channel.ts";

const args = ["-machine", "q35", "-m", "16M", "-device", "virtio-gpu-pci,id=gpu0", "-vnc", "unix:{folder}/vnc"];
const qemu = await QemuProcess.start({ args, ramFd: null, channel: new QtestChannel() });
console.log(qemu.folder);
await qemu.exited;
