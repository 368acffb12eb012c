/** Checks that records of every kind are made of. */
import * as v from "valibot";

/** How many: a whole number from 0 on. */
export const count: v.GenericSchema<unknown, number> = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** A moment, in milliseconds. */
export const ms: v.GenericSchema<unknown, number> = v.pipe(v.number(), v.finite());

/** How long, in milliseconds. */
export const span: v.GenericSchema<unknown, number> = v.pipe(v.number(), v.finite(), v.minValue(0));

/** Words, no more than anybody would read. */
export const text: v.GenericSchema<string, string> = v.pipe(v.string(), v.maxLength(64_000));

/** A hash, or a word instead of one; null where there is nothing. */
export const hash: v.GenericSchema<unknown, string | null> = v.nullable(v.pipe(v.string(), v.maxLength(200)));

/** A table of at most so many rows. */
export function rows<T>(row: v.GenericSchema<unknown, T>, most: number): v.GenericSchema<unknown, readonly T[]> {
  return v.pipe(v.array(row), v.maxLength(most));
}
