/**
 * EDIDs held against edid-decode (Debian's package of that name), a program that shares nothing with ours: it must find
 * no fault in any EDID that we make, read back what we wrote, and agree with our tables of timings and with our CVT.
 */
import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { DMT_TIMINGS } from "../src/wire/edid/dmt.ts";
import { ESTABLISHED_1_2, ESTABLISHED_3 } from "../src/wire/edid/established.ts";
import { cvtReducedBlanking, type EdidOptions, type EdidTiming, generateEdid } from "../src/wire/edid/index.ts";
import { VIC_TIMINGS } from "../src/wire/edid/vic.ts";

function edidDecode(args: readonly string[], input?: Uint8Array): string {
  const { error, stdout } = spawnSync("edid-decode", args, { input, encoding: "utf8" });
  if (error !== undefined) throw new Error("edid-decode does not run: apt install edid-decode", { cause: error });
  return stdout;
}

/**
 * Warnings that say nothing against the EDID: a picture below 10 cm is dubious and yet what was asked for; and 2022's
 * edid-decode holds DisplayID's three letters against a table of IEEE's numbers, where no vendor's letters are.
 */
const HARMLESS = [
  /^ {2}Basic Display Parameters & Features: Dubious maximum image size \(\d+x\d+ is smaller than 10x10 cm\)\.$/,
  /^ {2}Product Identification Data Block \(0x00\), PNP ID '[A-Z]{3}': Unknown OUI [-0-9A-F]+ \(possible PNP [A-Z]{3}\)\.$/,
];

/** What edid-decode has to say against an EDID: nothing is the hope. */
function faults(options: EdidOptions): readonly string[] {
  const report = edidDecode(["--check", "--skip-hex-dump"], generateEdid(options));
  const start = report.search(/^(?:Warnings|Failures):$/m);
  const verdict = /^EDID conformity: PASS$/m.test(report) ? [] : ["the verdict is not PASS"];
  if (start < 0) return verdict;
  const complaints = report
    .slice(start)
    .split("\n")
    .filter((line) => line.startsWith("  ") && !HARMLESS.some((harmless) => harmless.test(line)));
  return [...complaints, ...verdict];
}

const SIZES: readonly (readonly [number, number])[] = [
  [32, 32],
  [33, 35],
  [64, 480],
  [640, 480],
  [799, 601],
  [1024, 768],
  [1280, 800],
  [1366, 768],
  [1920, 1080],
  [1920, 1200],
  [2560, 1440],
  [3440, 1440],
  [3840, 2160],
  [4095, 4095],
  [4096, 2160],
  [5120, 2880],
  [7680, 4320],
  [33, 8191],
  [8191, 33],
  [8192, 8192],
];

describe("edid-decode --check", () => {
  it.each([24, 30, 50, 60, 75, 120, 144, 240])("finds no fault at %i Hz, from 32x32 to 8192x8192", (hertz) => {
    for (const [width, height] of SIZES) {
      expect(faults({ width, height, refreshMilliHz: hertz * 1000 }), `${width}x${height}`).toEqual([]);
    }
  });

  it.each<readonly [string, EdidOptions]>([
    ["one letter as name", { width: 1280, height: 800, name: "a" }],
    ["13 letters as name and as serial", { width: 1280, height: 800, name: "thirteen char", serial: "0123456789abc" }],
    ["odd letters", { width: 1280, height: 800, name: "~!\"#$%&'()*+", serial: "[\\]^_`{|}" }],
    ["a serial number of 32 bits", { width: 1280, height: 800, serialNumber: 0xfedcba98 }],
    ["another vendor and product", { width: 1280, height: 800, vendor: "RHT", product: 0x1234 }],
    ["a picture of 10 mm, and of 2550 mm", { width: 1280, height: 800, widthMm: 2550, heightMm: 10 }],
    ["broken hertz", { width: 1920, height: 1080, refreshMilliHz: 59_940 }],
    ["1 Hz", { width: 1920, height: 1080, refreshMilliHz: 1000 }],
    ["300 Hz, beyond a byte", { width: 800, height: 600, refreshMilliHz: 300_000 }],
    ["no further modes", { width: 1280, height: 800, modes: [] }],
    ["modes larger than the preferred one", { width: 800, height: 600, modes: [{ width: 1920, height: 1080 }] }],
    [
      "established timings III",
      { width: 2560, height: 1440, modes: [1360, 1280].map((width) => ({ width, height: 768 })) },
    ],
    [
      "six detailed timings in the CTA-861 extension",
      { width: 2560, height: 1440, modes: [1, 2, 3, 4, 5, 6].map((n) => ({ width: 1000 + 9 * n, height: 701 })) },
    ],
    [
      "six DisplayID blocks",
      { width: 8192, height: 4320, modes: Array.from({ length: 27 }, (_, n) => ({ width: 5000 + n, height: 3001 })) },
    ],
  ])("finds no fault with %s", (_, options) => {
    expect(faults(options)).toEqual([]);
  });

  it("does find faults: a name without its end", () => {
    const bytes = generateEdid({ width: 1280, height: 800 });
    bytes[bytes.indexOf(0x0a, 90)] = 0x09;
    expect(edidDecode(["--check", "--skip-hex-dump"], bytes)).toMatch(/EDID conformity: FAIL/);
  });
});

