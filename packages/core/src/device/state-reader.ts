/**
 * Reads a saved state that is not trusted, field by field. What is wrong is a GpuError EINVAL that names the field.
 */
import { GpuError } from "../base/errors.ts";

/** See the file's head. `where` names the value in messages. */
export class StateReader {
  readonly where: string;
  readonly #value: unknown;

  constructor(value: unknown, where: string) {
    this.#value = value;
    this.where = where;
  }

  /** The value itself, as it is. */
  get value(): unknown {
    return this.#value;
  }

  /** Refuses the value. */
  fail(sentence: string): never {
    throw new GpuError("EINVAL", `the saved state's ${this.where} ${sentence}`);
  }

  /** A field, to be read further. */
  field(key: string): StateReader {
    const value = this.#value;
    if (typeof value !== "object" || value === null) return this.fail("is no record");
    return new StateReader(Object.getOwnPropertyDescriptor(value, key)?.value, `${this.where}.${key}`);
  }

  /** A field that may be null. */
  fieldOrNull(key: string): StateReader | null {
    const field = this.field(key);
    return field.#value === null ? null : field;
  }

  /** A whole number from `least` to `most`. */
  integer(key: string, least: number, most: number): number {
    return this.field(key).integerSelf(least, most);
  }

  /** The value itself, as a whole number from `least` to `most`. */
  integerSelf(least: number, most: number): number {
    const value = this.#value;
    // A negative zero would be an integer, and differ from what it is compared with later.
    if (typeof value !== "number" || !Number.isSafeInteger(value) || Object.is(value, -0)) {
      return this.fail("is no whole number");
    }
    if (value < least || value > most) return this.fail(`is ${value}, not from ${least} to ${most}`);
    return value;
  }

  /** A number, whole or not, from `least` to `most`. */
  number(key: string, least: number, most: number): number {
    const field = this.field(key);
    const value = field.#value;
    if (typeof value !== "number" || !(value >= least && value <= most)) {
      return field.fail(`is no number from ${least} to ${most}`);
    }
    return value;
  }

  boolean(key: string): boolean {
    const field = this.field(key);
    return typeof field.#value === "boolean" ? field.#value : field.fail("is neither true nor false");
  }

  /** At most `lengthMax` characters. */
  text(key: string, lengthMax: number): string {
    const field = this.field(key);
    const value = field.#value;
    if (typeof value !== "string" || value.length > lengthMax) {
      return field.fail(`is no text of at most ${lengthMax} characters`);
    }
    return value;
  }

  /** A copy of exactly `byteLength` bytes. */
  bytes(key: string, byteLength: number): Uint8Array {
    const field = this.field(key);
    const value = field.#value;
    if (!(value instanceof Uint8Array) || value.byteLength !== byteLength)
      return field.fail(`is not ${byteLength} bytes`);
    return value.slice();
  }

  /** The same, or null. */
  bytesOrNull(key: string, byteLength: number): Uint8Array | null {
    return this.fieldOrNull(key) === null ? null : this.bytes(key, byteLength);
  }

  /** A list of at most `countMax` entries, each read by `read`. */
  list<Entry>(key: string, countMax: number, read: (entry: StateReader, index: number) => Entry): Entry[] {
    const field = this.field(key);
    const value = field.#value;
    if (!Array.isArray(value) || value.length > countMax)
      return field.fail(`is no list of at most ${countMax} entries`);
    const entries: Entry[] = [];
    for (let index = 0; index < value.length; index += 1) {
      const entry: unknown = value[index];
      entries.push(read(new StateReader(entry, `${field.where}[${index}]`), index));
    }
    return entries;
  }
}
