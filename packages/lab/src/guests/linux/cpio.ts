/**
 * The archive that the kernel takes as its initramfs: cpio of the "newc" kind (magic 070701; Linux,
 * Documentation/driver-api/early-userspace/buffer-format.rst). Headers are 110 characters of hexadecimal digits; name and
 * contents are padded to four bytes each; a member named TRAILER!!! ends it.
 */

/** A file, folder, link or device node of the archive. */
export type CpioMember =
  | { readonly kind: "folder"; readonly path: string }
  | { readonly kind: "file"; readonly path: string; readonly bytes: Uint8Array; readonly executable?: boolean }
  | { readonly kind: "link"; readonly path: string; readonly target: string }
  | { readonly kind: "character-device"; readonly path: string; readonly major: number; readonly minor: number };

const MODES = { folder: 0o040755, file: 0o100644, link: 0o120777, "character-device": 0o020600 } as const;
const EXECUTABLE = 0o111;

function padding(length: number): Buffer {
  return Buffer.alloc((4 - (length % 4)) % 4);
}

function contents(member: CpioMember): Uint8Array {
  if (member.kind === "file") return member.bytes;
  return Buffer.from(member.kind === "link" ? member.target : "");
}

function record(
  name: string,
  inode: number,
  mode: number,
  bytes: Uint8Array,
  device: readonly [number, number],
): Buffer {
  const nameBytes = Buffer.from(`${name}\0`);
  const fields = [inode, mode, 0, 0, 1, 0, bytes.length, 0, 0, device[0], device[1], nameBytes.length, 0];
  const head = Buffer.from(
    `070701${fields.map((field) => field.toString(16).padStart(8, "0").toUpperCase()).join("")}`,
  );
  return Buffer.concat([head, nameBytes, padding(head.length + nameBytes.length), bytes, padding(bytes.length)]);
}

/** The archive. Paths are relative, with `/` between folders; a folder comes before what lies in it. */
export function writeCpio(members: readonly CpioMember[]): Buffer {
  const records = members.map((member, index) => {
    const mode = MODES[member.kind] | (member.kind === "file" && member.executable === true ? EXECUTABLE : 0);
    const device = member.kind === "character-device" ? ([member.major, member.minor] as const) : ([0, 0] as const);
    return record(member.path, index + 1, mode, contents(member), device);
  });
  return Buffer.concat([...records, record("TRAILER!!!", 0, 0, Buffer.alloc(0), [0, 0])]);
}
