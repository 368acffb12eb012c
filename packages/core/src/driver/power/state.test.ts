/** The state machine, all of it: every state with every event. */
import { describe, expect, it } from "vitest";
import { DRIVER_MOVES, type DriverEvent, type DriverState, nextDriverState, refusal } from "./state.ts";

const states: readonly DriverState[] = [
  "closed",
  "opening",
  "running",
  "freezing",
  "frozen",
  "suspended",
  "restoring",
  "lost",
  "removed",
];
const events: readonly DriverEvent[] = [
  "open",
  "opened",
  "freeze",
  "froze",
  "kept",
  "aborted",
  "restore",
  "restored",
  "failed",
  "remove",
];

describe("the driver's states", () => {
  it("move as the table says, and in no other way", () => {
    // One row a state, one column an event: `.` is refused.
    const table = states.map((state) =>
      [state, ...events.map((event) => nextDriverState(state, event) ?? ".")]
        .map((cell) => cell.padEnd(10))
        .join("")
        .trimEnd(),
    );
    expect(
      [
        ["", ...events]
          .map((cell) => cell.padEnd(10))
          .join("")
          .trimEnd(),
        ...table,
      ].join("\n"),
    ).toMatchInlineSnapshot(`
      "          open      opened    freeze    froze     kept      aborted   restore   restored  failed    remove
      closed    opening   .         freezing  .         .         .         restoring .         .         removed
      opening   .         running   .         .         .         .         .         .         lost      removed
      running   .         .         freezing  .         .         .         restoring .         lost      removed
      freezing  .         .         .         frozen    suspended running   .         .         lost      removed
      frozen    .         .         .         .         .         .         restoring .         .         removed
      suspended .         .         .         .         .         .         restoring .         lost      removed
      restoring .         .         .         .         .         .         .         running   lost      removed
      lost      .         .         freezing  .         .         .         restoring .         .         removed
      removed   .         .         .         .         .         .         .         .         .         ."
    `);
  });

  it("have one row a move", () => {
    const keys = DRIVER_MOVES.map(([state, event]) => `${state} ${event}`);
    expect(new Set(keys).size).toBe(keys.length);
  });

  it("are all reached, and lead to removed from everywhere, for good", () => {
    const reached = new Set<DriverState>(["closed"]);
    for (let before = 0; before < reached.size; ) {
      before = reached.size;
      for (const [from, , to] of DRIVER_MOVES) if (reached.has(from)) reached.add(to);
    }
    expect([...reached].sort()).toEqual([...states].sort());
    for (const state of states) {
      if (state !== "removed") expect(nextDriverState(state, "remove")).toBe("removed");
      else for (const event of events) expect(nextDriverState(state, event)).toBeNull();
    }
  });

  it("R-43 let a restore come at any moment at which nothing is under way", () => {
    for (const state of ["closed", "running", "frozen", "suspended", "lost"] as const) {
      expect(nextDriverState(state, "restore")).toBe("restoring");
    }
  });

  it("say why not: busy for now, or gone for good", () => {
    expect(refusal("freezing", "freeze", "gpu0")).toMatchObject({ code: "EBUSY", device: "gpu0" });
    expect(refusal("removed", "restore", "gpu0")).toMatchObject({ code: "ENODEV", device: "gpu0" });
  });
});
