import { describe, expect, it } from "vitest";
import { isFinal, move, type SystemState, systemMoves } from "./states.ts";

const states = Object.keys(systemMoves) as SystemState[];

/** All states that can follow `from`, in any number of moves. */
function reachable(from: SystemState): ReadonlySet<SystemState> {
  const seen = new Set<SystemState>([from]);
  for (const state of seen) for (const next of systemMoves[state]) seen.add(next);
  return seen;
}

describe("the table of states", () => {
  it("reaches every state from awake", () => {
    expect([...reachable("awake")].sort()).toEqual([...states].sort());
  });

  it("leads back to awake from every state but this kernel's ends", () => {
    const ends = states.filter((state) => isFinal(state));
    expect(ends.sort()).toEqual(["halted", "off", "replaced"]);
    for (const state of states) expect(reachable(state).has("awake"), state).toBe(!ends.includes(state));
  });

  it("has nothing but waking, or a veto, before awake", () => {
    expect(states.filter((state) => systemMoves[state].includes("awake"))).toEqual(["preparing", "waking"]);
  });

  it("refuses a move it does not have, and lets a state stay", () => {
    expect(() => move("awake", "snapshotting")).toThrow("can't go from awake to snapshotting");
    expect(() => move("off", "awake")).toThrow();
    expect(move("freezing", "freezing")).toBe("freezing");
  });
});
