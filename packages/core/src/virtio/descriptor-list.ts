/** Rules for what a driver hands over, the same for both ring layouts. */
import { assert } from "../base/assert.ts";
import type { DescriptorList } from "./queue.ts";

const TWO_32 = 2 ** 32;

/** The bytes of the list's writable part. An empty buffer, or more than 2^32 bytes in all, is a bug of the caller (2.7.4.2). */
export function checkedWritableBytes(list: DescriptorList): number {
  const { count, readable, lengths } = list;
  let total = 0;
  let writable = 0;
  for (let index = 0; index < count; index += 1) {
    const length = lengths[index] ?? 0;
    assert(length > 0, "a buffer has at least one byte");
    total += length;
    if (index >= readable) writable += length;
  }
  assert(total <= TWO_32, "a chain has at most 2^32 bytes");
  return writable;
}
