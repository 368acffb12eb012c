/**
 * A program for 32-bit Linux guests that draws through the kernel's mode setting interface (Linux, include/uapi/drm/drm_mode.h):
 * page flips, damage, a cursor, and pictures that follow hotplug. In C, since it has to be small, and since nothing in a
 * guest of two megabytes could run anything else; it needs no C library.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cached, keyOf } from "../linux/cache.ts";
import { runProgram } from "../linux/programs.ts";

const SOURCE = String.raw`
/*
 * Draws through the kernel's mode setting interface, for tests of a display in a small 32-bit guest. Free of any C library:
 * built with gcc -m32 -ffreestanding -nostdlib -static.
 *
 *   kms flip N            N page flips between two whole pictures, and the time they took
 *   kms damage N          N times 64 x 64 pixels, told to the kernel one by one
 *   kms cursor X Y HX HY  a cursor of 64 x 64 with its hot spot, until a line comes on standard input
 *   kms follow            shows a picture on each connected output, in the mode it prefers, as that changes, until a line comes
 */
#include <drm.h>
#include <drm_fourcc.h>
#include <drm_mode.h>

typedef unsigned int u32;
typedef unsigned char u8;

static long call(long number, long a, long b, long c, long d, long e, long f)
{
	struct { long number, a, b, c, d, e, f; } args = { number, a, b, c, d, e, f };
	long result;
	__asm__ volatile(
		"push %%ebp; push %%ebx\n"
		"mov 4(%%eax), %%ebx; mov 8(%%eax), %%ecx; mov 12(%%eax), %%edx\n"
		"mov 16(%%eax), %%esi; mov 20(%%eax), %%edi; mov 24(%%eax), %%ebp\n"
		"mov (%%eax), %%eax; int $0x80\n"
		"pop %%ebx; pop %%ebp"
		: "=a"(result) : "a"(&args) : "ecx", "edx", "esi", "edi", "memory");
	return result;
}

enum { EXIT = 1, READ = 3, WRITE = 4, OPEN = 5, CLOSE = 6, IOCTL = 54, MUNMAP = 91, NANOSLEEP = 162, POLL = 168, MMAP2 = 192, CLOCK_GETTIME = 265 };
enum { CONNECTORS = 16, MODES = 64 };

void *memset(void *to, int value, unsigned int count)
{
	u8 *bytes = to;
	while (count-- > 0) *bytes++ = value;
	return to;
}

static unsigned length(const char *text)
{
	unsigned n = 0;
	while (text[n]) n++;
	return n;
}

static void say(const char *text) { call(WRITE, 1, (long)text, length(text), 0, 0, 0); }

static void say_number(u32 value)
{
	char digits[12];
	int at = 11;
	digits[at] = 0;
	do { digits[--at] = '0' + value % 10; value /= 10; } while (value);
	say(digits + at);
}

static void fail(const char *what)
{
	say("kms: failed: ");
	say(what);
	say("\n");
	call(EXIT, 1, 0, 0, 0, 0, 0);
}

static u32 number(const char *text)
{
	u32 value = 0;
	while (*text >= '0' && *text <= '9') value = value * 10 + (*text++ - '0');
	return value;
}

static int same(const char *a, const char *b)
{
	while (*a && *a == *b) a++, b++;
	return *a == *b;
}

static u32 milliseconds(void)
{
	struct { long seconds, nanoseconds; } now;
	call(CLOCK_GETTIME, 1, (long)&now, 0, 0, 0, 0);
	return (u32)now.seconds * 1000u + (u32)now.nanoseconds / 1000000u;
}

static int card;

static void control(unsigned long request, void *argument, const char *what)
{
	if (call(IOCTL, card, request, (long)argument, 0, 0, 0) < 0) fail(what);
}

struct buffer { u32 handle, fb, width, height, pitch, size; u32 *pixels; };

static void make_pixels(struct buffer *buffer, u32 width, u32 height)
{
	struct drm_mode_create_dumb create = { .width = width, .height = height, .bpp = 32 };
	control(DRM_IOCTL_MODE_CREATE_DUMB, &create, "a dumb buffer");
	struct drm_mode_map_dumb map = { .handle = create.handle };
	control(DRM_IOCTL_MODE_MAP_DUMB, &map, "mapping a buffer");
	long at = call(MMAP2, 0, (long)create.size, 3, 1, card, (long)(map.offset >> 12));
	if (at < 0 && at > -4096) fail("mmap");
	buffer->handle = create.handle;
	buffer->width = width;
	buffer->height = height;
	buffer->pitch = create.pitch;
	buffer->size = (u32)create.size;
	buffer->pixels = (u32 *)at;
}

static void make_buffer(struct buffer *buffer, u32 width, u32 height)
{
	make_pixels(buffer, width, height);
	struct drm_mode_fb_cmd2 add = { .width = width, .height = height, .pixel_format = DRM_FORMAT_XRGB8888 };
	add.handles[0] = buffer->handle;
	add.pitches[0] = buffer->pitch;
	control(DRM_IOCTL_MODE_ADDFB2, &add, "a frame buffer");
	buffer->fb = add.fb_id;
}

