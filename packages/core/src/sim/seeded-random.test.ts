import { describe, expect, it } from "vitest";
import { SeededRandom } from "./seeded-random.ts";

const draw = (random: SeededRandom, count: number): number[] => Array.from({ length: count }, () => random.nextU32());

describe("a seeded generator", () => {
  it("gives the same numbers for the same seed, and others for another", () => {
    expect(draw(new SeededRandom(7), 50)).toEqual(draw(new SeededRandom(7), 50));
    expect(draw(new SeededRandom("a"), 50)).toEqual(draw(new SeededRandom("a"), 50));
    expect(draw(new SeededRandom(7), 2)).not.toEqual(draw(new SeededRandom(8), 2));
    expect(draw(new SeededRandom("a"), 2)).not.toEqual(draw(new SeededRandom("b"), 2));
  });

  it("keeps its numbers from one release to the next, so that a seed in a bug report stays worth something", () => {
    expect(draw(new SeededRandom(1), 4)).toMatchInlineSnapshot(`
      [
        393288148,
        2174103013,
        3814759091,
        2092745082,
      ]
    `);
  });

  it("gives unsigned 32-bit integers, every bit set about as often as not", () => {
    const random = new SeededRandom(3);
    const ones = new Array<number>(32).fill(0);
    const values = draw(random, 20_000);
    expect(values.every((value) => Number.isInteger(value) && value >= 0 && value < 2 ** 32)).toBe(true);
    for (const value of values) {
      for (let bit = 0; bit < 32; bit += 1) ones[bit] = (ones[bit] ?? 0) + ((value >>> bit) & 1);
    }
    for (const count of ones) expect(Math.abs(count - 10_000)).toBeLessThan(400);
  });

  it("draws integers below a bound, each as likely as the other", () => {
    const random = new SeededRandom(4);
    const counts = new Array<number>(7).fill(0);
    for (let drawn = 0; drawn < 14_000; drawn += 1) {
      const value = random.below(7);
      counts[value] = (counts[value] ?? 0) + 1;
    }
    for (const count of counts) expect(Math.abs(count - 2000)).toBeLessThan(200);
    expect(random.below(1)).toBe(0);
    expect(() => random.below(0)).toThrow("no integer");
  });

  it("draws from a range with both ends", () => {
    const random = new SeededRandom(5);
    const seen = new Set(Array.from({ length: 200 }, () => random.between(-1, 2)));
    expect([...seen].toSorted((a, b) => a - b)).toEqual([-1, 0, 1, 2]);
  });

  it("says yes as often as asked", () => {
    const random = new SeededRandom(6);
    let yes = 0;
    for (let drawn = 0; drawn < 10_000; drawn += 1) if (random.chance(0.2)) yes += 1;
    expect(Math.abs(yes - 2000)).toBeLessThan(200);
    expect(random.chance(0)).toBe(false);
    expect(random.chance(1)).toBe(true);
  });

  it("picks and shuffles without losing or changing anything", () => {
    const random = new SeededRandom(8);
    const list = Array.from({ length: 30 }, (_, index) => index);
    const shuffled = random.shuffle(list);
    expect(shuffled).not.toEqual(list);
    expect(shuffled.toSorted((a, b) => a - b)).toEqual(list);
    expect(list.at(5)).toBe(5);
    expect(list).toContain(random.pick(list));
    expect(() => random.pick([])).toThrow("nothing to pick from");
  });

  it("forks by label, whatever was drawn before", () => {
    const fresh = new SeededRandom(9);
    const used = new SeededRandom(9);
    draw(used, 10);
    expect(draw(used.fork("host"), 5)).toEqual(draw(fresh.fork("host"), 5));
    expect(draw(fresh.fork("host"), 5)).not.toEqual(draw(fresh.fork("guest"), 5));
  });

  it("prints its seed", () => {
    expect(new SeededRandom(9).fork("host").toString()).toBe("seed 9/host");
  });
});
