/**
 * A guest without an operating system: it brings the device up by itself and sends 61,000 commands, each of which is
 * answered by an interrupt. In C, since it is translated by v86 as any guest's code is; it needs no C library.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { V86 } from "v86";
import { cached, keyOf } from "../../../lab/src/guests/linux/cache.ts";
import { debianPackage } from "../../../lab/src/guests/linux/debian-packages.ts";
import { runProgram } from "../../../lab/src/guests/linux/programs.ts";
import { type V86Gpu, type VirtioGpuOptions, attachVirtioGpu } from "../../src/index.ts";
import { NO_NETWORK } from "./no-network.ts";

const SOURCE = String.raw`
/*
 * A guest of one page of code: brings the device up by itself, and sends it commands, each of which is answered by an
 * interrupt. Tells its progress on the serial port.
 */
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;

enum { COUNT = 61000, SIZE = 16 };

__asm__(".section .multiboot, \"a\"\n .align 4\n .long 0x1BADB002, 0, -0x1BADB002\n .text\n"
	".globl _start\n_start: mov $stack_top, %esp\n lgdt table\n ljmp $8, $2f\n2: mov $16, %ax\n mov %ax, %ds\n mov %ax, %es\n mov %ax, %ss\n call run\n1: cli\n hlt\n jmp 1b\n"
	".globl handler\nhandler: pusha\n call interrupt\n popa\n iret\n"
	".data\n .align 8\ngdt: .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff\ntable: .word 23\n .long gdt\n"
	".bss\n .align 16\n .skip 16384\nstack_top:\n .text\n");
extern void handler(void);

static void out8(u16 port, u8 value) { __asm__ volatile("outb %0, %1" :: "a"(value), "Nd"(port)); }
static void out16(u16 port, u16 value) { __asm__ volatile("outw %0, %1" :: "a"(value), "Nd"(port)); }
static void out32(u16 port, u32 value) { __asm__ volatile("outl %0, %1" :: "a"(value), "Nd"(port)); }
static u8 in8(u16 port) { u8 value; __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port)); return value; }
static u32 in32(u16 port) { u32 value; __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port)); return value; }

static void say(const char *text) { while (*text) out8(0x3f8, *text++); }
static void say_number(u32 value)
{
	char digits[12];
	int at = 11;
	digits[at] = 0;
	do { digits[--at] = '0' + value % 10; value /= 10; } while (value);
	say(digits + at);
}

static u32 config(u32 slot, u32 offset) { out32(0xcf8, 0x80000000u | slot << 11 | offset); return in32(0xcfc); }

static struct { u32 low, high, length; u16 flags, next; } descriptors[SIZE] __attribute__((aligned(4096)));
static volatile struct { u16 flags, index, ring[SIZE]; } available __attribute__((aligned(4096)));
static volatile struct { u16 flags, index; struct { u32 id, length; } ring[SIZE]; } used __attribute__((aligned(4096)));
static u32 request[6] = { 0x0100 }, reply[128];
static struct { u16 low, selector, flags, high; } gates[256];
static volatile u32 interrupts, changes;
static u16 ports;
static u32 line;

void interrupt(void)
{
	u8 cause = in8(ports + 0x80);
	if (cause & 1) interrupts++;
	if (cause & 2) changes++;
	if (line >= 8) out8(0xa0, 0x20);
	out8(0x20, 0x20);
}

static void set_up_interrupts(void)
{
	u32 at = (u32)handler;
	gates[0x20 + line].low = at;
	gates[0x20 + line].selector = 8;
	gates[0x20 + line].flags = 0x8e00;
	gates[0x20 + line].high = at >> 16;
	struct { u16 limit; u32 base; } __attribute__((packed)) table = { sizeof gates - 1, (u32)gates };
	__asm__ volatile("lidt %0" :: "m"(table));
	out8(0x20, 0x11); out8(0xa0, 0x11);
	out8(0x21, 0x20); out8(0xa1, 0x28);
	out8(0x21, 4); out8(0xa1, 2);
	out8(0x21, 1); out8(0xa1, 1);
	u16 mask = ~(1u << line | 4);
	out8(0x21, mask); out8(0xa1, mask >> 8);
}