static void drop_buffer(struct buffer *buffer)
{
	if (buffer->fb == 0) return;
	control(DRM_IOCTL_MODE_RMFB, &buffer->fb, "dropping a frame buffer");
	call(MUNMAP, (long)buffer->pixels, buffer->size, 0, 0, 0, 0);
	struct drm_mode_destroy_dumb destroy = { .handle = buffer->handle };
	control(DRM_IOCTL_MODE_DESTROY_DUMB, &destroy, "dropping a buffer");
	buffer->fb = 0;
}

/* Each pixel tells where it is: blue counts columns, green rows, red is the output's. */
static void paint(struct buffer *buffer, u32 red)
{
	for (u32 y = 0; y < buffer->height; y++)
		for (u32 x = 0; x < buffer->width; x++)
			buffer->pixels[y * (buffer->pitch / 4) + x] = (red & 0xff) << 16 | (y & 0xff) << 8 | (x & 0xff);
}

static void fill(struct buffer *buffer, u32 color)
{
	u32 count = buffer->size / 4;
	u32 *to = buffer->pixels;
	__asm__ volatile("rep stosl" : "+D"(to), "+c"(count) : "a"(color) : "memory");
}

static u32 crtcs[CONNECTORS], connectors[CONNECTORS], outputs;

static void find_outputs(void)
{
	struct drm_mode_card_res resources = { .crtc_id_ptr = (u32)crtcs, .connector_id_ptr = (u32)connectors,
		.count_crtcs = CONNECTORS, .count_connectors = CONNECTORS };
	control(DRM_IOCTL_MODE_GETRESOURCES, &resources, "resources");
	outputs = resources.count_connectors;
}

/* The mode that an output prefers; 0: nothing is connected. */
static int preferred(u32 output, struct drm_mode_modeinfo *mode)
{
	static struct drm_mode_modeinfo modes[MODES];
	struct drm_mode_get_connector get = { .connector_id = connectors[output] };
	control(DRM_IOCTL_MODE_GETCONNECTOR, &get, "a connector");
	get.count_encoders = get.count_props = 0;
	if (get.count_modes > MODES) get.count_modes = MODES;
	get.modes_ptr = (u32)modes;
	control(DRM_IOCTL_MODE_GETCONNECTOR, &get, "a connector's modes");
	if (get.connection != 1 || get.count_modes == 0) return 0;
	if (get.count_modes > MODES) get.count_modes = MODES;
	u32 chosen = 0;
	for (u32 i = 0; i < get.count_modes; i++)
		if (modes[i].type & DRM_MODE_TYPE_PREFERRED) { chosen = i; break; }
	*mode = modes[chosen];
	return 1;
}

static int show(u32 output, struct drm_mode_modeinfo *mode, u32 fb)
{
	struct drm_mode_crtc set = { .set_connectors_ptr = (u32)&connectors[output], .count_connectors = fb ? 1 : 0,
		.crtc_id = crtcs[output], .fb_id = fb, .mode_valid = fb ? 1 : 0 };
	if (fb) set.mode = *mode;
	return call(IOCTL, card, DRM_IOCTL_MODE_SETCRTC, (long)&set, 0, 0, 0) >= 0;
}

static void wait_flip(void)
{
	char event[64];
	if (call(READ, card, (long)event, sizeof event, 0, 0, 0) <= 0) fail("waiting for a flip");
}

static void report(u32 count, u32 start)
{
	say("kms: ");
	say_number(count);
	say(" in ");
	say_number(milliseconds() - start);
	say(" ms\n");
}

static void flips(u32 count)
{
	struct drm_mode_modeinfo mode;
	struct buffer pair[2];
	if (!preferred(0, &mode)) fail("nothing is connected");
	for (int i = 0; i < 2; i++) make_buffer(&pair[i], mode.hdisplay, mode.vdisplay);
	if (!show(0, &mode, pair[0].fb)) fail("setting a mode");
	u32 start = milliseconds();
	for (u32 i = 1; i <= count; i++) {
		fill(&pair[i & 1], 0x010203 * i);
		struct drm_mode_crtc_page_flip flip = { .crtc_id = crtcs[0], .fb_id = pair[i & 1].fb, .flags = DRM_MODE_PAGE_FLIP_EVENT };
		control(DRM_IOCTL_MODE_PAGE_FLIP, &flip, "a page flip");
		wait_flip();
	}
	report(count, start);
}

static void damages(u32 count)
{
	struct drm_mode_modeinfo mode;
	struct buffer one;
	if (!preferred(0, &mode)) fail("nothing is connected");
	make_buffer(&one, mode.hdisplay, mode.vdisplay);
	if (!show(0, &mode, one.fb)) fail("setting a mode");
	u32 start = milliseconds();
	for (u32 i = 0; i < count; i++) {
		u32 x = i * 64 % (mode.hdisplay - 63), y = i * 16 % (mode.vdisplay - 63);
		for (u32 row = 0; row < 64; row++) {
			u32 *to = one.pixels + (y + row) * (one.pitch / 4) + x, n = 64;
			__asm__ volatile("rep stosl" : "+D"(to), "+c"(n) : "a"(0x040506 * i) : "memory");
		}
		struct drm_clip_rect clip = { x, y, x + 64, y + 64 };
		struct drm_mode_fb_dirty_cmd dirty = { .fb_id = one.fb, .num_clips = 1, .clips_ptr = (u32)&clip };
		control(DRM_IOCTL_MODE_DIRTYFB, &dirty, "damage");
	}
	report(count, start);
}