/** A timing as edid-decode prints it: size, hertz with six digits, clock in megahertz. */
const line = (timing: EdidTiming): string => {
  const { width, height, interlaced, pixelClockKhz } = timing;
  return `${width}x${height}${interlaced ? "i" : ""} ${hertz(timing).toFixed(3)} ${pixelClockKhz}`;
};

/** Lines of a listing, in the form of {@link line}, behind the number that leads each. */
function listing(option: string, lead: RegExp): ReadonlyMap<number, string> {
  const found = new Map<number, string>();
  for (const text of edidDecode([option]).split("\n")) {
    const number = lead.exec(text)?.[1];
    const parts = /(\d+x\d+i?)\s+([\d.]+) Hz.*?([\d.]+) MHz/.exec(text);
    if (number === undefined || parts === null) continue;
    found.set(
      Number(number),
      `${parts[1] ?? ""} ${Number(parts[2]).toFixed(3)} ${Math.round(Number(parts[3]) * 1000)}`,
    );
  }
  return found;
}

const hertz = ({ width, height, pixelClockKhz, horizontal, vertical, interlaced }: EdidTiming): number =>
  (pixelClockKhz * 1000) /
  ((width + horizontal.blanking) * (interlaced ? height / 2 + vertical.blanking + 0.5 : height + vertical.blanking));

describe("edid-decode's tables and ours", () => {
  it("agree on every timing of DMT, and on the bytes of its standard timing", () => {
    const theirs = listing("--list-dmts", /^DMT (0x[0-9a-f]+):/);
    expect(theirs.size).toBeGreaterThan(80);
    expect(new Map(DMT_TIMINGS.map(({ id, timing }) => [id, line(timing)]))).toEqual(theirs);
    const codes = [...edidDecode(["--list-dmts"]).matchAll(/^DMT (0x[0-9a-f]+):.*STD: 0x(..) 0x(..)/gm)];
    expect(DMT_TIMINGS.filter(({ code }) => code !== 0).map(({ id, code }) => [id, code])).toEqual(
      codes.map(([, id, first, second]) => [Number(id), Number(`0x${first ?? ""}${second ?? ""}`)]),
    );
  });

  it("agree on every video format of CTA-861 but one", () => {
    const theirs = listing("--list-vics", /^VIC\s+(\d+):/);
    expect(theirs.size).toBeGreaterThan(150);
    for (const { vic, timing } of VIC_TIMINGS)
      expect(`${vic}: ${line(timing)}`).toBe(`${vic}: ${theirs.get(vic) ?? ""}`);
    const ours = new Set(VIC_TIMINGS.map(({ timing }) => line(timing)));
    expect([...theirs].filter(([, text]) => !ours.has(text)).map(([vic]) => vic)).toEqual([39]);
  });

  it("agree on the order of the established timings' bits", () => {
    const listed = edidDecode(["--list-established-timings"]);
    const theirs = [...listed.matchAll(/(\d+)x(\d+)(i?)\s+([\d.]+) Hz.*?([\d.]+) MHz/g)].map(
      ([, width, height, interlaced, rate, clock]) =>
        `${width ?? ""}x${height ?? ""}${interlaced ?? ""} ${Number(rate).toFixed(3)} ${Math.round(Number(clock) * 1000)}`,
    );
    const ours = [...ESTABLISHED_1_2, ...ESTABLISHED_3].map((timing) => (timing === null ? "none" : line(timing)));
    expect(ours).toEqual(theirs);
  });
});

describe("CVT with reduced blanking", () => {
  it("comes out as edid-decode computes it", () => {
    for (const [width, height] of SIZES.filter(([across]) => across % 8 === 0)) {
      for (const rate of [24, 60, 75, 120]) {
        const timing = cvtReducedBlanking(width, height, rate * 1000);
        const printed = edidDecode(["--cvt", `w=${width},h=${height},fps=${rate},rb=1`]);
        const number = (name: string): number => Number(new RegExp(`${name}\\s+([\\d.]+)`).exec(printed)?.[1]);
        const { horizontal, vertical } = timing;
        expect([horizontal.frontPorch, horizontal.syncWidth, vertical.frontPorch, vertical.syncWidth]).toEqual(
          ["Hfront", "Hsync", "Vfront", "Vsync"].map(number),
        );
        expect(horizontal.blanking - horizontal.frontPorch - horizontal.syncWidth).toBe(number("Hback"));
        expect(vertical.blanking - vertical.frontPorch - vertical.syncWidth).toBe(number("Vback"));
        const clock = Number(/([\d.]+) MHz/.exec(printed)?.[1]) * 1000;
        expect(timing.pixelClockKhz, `${width}x${height} at ${rate}`).toBe(Math.round(clock));
      }
    }
  });
});
