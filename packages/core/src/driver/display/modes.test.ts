/**
 * Modes from what hosts say, honest and hostile.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Edid, type EdidOptions, generateEdid, parseEdid } from "../../wire/index.ts";
import {
  DISCONNECTED,
  fallbackMode,
  MODE_SIZE_MAX,
  MODE_SIZE_MIN,
  type OutputMode,
  type OutputState,
  outputChanges,
  outputModes,
  outputStates,
} from "./modes.ts";

function edidOf(options: EdidOptions): Edid {
  const result = parseEdid(generateEdid(options));
  if (!result.ok) throw new Error(result.reason);
  return result.edid;
}

const connected = (width: number, height: number): OutputState => ({ ...DISCONNECTED, connected: true, width, height });
const names = (modes: readonly OutputMode[]): string[] =>
  modes.map(({ width, height, refreshMilliHz }) => `${width}x${height}@${Math.round(refreshMilliHz / 1000)}`);

describe("the modes of an output", () => {
  it("without EDID are the host's size at 60 Hz, and the standard list", () => {
    const modes = outputModes(connected(1111, 777), null);
    expect(modes[0]).toEqual({ width: 1111, height: 777, refreshMilliHz: 60_000, preferred: true });
    expect(names(modes)).toEqual(expect.arrayContaining(["640x480@60", "1024x768@60", "1920x1080@60", "2560x1600@60"]));
    expect(names(modes)).not.toContain("1024x768@75");
  });

  it("with EDID are the EDID's, no standard list", () => {
    const edid = edidOf({ width: 1366, height: 768, refreshMilliHz: 75_000, modes: [{ width: 1000, height: 500 }] });
    expect(names(outputModes(connected(1366, 768), edid))).toEqual([
      "1366x768@75",
      "1024x768@60",
      "1000x500@60",
      "640x480@60",
    ]);
  });

  it("prefer the size of the display information, at the rate that the EDID has for it", () => {
    const edid = edidOf({
      width: 1920,
      height: 1080,
      refreshMilliHz: 144_000,
      modes: [{ width: 1280, height: 801, refreshMilliHz: 90_000 }],
    });
    const preferred = (width: number, height: number): string | undefined =>
      names(outputModes(connected(width, height), edid))[0];
    expect(preferred(1920, 1080)).toBe("1920x1080@144");
    expect(preferred(1280, 801)).toBe("1280x801@90");
    expect(preferred(999, 555)).toBe("999x555@60");
  });

  it("prefer the EDID's timing where the display information has no size, else 1024x768", () => {
    const edid = edidOf({ width: 8192, height: 4320, refreshMilliHz: 30_000 });
    for (const [width, height] of [
      [0, 0],
      [0, 600],
      [800, 0],
    ] as const) {
      expect(names(outputModes(connected(width, height), edid))[0]).toBe("8192x4320@30");
      expect(names(outputModes(connected(width, height), null))[0]).toBe("1024x768@60");
    }
  });

  it("are none where nobody looks at the output", () => {
    expect(outputModes({ connected: false, width: 800, height: 600 }, edidOf({ width: 800, height: 600 }))).toEqual([]);
  });

  it("bring the host's size into 32 to 8192", () => {
    expect(names(outputModes(connected(1, 0xffffffff), null))[0]).toBe("32x8192@60");
    expect(names(outputModes(connected(0xffffffff, 31), null))[0]).toBe("8192x32@60");
  });

  it("leave out what an EDID has beyond these bounds, and what is interlaced", () => {
    const edid = edidOf({ width: 16384, height: 9000, modes: [{ width: 31, height: 200 }] });
    const [timing] = edid.established;
    if (timing === undefined) throw new Error("no 640x480");
    const interlaced = { ...edid, established: [{ ...timing, interlaced: true }] };
    expect(names(outputModes(connected(0, 0), interlaced))).toEqual(["1024x768@60", "2048x1125@60"]);
  });

  it("have one preferred mode and no mode twice, whatever the host says", () => {
    const size = fc.oneof(fc.nat(0xffffffff), fc.integer({ min: 0, max: 9000 }));
    const edids = fc.option(
      fc.record({ width: fc.integer({ min: 1, max: 10_000 }), height: fc.integer({ min: 1, max: 10_000 }) }),
    );
    fc.assert(
      fc.property(size, size, edids, (width, height, edid) => {
        const modes = outputModes(connected(width, height), edid === null ? null : edidOf(edid));
        expect(modes.filter(({ preferred }) => preferred)).toEqual([modes[0]]);
        expect(new Set(names(modes)).size).toBe(modes.length);
        expect(names(modes)).toContain("1024x768@60");
        for (const mode of modes) {
          expect(Math.min(mode.width, mode.height)).toBeGreaterThanOrEqual(MODE_SIZE_MIN);
          expect(Math.max(mode.width, mode.height)).toBeLessThanOrEqual(MODE_SIZE_MAX);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe("R-33 (b) a mode that was in use", () => {
  const modes = outputModes(
    connected(1280, 800),
    edidOf({
      width: 1280,
      height: 800,
      modes: [50, 100].map((hertz) => ({ width: 800, height: 500, refreshMilliHz: hertz * 1000 })),
    }),
  );

  it("is kept where it is still offered, also at a rate of the same name", () => {
    expect(fallbackMode({ width: 800, height: 500, refreshMilliHz: 99_900 }, modes)).toEqual({
      kind: "kept",
      mode: { width: 800, height: 500, refreshMilliHz: 100_000, preferred: false },
    });
  });

  it("becomes the same size at the nearest rate", () => {
    const at = (refreshMilliHz: number): unknown => fallbackMode({ width: 800, height: 500, refreshMilliHz }, modes);
    expect(at(70_000)).toMatchObject({ kind: "otherRate", mode: { refreshMilliHz: 50_000 } });
    expect(at(80_000)).toMatchObject({ kind: "otherRate", mode: { refreshMilliHz: 100_000 } });
  });

  it("becomes the preferred mode where its size is gone", () => {
    expect(fallbackMode({ width: 1920, height: 1080, refreshMilliHz: 60_000 }, modes)).toMatchObject({
      kind: "preferred",
      mode: { width: 1280, height: 800, preferred: true },
    });
  });

  it("is switched off where nothing is offered", () => {
    expect(fallbackMode({ width: 800, height: 600, refreshMilliHz: 60_000 }, [])).toEqual({ kind: "off", mode: null });
  });
});

describe("R-33 (a) two looks at the host's displays", () => {
  const edid = generateEdid({ width: 1280, height: 800 });
  const one: OutputState = { connected: true, x: 0, y: 0, width: 1280, height: 800, edid };
  const none: OutputState = DISCONNECTED;

  it("do not differ where nothing happened, however the reply is filled up", () => {
    const padded = new Uint8Array(1024);
    padded.set(edid);
    expect(outputChanges([one, none], [{ ...one, edid: padded }, none])).toEqual([]);
    expect(outputChanges([{ ...one, edid: padded }], [one, none, none])).toEqual([]);
  });

  it.each([
    ["a monitor that came", [one, none], [one, one], [{ output: 1, kinds: ["connected"] }]],
    ["a monitor that went", [one, one], [none, one], [{ output: 0, kinds: ["disconnected"] }]],
    ["a host with fewer outputs", [one, one], [one], [{ output: 1, kinds: ["disconnected"] }]],
    ["a host with more outputs", [one], [one, none, one], [{ output: 2, kinds: ["connected"] }]],
    ["another size", [one], [{ ...one, width: 1281 }], [{ output: 0, kinds: ["size"] }]],
    ["another place", [one, one], [one, { ...one, x: 1280 }], [{ output: 1, kinds: ["position"] }]],
    ["no EDID any more", [one], [{ ...one, edid: null }], [{ output: 0, kinds: ["edid"] }]],
    [
      "another monitor of another size",
      [one],
      [{ ...one, height: 1024, edid: generateEdid({ width: 1280, height: 1024 }) }],
      [{ output: 0, kinds: ["size", "edid"] }],
    ],
    ["nothing but the size of an output at which nobody looks", [none], [{ ...none, width: 5 }], []],
  ])("tell of %s", (_, before, after, changes) => {
    expect(outputChanges(before, after)).toEqual(changes);
  });

  it("come from the display information, up to the number of outputs that the device has", () => {
    const told = { x: 1, y: 2, width: 3, height: 4, enabled: 1, flags: 0 };
    const modes = [told, { ...told, enabled: 0 }, told];
    expect(outputStates(modes, 2, [edid])).toEqual([
      { connected: true, x: 1, y: 2, width: 3, height: 4, edid },
      { connected: false, x: 1, y: 2, width: 3, height: 4, edid: null },
    ]);
  });
});