static int line_came(int timeout)
{
	struct { int fd; short events, revents; } in = { 0, 1, 0 };
	return call(POLL, (long)&in, 1, timeout, 0, 0, 0) > 0;
}

/* A triangle, half transparent below. */
static void cursor(u32 x, u32 y, u32 hot_x, u32 hot_y)
{
	struct drm_mode_modeinfo mode;
	struct buffer screen, image;
	if (!preferred(0, &mode)) fail("nothing is connected");
	make_buffer(&screen, mode.hdisplay, mode.vdisplay);
	paint(&screen, 0x20);
	if (!show(0, &mode, screen.fb)) fail("setting a mode");
	make_pixels(&image, 64, 64);
	for (u32 row = 0; row < 64; row++)
		for (u32 column = 0; column < 64; column++)
			image.pixels[row * 64 + column] = column > row ? 0 : (row < 32 ? 0xff000000 : 0x80000000) | row << 16 | column << 8 | 0x7f;
	struct drm_mode_cursor2 set = { .flags = DRM_MODE_CURSOR_BO | DRM_MODE_CURSOR_MOVE, .crtc_id = crtcs[0], .x = x, .y = y,
		.width = 64, .height = 64, .handle = image.handle, .hot_x = hot_x, .hot_y = hot_y };
	control(DRM_IOCTL_MODE_CURSOR2, &set, "a cursor");
	struct drm_mode_cursor move = { .flags = DRM_MODE_CURSOR_MOVE, .crtc_id = crtcs[0], .x = x + 5, .y = y + 7 };
	control(DRM_IOCTL_MODE_CURSOR, &move, "moving the cursor");
	say("kms: the cursor is there\n");
	while (!line_came(1000)) {}
}

static void follow(void)
{
	static struct buffer shown[CONNECTORS];
	say("kms: following\n");
	do {
		for (u32 i = 0; i < outputs; i++) {
			struct drm_mode_modeinfo mode;
			struct buffer fresh = { 0 };
			int connected = preferred(i, &mode);
			if (!connected && shown[i].fb == 0) continue;
			if (connected && shown[i].fb != 0 && mode.hdisplay == shown[i].width && mode.vdisplay == shown[i].height) continue;
			if (connected) {
				make_buffer(&fresh, mode.hdisplay, mode.vdisplay);
				paint(&fresh, 0x40 + i);
			}
			if (!show(i, &mode, fresh.fb)) fail("showing a picture");
			drop_buffer(&shown[i]);
			shown[i] = fresh;
			say("kms: output ");
			say_number(i);
			say(connected ? " shows " : " is off ");
			say_number(fresh.width);
			say("x");
			say_number(fresh.height);
			say("\n");
		}
	} while (!line_came(50));
}

static void run(int count, char **words)
{
	card = call(OPEN, (long)"/dev/dri/card0", 2, 0, 0, 0, 0);
	if (card < 0) fail("there is no /dev/dri/card0");
	find_outputs();
	if (count == 3 && same(words[1], "flip")) flips(number(words[2]));
	else if (count == 3 && same(words[1], "damage")) damages(number(words[2]));
	else if (count == 6 && same(words[1], "cursor")) cursor(number(words[2]), number(words[3]), number(words[4]), number(words[5]));
	else if (count == 2 && same(words[1], "follow")) follow();
	else fail("kms flip N | damage N | cursor X Y HX HY | follow");
	call(EXIT, 0, 0, 0, 0, 0, 0);
}

void begin(long *stack) { run((int)stack[0], (char **)(stack + 1)); }
__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %esp, %eax\n and $-16, %esp\n sub $12, %esp\n push %eax\n call begin\n");
`;

/** The folder of libdrm-dev's copies of the kernel's headers. */
const HEADERS = "/usr/include/libdrm";
const FLAGS = "-m32 -march=i586 -O2 -ffreestanding -nostdlib -static -fno-pie -no-pie -fno-stack-protector".split(" ");

/** The program, compiled; from the cache where it is there. Throws GpuError ENODEV without gcc. */
export async function kmsProgram(): Promise<Buffer> {
  const path = await cached("programs", `kms-${keyOf(SOURCE)}`, async (work) => {
    const source = join(work, "kms.c");
    const made = join(work, "kms");
    writeFileSync(source, SOURCE);
    const tuple = (await runProgram("gcc", ["-print-multiarch"])).toString("utf8").trim();
    await runProgram("gcc", [...FLAGS, `-I${HEADERS}`, `-I/usr/include/${tuple}`, "-o", made, source]);
    return made;
  });
  return readFileSync(path);
}
