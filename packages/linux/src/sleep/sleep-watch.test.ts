import { VirtualClock } from "@virtgpu/core/sim";
import { describe, expect, it } from "vitest";
import { SleepWatch, readBootMs } from "./sleep-watch.ts";

function watching(isAsLeft: () => boolean = () => true): {
  readonly clock: VirtualClock;
  readonly signs: string[];
  readonly watch: SleepWatch;
  readonly slept: (ms: number) => void;
} {
  const clock = new VirtualClock({ startMs: 5000 });
  const signs: string[] = [];
  let asleepMs = 0;
  const watch = new SleepWatch({
    clock,
    bootMs: () => Math.floor((clock.nowMs() + asleepMs) / 10) * 10,
    isAsLeft,
    onSleep: (sign) => void signs.push(sign),
  });
  return {
    clock,
    signs,
    watch,
    slept: (ms) => {
      asleepMs += ms;
    },
  };
}

describe("a sleep that nobody told of", () => {
  it("shows in the clocks, once", async () => {
    const { clock, signs, slept, watch } = watching();
    await clock.advance(10_000);
    expect(signs).toEqual([]);
    slept(6500);
    await clock.advance(10_000);
    expect(signs).toEqual(["clock"]);
    slept(500);
    await clock.advance(1000);
    expect(signs).toEqual(["clock"]);
    watch.close();
    expect(clock.timers).toBe(0);
  });

  it("is none where somebody told", async () => {
    const { clock, signs, slept, watch } = watching();
    slept(60_000);
    watch.forget();
    await clock.advance(1000);
    expect(signs).toEqual([]);
  });

  it("shows in a device that is not as it was left", async () => {
    let isAsLeft = true;
    const { clock, signs } = watching(() => isAsLeft);
    await clock.advance(1000);
    isAsLeft = false;
    await clock.advance(250);
    expect(signs).toEqual(["device"]);
  });

  it("is measured by the kernel's uptime", () => {
    expect(readBootMs()).toBeGreaterThan(0);
  });
});
