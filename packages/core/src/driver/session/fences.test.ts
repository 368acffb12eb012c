/** Fences: signalled in order on their timeline, failed with their session, never forgotten. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GpuError } from "../../base/errors.ts";
import { type Fence, FenceTable } from "./fences.ts";

const stale = new GpuError("ESTALE", "over");
const refused = new GpuError("EIO", "refused");

function table(): FenceTable {
  let next = 1;
  return new FenceTable(() => next++);
}

const states = (fences: readonly Fence[]): string[] => fences.map(({ state }) => state);

describe("fences", () => {
  it("have ids that rise, over all timelines", () => {
    const fences = table();
    const made = [fences.create(), fences.create({ contextId: 2, ringIndex: 1 }), fences.create()];
    expect(made.map(({ id, contextId, ringIndex }) => [id, contextId, ringIndex])).toEqual([
      [1, 0, 0],
      [2, 2, 1],
      [3, 0, 0],
    ]);
  });

  it("signal all older ones of their timeline, and no other's", async () => {
    const fences = table();
    const ring = { contextId: 1, ringIndex: 0 };
    const [a, b, other, c] = [fences.create(), fences.create(), fences.create(ring), fences.create()];
    const waited = a.wait();
    fences.signal(b);
    expect(states([a, b, other, c])).toEqual(["signaled", "signaled", "pending", "pending"]);
    await waited;
    await b.wait();
    expect(fences.pending).toBe(2);
    // An answer that comes a second time says nothing new.
    fences.signal(a);
    fences.fail(b, refused);
    expect(states([a, b, other, c])).toEqual(["signaled", "signaled", "pending", "pending"]);
  });

  it("tell rings of one context from those of another", () => {
    const fences = table();
    const lines = [
      null,
      { contextId: 0, ringIndex: 0 },
      { contextId: 1, ringIndex: 0 },
      { contextId: 0, ringIndex: 63 },
      { contextId: 1, ringIndex: 63 },
      { contextId: 2, ringIndex: 0 },
    ];
    const made = lines.map((line) => fences.create(line));
    for (const [index, fence] of made.entries()) {
      fences.signal(fence);
      expect(fences.pending).toBe(lines.length - index - 1);
    }
  });

  it("that fail do so alone: what was older is done", async () => {
    const fences = table();
    const [a, b, c] = [fences.create(), fences.create(), fences.create()];
    const waited = b.wait();
    fences.fail(b, refused);
    expect(states([a, b, c])).toEqual(["signaled", "failed", "pending"]);
    await expect(waited).rejects.toBe(refused);
    await expect(b.wait()).rejects.toBe(refused);
  });

  it("fail with their session, and so do those that come later", async () => {
    const fences = table();
    const [a, b] = [fences.create(), fences.create({ contextId: 3, ringIndex: 2 })];
    const waited = [a.wait(), a.wait(), b.wait()];
    fences.close(stale);
    for (const one of waited) await expect(one).rejects.toBe(stale);
    expect(fences.pending).toBe(0);
    const late = fences.create();
    expect(late.state).toBe("failed");
    await expect(late.wait()).rejects.toBe(stale);
    fences.signal(a);
    expect(a.state).toBe("failed");
  });

  it("end each of them once, in any order of events", async () => {
    type Event = { readonly what: "create" | "signal" | "fail"; readonly line: number; readonly pick: number };
    const event: fc.Arbitrary<Event> = fc.record({
      what: fc.constantFrom("create", "signal", "fail"),
      line: fc.integer({ min: 0, max: 2 }),
      pick: fc.nat(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 60 }), async (events) => {
        const fences = table();
        const made: { fence: Fence; line: number; ends: number }[] = [];
        const waits: Promise<void>[] = [];
        for (const { what, line, pick } of events) {
          const one = made[pick % Math.max(1, made.length)];
          if (what === "create" || one === undefined) {
            const fence = fences.create(line === 0 ? null : { contextId: line, ringIndex: 0 });
            const entry = { fence, line, ends: 0 };
            made.push(entry);
            const ended = (): void => {
              entry.ends += 1;
            };
            waits.push(fence.wait().then(ended, ended));
          } else if (what === "signal") fences.signal(one.fence);
          else fences.fail(one.fence, refused);
          // Whatever is older than an ended one of the same timeline has ended too.
          for (const { fence, line: at } of made) {
            if (fence.state === "pending") continue;
            for (const older of made)
              if (older.line === at && older.fence.id < fence.id) expect(older.fence.state).not.toBe("pending");
          }
        }
        expect(fences.pending).toBe(made.filter(({ fence }) => fence.state === "pending").length);
        fences.close(stale);
        await Promise.all(waits);
        expect(made.every(({ ends, fence }) => ends === 1 && fence.state !== "pending")).toBe(true);
      }),
      { numRuns: 50 },
    );
  });
});
