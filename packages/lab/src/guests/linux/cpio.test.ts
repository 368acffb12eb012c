import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type CpioMember, writeCpio } from "./cpio.ts";

interface Found {
  readonly name: string;
  readonly mode: number;
  readonly bytes: Buffer;
  readonly device: readonly [number, number];
}

/** Reads an archive as the kernel does: by its headers and paddings alone. */
function readCpio(archive: Buffer): Found[] {
  const found: Found[] = [];
  for (let at = 0; ; ) {
    expect(archive.toString("latin1", at, at + 6)).toBe("070701");
    const field = (index: number): number =>
      Number.parseInt(archive.toString("latin1", at + 6 + 8 * index, at + 14 + 8 * index), 16);
    const nameEnd = at + 110 + field(11);
    const name = archive.toString("utf8", at + 110, nameEnd - 1);
    expect(archive[nameEnd - 1]).toBe(0);
    const start = Math.ceil(nameEnd / 4) * 4;
    const end = start + field(6);
    if (name === "TRAILER!!!") {
      expect(end).toBe(archive.length);
      return found;
    }
    found.push({ name, mode: field(1), bytes: archive.subarray(start, end), device: [field(9), field(10)] });
    at = Math.ceil(end / 4) * 4;
  }
}

describe("an initramfs archive", () => {
  it("holds what was put in, whatever the lengths of names and contents", () => {
    const member = fc.record({
      path: fc.stringMatching(/^[a-z/._-]{1,40}$/),
      bytes: fc.uint8Array({ maxLength: 70 }),
      executable: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(member), (files) => {
        const members = files.map((file): CpioMember => ({ kind: "file", ...file }));
        const expected = files.map(({ path, bytes, executable }) => ({
          name: path,
          mode: executable ? 0o100755 : 0o100644,
          bytes: Buffer.from(bytes),
          device: [0, 0],
        }));
        expect(readCpio(writeCpio(members))).toEqual(expected);
      }),
    );
  });

  it("has folders, links and device nodes with their modes", () => {
    const found = readCpio(
      writeCpio([
        { kind: "folder", path: "dev" },
        { kind: "character-device", path: "dev/console", major: 5, minor: 1 },
        { kind: "link", path: "bin/sh", target: "busybox" },
      ]),
    );
    expect(found).toEqual([
      { name: "dev", mode: 0o040755, bytes: Buffer.from(""), device: [0, 0] },
      { name: "dev/console", mode: 0o020600, bytes: Buffer.from(""), device: [5, 1] },
      { name: "bin/sh", mode: 0o120777, bytes: Buffer.from("busybox"), device: [0, 0] },
    ]);
  });
});