static void set_up_device(void)
{
	out8(ports + 20, 0);
	available.index = used.index = 0;
	out8(ports + 20, 3);
	out32(ports + 8, 1);
	out32(ports + 12, 1);
	out8(ports + 20, 11);
	out16(ports + 22, 0);
	out16(ports + 24, SIZE);
	out32(ports + 32, (u32)descriptors);
	out32(ports + 40, (u32)&available);
	out32(ports + 48, (u32)&used);
	out16(ports + 28, 1);
	out8(ports + 20, 15);
	descriptors[0].low = (u32)request; descriptors[0].length = 24; descriptors[0].flags = 1; descriptors[0].next = 1;
	descriptors[1].low = (u32)reply; descriptors[1].length = sizeof reply; descriptors[1].flags = 2;
}

void run(void)
{
	u32 slot = 0;
	while (slot < 32 && config(slot, 0) != 0x10501af4) slot++;
	if (slot == 32) { say("guest: no device\n"); return; }
	ports = config(slot, 0x10) & 0xfffc;
	line = config(slot, 0x3c) & 0xff;
	config(slot, 4);
	out16(0xcfc, 5);
	set_up_interrupts();
	set_up_device();
	say("guest: begins\n");
	u32 work = 0, lost = 0;
	for (u32 sent = 1; sent <= COUNT; sent++) {
		u32 before = interrupts, known = changes;
		available.ring[available.index % SIZE] = 0;
		available.index++;
		out16(ports + 0x40, 0);
		/* Some work of its own, so that this is translated, and then sleep until the interrupt. */
		for (u32 i = 0; i < 200; i++) work += i * sent;
		__asm__ volatile("cli");
		while (interrupts == before && changes == known) __asm__ volatile("sti; hlt; cli" ::: "memory");
		__asm__ volatile("sti");
		if (in8(ports + 20) & 0x40) {
			say("guest: resets the device\n");
			set_up_device();
			lost = sent;
			continue;
		}
		if (used.index != (u16)(sent - lost)) { say("guest: lost a command\n"); return; }
		if (sent % 10000 == 0) { say("guest: "); say_number(interrupts); say("\n"); }
	}
	say("guest: done with ");
	say_number(interrupts);
	say(" interrupts\n");
}
`;

const FLAGS = [
  ..."-m32 -march=i586 -O2 -ffreestanding -nostdlib -static -fno-pie -no-pie -fno-stack-protector".split(" "),
  ..."-Wl,-Ttext=0x101000 -Wl,--section-start=.multiboot=0x100000 -Wl,--build-id=none".split(" "),
  "-Wl,-z,max-page-size=4096",
] as const;
const WASM = createRequire(import.meta.url).resolve("v86/build/v86.wasm");

async function program(): Promise<string> {
  return cached("programs", `interrupts-${keyOf(SOURCE)}`, async (work) => {
    const source = join(work, "guest.c");
    const made = join(work, "guest");
    writeFileSync(source, SOURCE);
    await runProgram("gcc", [...FLAGS, "-o", made, source]);
    return made;
  });
}

function image(path: string): { buffer: ArrayBuffer } {
  return { buffer: new Uint8Array(readFileSync(path)).buffer };
}

/** Runs the guest until it says that it is done, or gives up; what it said. */
export async function runInterruptGuest(
  options: VirtioGpuOptions,
  prepare: (gpu: V86Gpu) => void = () => {},
): Promise<string> {
  const seabios = await debianPackage("seabios", "i386");
  const emulator = new V86({
    wasm_path: WASM,
    bios: image(join(seabios, "usr/share/seabios/bios-256k.bin")),
    multiboot: image(await program()),
    memory_size: 32 << 20,
    net_device: NO_NETWORK,
    disable_speaker: true,
    autostart: true,
  });
  let said = "";
  const done = new Promise<string>((resolve) => {
    emulator.add_listener("serial0-output-byte", (byte) => {
      said += String.fromCharCode(byte);
      if (/guest: (done|lost|no ).*\n$/.test(said)) resolve(said);
    });
  });
  const gpu = attachVirtioGpu(emulator, options);
  await gpu.attached;
  prepare(gpu);
  try {
    return await done;
  } finally {
    await emulator.destroy();
  }
}
