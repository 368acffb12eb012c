/**
 * The structures and request numbers against the kernel's own headers (Debian: linux-libc-dev, and libdrm-dev for those of
 * DRM): a C program made from our tables says in which of them the compiler disagrees.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { snapshotRequests } from "../agent/sleep/snapshot-device.ts";
import { decode, encode, layoutOf, type StructValue } from "./layout.ts";
import {
  DROP_MASTER,
  flags,
  REMOVE_FRAMEBUFFER,
  SET_MASTER,
  type RequestName,
  requestCode,
  requests,
} from "./requests.ts";
import { type FieldType, type StructName, structs } from "./structs.ts";

const INSTALL =
  "install a C compiler and the kernel's headers: apt-get install gcc libc6-dev linux-libc-dev libdrm-dev";
const INCLUDES = ["stdio.h", "stddef.h", "fcntl.h", "drm.h", "drm_mode.h", "drm_fourcc.h", "virtgpu_drm.h"].concat([
  "linux/udmabuf.h",
  "linux/dma-heap.h",
  "linux/suspend_ioctls.h",
]);

/** What the headers of an older libdrm don't have: both came with the macro that is asked for. */
const newer: ReadonlySet<string> = new Set(["drm_virtgpu_resource_create_blob", "drm_virtgpu_3d_transfer_to_host"]);
const NEWER_MACRO = "DRM_IOCTL_VIRTGPU_RESOURCE_CREATE_BLOB";

interface Check {
  readonly expression: string;
  readonly ours: number;
  readonly isNewer: boolean;
}

function structChecks(name: StructName): readonly Check[] {
  const { bytes, fields } = layoutOf(name);
  const isNewer = newer.has(name);
  const type = `struct ${name}`;
  return [
    { expression: `sizeof(${type})`, ours: bytes, isNewer },
    ...fields.map(({ name: field, offset }) => ({ expression: `offsetof(${type}, ${field})`, ours: offset, isNewer })),
    ...fields.map((field) => ({
      expression: `sizeof(((${type} *)0)->${field.name})`,
      ours: bytesOf(field.type),
      isNewer,
    })),
  ];
}

function bytesOf(type: FieldType): number {
  const [, of = type, count = "1"] = /^(\w+)\[(\d+)\]$/.exec(type) ?? [];
  const scalars: Readonly<Record<string, number>> = { char: 1, u16: 2, u32: 4, s32: 4, u64: 8 };
  return (scalars[of] ?? layoutOf(type as StructName).bytes) * Number(count);
}

function requestChecks(): readonly Check[] {
  const names = Object.keys(requests) as RequestName[];
  const cName = (name: string): string => (/^(UDMABUF|DMA_HEAP)/.test(name) ? name : `DRM_IOCTL_${name}`);
  return [
    ...names.map((name) => ({
      expression: cName(name),
      ours: requestCode(name),
      isNewer: newer.has(requests[name].of),
    })),
    { expression: "DRM_IOCTL_MODE_RMFB", ours: REMOVE_FRAMEBUFFER, isNewer: false },
    { expression: "DRM_IOCTL_SET_MASTER", ours: SET_MASTER, isNewer: false },
    { expression: "DRM_IOCTL_DROP_MASTER", ours: DROP_MASTER, isNewer: false },
    ...Object.entries(snapshotRequests).map(([expression, ours]) => ({ expression, ours, isNewer: false })),
  ];
}

function flagChecks(): readonly Check[] {
  const own = new Set(["DRM_MODE_CONNECTED"]);
  return Object.entries(flags)
    .filter(([name]) => !own.has(name))
    .map(([expression, ours]) => ({ expression, ours, isNewer: /BLOB/.test(expression) }));
}

/** The checks that the compiler disagrees with, as "expression: its value, ours". */
function disagreements(checks: readonly Check[]): readonly string[] {
  const line = ({ expression, ours }: Check): string =>
    `  if ((unsigned long long)(${expression}) != ${ours}ull) printf("%s: %llu, ours ${ours}\\n", "${expression}", (unsigned long long)(${expression}));`;
  const of = (isNewer: boolean): string =>
    checks
      .filter((check) => check.isNewer === isNewer)
      .map(line)
      .join("\n");
  const source = [
    ...INCLUDES.map((include) => `#include <${include}>`),
    "int main(void) {",
    of(false),
    `#ifdef ${NEWER_MACRO}`,
    of(true),
    "#endif",
    "  return 0;\n}\n",
  ].join("\n");
  const folder = mkdtempSync(join(tmpdir(), "virtgpu-drm-"));
  try {
    const program = join(folder, "structs");
    writeFileSync(`${program}.c`, source);
    const gcc = spawnSync("gcc", ["-I/usr/include/libdrm", "-o", program, `${program}.c`], { encoding: "utf8" });
    if (gcc.status !== 0) throw new Error(`${INSTALL}\n${gcc.stderr}`);
    const { stdout, status } = spawnSync(program, { encoding: "utf8" });
    expect(status).toBe(0);
    return stdout.split("\n").filter((text) => text !== "");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

describe("the tables of the kernel's DRM", () => {
  it("lay structures out as the C compiler does", () => {
    const checks = (Object.keys(structs) as StructName[]).flatMap(structChecks);
    expect(checks.length).toBeGreaterThan(300);
    expect(disagreements(checks)).toEqual([]);
  });

  it("number requests and flags as the headers do", () => {
    expect(disagreements([...requestChecks(), ...flagChecks()])).toEqual([]);
  });

  it("are held by a test that sees a wrong number", () => {
    const wrong = { expression: "sizeof(struct drm_mode_crtc)", ours: 100, isNewer: false };
    expect(disagreements([wrong])).toEqual(["sizeof(struct drm_mode_crtc): 104, ours 100"]);
  });
});

describe("a structure's bytes", () => {
  const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
  const u64 = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn });

  it("give back every value that went in", () => {
    const framebuffer = fc.record({
      fb_id: u32,
      width: u32,
      height: u32,
      pixel_format: u32,
      flags: u32,
      handles: fc.array(u32, { minLength: 4, maxLength: 4 }),
      pitches: fc.array(u32, { minLength: 4, maxLength: 4 }),
      offsets: fc.array(u32, { minLength: 4, maxLength: 4 }),
      modifier: fc.array(u64, { minLength: 4, maxLength: 4 }),
    });
    fc.assert(
      fc.property(framebuffer, (value) => {
        expect(decode("drm_mode_fb_cmd2", encode("drm_mode_fb_cmd2", value))).toEqual(value);
      }),
    );
  });

  it("hold a nested mode with its name, and negative coordinates", () => {
    const mode: StructValue<"drm_mode_modeinfo"> = {
      ...decode("drm_mode_modeinfo", new Uint8Array(68)),
      hdisplay: 1024,
      vdisplay: 768,
      name: "1024x768",
    };
    const crtc = decode("drm_mode_crtc", encode("drm_mode_crtc", { crtc_id: 35, mode }));
    expect(crtc).toMatchObject({ crtc_id: 35, fb_id: 0, mode: { hdisplay: 1024, name: "1024x768" } });
    expect(decode("drm_mode_cursor2", encode("drm_mode_cursor2", { x: -3 })).x).toBe(-3);
  });

  it("cut off a string that doesn't fit, and its NUL stays", () => {
    const bytes = encode("drm_mode_modeinfo", { name: "x".repeat(40) });
    expect(decode("drm_mode_modeinfo", bytes).name).toBe("x".repeat(31));
  });

  it("are refused when they are too few", () => {
    expect(() => decode("drm_event", new Uint8Array(7))).toThrow(RangeError);
  });
});
