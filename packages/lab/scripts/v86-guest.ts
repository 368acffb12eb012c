/**
 * npm run v86-guest -- [--kernel FILE --modules FOLDER] [--initrd FILE] FOLDER
 *
 * Puts a ready guest for v86 into a folder: bios.bin, vmlinuz, initrd, and the kernel's command line in cmdline.txt. Debian's
 * packages are fetched and unpacked, never installed; another kernel can be named.
 */
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { GpuError } from "@virtgpu/core/base";
import { type V86GuestChoice, prepareV86Guest } from "../src/guests/v86/index.ts";
import { makeFolder } from "../src/make-folder.ts";
import { UsageError } from "../src/usage-error.ts";

const USAGE = "npm run v86-guest -- [--kernel FILE --modules FOLDER] [--initrd FILE] FOLDER";

function choose(): { readonly folder: string; readonly choice: V86GuestChoice } {
  const { values, positionals } = parseArgs({
    options: { kernel: { type: "string" }, modules: { type: "string" }, initrd: { type: "string" } },
    allowPositionals: true,
  });
  const [folder] = positionals;
  const { kernel, modules, initrd } = values;
  if (folder === undefined || positionals.length > 1) throw new UsageError(`a folder is needed: ${USAGE}`);
  if ((kernel === undefined) !== (modules === undefined)) {
    throw new UsageError(`--kernel and --modules belong together: ${USAGE}`);
  }
  const named =
    kernel === undefined || modules === undefined ? {} : { kernel: { kind: "files", kernel, modules } as const };
  return { folder, choice: { ...named, ...(initrd === undefined ? {} : { initrd }) } };
}

try {
  const { folder, choice } = choose();
  const guest = await prepareV86Guest(choice);
  makeFolder(folder);
  copyFileSync(guest.bios, join(folder, "bios.bin"));
  copyFileSync(guest.kernel, join(folder, "vmlinuz"));
  copyFileSync(guest.initrd, join(folder, "initrd"));
  writeFileSync(join(folder, "cmdline.txt"), `${guest.commandLine}\n`);
  console.log(`${folder}: Linux ${guest.release} for v86 (bios.bin, vmlinuz, initrd, cmdline.txt)`);
} catch (error) {
  const isExpected = error instanceof GpuError || error instanceof UsageError || error instanceof TypeError;
  if (!isExpected) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
