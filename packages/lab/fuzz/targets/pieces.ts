/** Several byte strings in one input: each with its length in two bytes in front. */

/** Puts them into one input. */
export function pack(pieces: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(pieces.flatMap((piece) => [piece.length & 255, piece.length >> 8, ...piece]));
}

/** Takes any input apart; the last piece may be cut short. */
export function unpack(input: Uint8Array): readonly Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at + 2 <= input.length; ) {
    const length = (input[at] ?? 0) | ((input[at + 1] ?? 0) << 8);
    pieces.push(input.slice(at + 2, at + 2 + length));
    at += 2 + length;
  }
  return pieces;
}
