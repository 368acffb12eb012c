/** Numbers as they are typed. */
import { numberParser } from "@stricli/core";
import { UsageError } from "../usage-error.ts";

/** Reads a whole number from `least` to `most`. What it gives throws UsageError for anything else. */
export function whole(name: string, least: number, most: number): (input: string) => number {
  return (input) => {
    const value = numberParser(input);
    if (Number.isInteger(value) && value >= least && value <= most) return value;
    throw new UsageError(`${name} is a whole number from ${least} to ${most}, not ${input}`);
  };
}
