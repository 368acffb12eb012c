/** The parts of gpu.gen.ts that depend on no table: printed as they stand. */

export const memoryEntryText: string = `
/** The address of the memory entry at word \`at\`; \`Infinity\` from 2^53 on. */
export function readMemoryEntryAddress(u32: Uint32Array, at: number): number {
  return joinU64(u32[at] ?? 0, u32[at + 1] ?? 0);
}

/** The length in bytes of the memory entry at word \`at\`. */
export function readMemoryEntryByteLength(u32: Uint32Array, at: number): number {
  return u32[at + 2] ?? 0;
}

function writeMemoryEntries(u32: Uint32Array, at: number, entries: readonly MemoryEntry[]): void {
  entries.forEach((entry, index) => {
    writeMemoryEntry(u32, at + index * 4, entry.address, entry.byteLength);
  });
}

function readMemoryEntries(u32: Uint32Array, at: number, count: number): readonly MemoryEntry[] {
  return Array.from({ length: count }, (_, index) => readMemoryEntry(u32, at + index * 4));
}
`;

export const faceCommonText: string = `
/** The header without its type. */
export type HeaderValues = Omit<HeaderFields, "type">;

/** What was read, or why it could not be, with the header's type (0 when not even that could be read). */
export type DecodedCommand =
  | { readonly ok: true; readonly command: Command; readonly header: HeaderFields }
  | { readonly ok: false; readonly reason: string; readonly type: number };

/** What was read, or why it could not be, with the header's type (0 when not even that could be read). */
export type DecodedReply =
  | { readonly ok: true; readonly reply: Reply; readonly header: HeaderFields }
  | { readonly ok: false; readonly reason: string; readonly type: number };

function encodeHeader(u32: Uint32Array, type: number, header: Partial<HeaderValues>): void {
  const { flags = 0, fenceLow = 0, fenceHigh = 0, contextId = 0, ringIndex = 0 } = header;
  writeHeader(u32, 0, type, flags, fenceLow, fenceHigh, contextId, ringIndex);
}

function headerFault(u32: Uint32Array, byteLength: number): string | null {
  if (!Number.isInteger(byteLength) || byteLength < HEADER_BYTES) return \`\${byteLength} bytes are less than a header\`;
  if (byteLength > u32.byteLength) return \`\${byteLength} bytes are announced, \${u32.byteLength} are there\`;
  return null;
}
`;
