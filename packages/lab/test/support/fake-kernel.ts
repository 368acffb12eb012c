/**
 * A source tree that looks like a kernel's to whoever builds it, and is built in no time: its `allnoconfig` takes the wanted
 * options but those in `refused`, its `bzImage` puts the driver's sources together, one step a file, and says which it did.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const MAKEFILE = `VERSION = 6
PATCHLEVEL = 1
SUBLEVEL = 7
EXTRAVERSION = -rc3
DRIVER = drivers/gpu/drm/virtio
OBJECTS = $(O)/one.o $(O)/two.o

allnoconfig:
	@grep -v -x -f refused $(KCONFIG_ALLCONFIG) > $(O)/.config
	@mkdir -p $(O)/include/config && echo 6.1.7-rc3-virtgpu > $(O)/include/config/kernel.release

bzImage: $(OBJECTS)
	@mkdir -p $(O)/arch/x86/boot && cat $(OBJECTS) > $(O)/arch/x86/boot/bzImage
	@echo kernel/fs/ext4/ext4.ko > $(O)/modules.builtin

$(O)/%.o: $(DRIVER)/%.c
	@echo "  CC      $<"
	@if grep -n BROKEN $<; then echo "$<:1:1: error: it is broken"; exit 1; fi
	@cp $< $@
`;

/** Twenty lines that no patch can mistake for others. */
export function driverText(name: string): string {
  return Array.from({ length: 20 }, (_, line) => `${name} line ${line + 1}\n`).join("");
}

const FILES: Readonly<Record<string, string>> = {
  Makefile: MAKEFILE,
  Kconfig: "",
  refused: "CONFIG_DRM_VIRTIO_GPU_KMS=y\n",
  "drivers/gpu/drm/virtio/one.c": driverText("one"),
  "drivers/gpu/drm/virtio/two.c": driverText("two"),
};

/** Writes the tree; `more` adds files, or has others in their place. */
export function writeFakeKernel(folder: string, more: Readonly<Record<string, string>> = {}): void {
  for (const [path, text] of Object.entries({ ...FILES, ...more })) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
}

/** A diff of one line of a driver's file. */
export function lineDiff(name: string, line: number, text: string): string {
  const path = `drivers/gpu/drm/virtio/${name}.c`;
  const row = (number: number): string => `${name} line ${number}`;
  return [
    `diff --git a/${path} b/${path}`,
    `--- a/${path}`,
    `+++ b/${path}`,
    `@@ -${line - 1},3 +${line - 1},3 @@ ${row(line - 2)}`,
    ` ${row(line - 1)}`,
    `-${row(line)}`,
    `+${text}`,
    ` ${row(line + 1)}`,
    "",
  ].join("\n");
}

/** A mail as `git format-patch` writes it, with a thread's fields where they are given. */
export function mail(subject: string, body: string, fields: Readonly<Record<string, string>> = {}): string {
  const header = Object.entries({ From: "A Developer <a@example.org>", Subject: subject, ...fields });
  return [
    "From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001",
    ...header.map(([name, value]) => `${name}: ${value}`),
    "",
    body,
    "",
  ].join("\n");
}

/** A commit message, and a diff behind it. */
export function patchBody(diff: string): string {
  return `Why it is done.\n\nSigned-off-by: A Developer <a@example.org>\n---\n one.c | 2 +-\n\n${diff}-- \n2.39.5\n`;
}
