/** Lines out of pieces, bounded: what never ends is not kept. */

/** Takes bytes in any pieces and gives whole lines. */
export class LineSplitter {
  readonly #longest: number;
  #parts: Buffer[] = [];
  #length = 0;

  constructor(longest: number) {
    this.#longest = longest;
  }

  /** The lines that end in this piece, without their end; null for one that is longer than allowed. */
  take(piece: Buffer): readonly (string | null)[] {
    const lines: (string | null)[] = [];
    let start = 0;
    for (let end = piece.indexOf(10); end !== -1; end = piece.indexOf(10, start)) {
      this.#keep(piece.subarray(start, end));
      lines.push(this.#length > this.#longest ? null : Buffer.concat(this.#parts).toString("utf8").trim());
      this.#parts = [];
      this.#length = 0;
      start = end + 1;
    }
    this.#keep(piece.subarray(start));
    return lines;
  }

  #keep(part: Buffer): void {
    this.#length += part.length;
    if (this.#length <= this.#longest) this.#parts.push(part);
    else this.#parts = [];
  }
}
