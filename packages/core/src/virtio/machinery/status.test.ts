import { describe, expect, it } from "vitest";
import {
  LEGAL_STATUSES,
  type StatusState,
  breakStatus,
  isLegalState,
  phaseOf,
  settleStatus,
  stepStatus,
} from "./status.ts";

const [FAILED, NEEDS_RESET, SUSPEND, DRIVER_OK, FEATURES_OK] = [128, 64, 16, 4, 8] as const;

const states: readonly StatusState[] = Array.from({ length: 256 }, (_, status) => status).flatMap((status) =>
  [false, true].map((stopped) => ({ status, stopped })).filter(isLegalState),
);
const everyFact = [false, true].flatMap((featuresAcceptable) =>
  [false, true].map((suspendAccepted) => ({ featuresAcceptable, suspendAccepted })),
);

/** What the specification says, spelled out for one pair: where the driver's own five bits lead. */
function expectedMove(from: number, request: number): number | null {
  if (from === request) return from;
  const ladder = [0, 1, 3, 11, 15];
  if (ladder.includes(from) && ladder.includes(request) && ladder.indexOf(request) > ladder.indexOf(from))
    return request;
  if (from === 15 && request === 31) return 31;
  if ((from === 31 || from === 27) && request === 15) return 15;
  if (from === 27 && request === 31) return 15;
  return null;
}

describe("the device status", () => {
  it("knows 7 values of the driver's bits, and with FAILED and NEEDS_RESET 31 states", () => {
    expect(LEGAL_STATUSES).toEqual([0, 1, 3, 11, 15, 31, 27]);
    // 7 as they are, 7 with FAILED set early, 3 stopped by FAILED at work; 7 broken, 7 broken and failed.
    expect(states.filter(({ status }) => (status & NEEDS_RESET) !== 0)).toHaveLength(14);
    expect(states.filter(({ status }) => (status & NEEDS_RESET) === 0)).toHaveLength(17);
  });

  it("answers every write in every state with a legal state, and takes only moves that the table has", () => {
    for (const facts of everyFact) {
      for (const state of states) {
        for (let written = 0; written < 256; written += 1) {
          const { next, effect } = stepStatus(state, written, facts);
          expect(isLegalState(next)).toBe(true);
          if (written === 0) {
            expect({ next, effect }).toEqual({ next: { status: 0, stopped: false }, effect: "reset" });
            continue;
          }
          expect(effect).not.toBe("reset");
          const request = written & (facts.suspendAccepted ? 31 : 15);
          let to = state.stopped ? null : expectedMove(state.status & 31, request);
          if (to !== null && (to & FEATURES_OK & ~state.status) !== 0 && !facts.featuresAcceptable) to = 3;
          const failed = (state.status | written) & FAILED;
          const status = (to ?? state.status & 31) | (state.status & NEEDS_RESET) | failed;
          expect(next.status).toBe(status);
        }
      }
    }
  });

  it("never clears what the driver set but by a reset, SUSPEND and DRIVER_OK aside", () => {
    for (const facts of everyFact) {
      for (const state of states) {
        for (let written = 1; written < 256; written += 1) {
          const { next } = stepStatus(state, written, facts);
          expect(state.status & ~next.status & ~SUSPEND & ~DRIVER_OK).toBe(0);
        }
      }
    }
  });

  it("stops a working device that the driver gives up on, and goes on with one that was not working yet", () => {
    const facts = { featuresAcceptable: true, suspendAccepted: true };
    for (const status of [15, 31, 27]) {
      expect(stepStatus({ status, stopped: false }, status | FAILED, facts)).toEqual({
        next: { status: status | FAILED, stopped: true },
        effect: "stop",
      });
    }
    // Linux restores a device it had given up on: ACKNOWLEDGE, FAILED, DRIVER, ...
    let state: StatusState = { status: 1, stopped: false };
    for (const written of [129, 131, 139]) state = stepStatus(state, written, facts).next;
    expect(stepStatus(state, 143, facts)).toEqual({ next: { status: 143, stopped: false }, effect: "activate" });
  });

  it("names what is to be done", () => {
    const facts = { featuresAcceptable: true, suspendAccepted: true };
    const effect = (status: number, written: number): string =>
      stepStatus({ status, stopped: false }, written, facts).effect;
    expect([effect(11, 15), effect(0, 15), effect(15, 31), effect(27, 15), effect(27, 31), effect(31, 15)]).toEqual([
      "activate",
      "activate",
      "suspend",
      "resume",
      "resume",
      "resume",
    ]);
    expect([effect(11, 11), effect(11, 3), effect(15, 11), effect(3, 2), effect(0, 32)]).toEqual([
      "none",
      "refused",
      "refused",
      "refused",
      "none",
    ]);
    expect(stepStatus({ status: 3, stopped: false }, 11, { ...facts, featuresAcceptable: false }).effect).toBe(
      "refused",
    );
  });

  it("gives each state a phase", () => {
    expect(states.map(phaseOf).filter((phase) => phase === "suspending")).toHaveLength(2);
    expect(phaseOf({ status: 27, stopped: false })).toBe("suspended");
    expect(phaseOf(breakStatus({ status: 15, stopped: false }))).toBe("stopped");
    expect(settleStatus({ status: 31, stopped: false })).toEqual({ status: 27, stopped: false });
  });
});
