/**
 * A host's answer, checked: VIRTIO 1.2 section 5.7.6.7, with the distrust of `docs` "hostile peers".
 */
import { GpuError } from "../../base/errors.ts";
import { COMMANDS, commandName, GpuReply, HeaderFlag, HEADER_BYTES, replyName } from "../../wire/index.ts";

/** One answer. Reused by the queue: take what you need before you return. */
export interface Reply {
  /** The reply's type, or 0 for a command that has no reply (cursor queue). */
  type: number;
  /** Null when the command did what it should; else why not. */
  error: GpuError | null;
  /** Bytes that the device wrote and that may be trusted to be its answer. */
  byteLength: number;
  /** The reply, header included; valid for `byteLength` bytes, until the handler returns. */
  words: Uint32Array;
}

/** What a reply is held against. */
export interface Expectation {
  readonly device: string;
  readonly command: number;
  readonly object: number;
  /** 0 when the command was not fenced. */
  readonly fence: number;
}

/** Whether the reply to `command` says that it was done. `words` holds `byteLength` bytes that the device claims to have written. */
export function isSuccess(command: number, fence: number, words: Uint32Array, byteLength: number): boolean {
  const known = COMMANDS.get(command);
  return (
    byteLength >= HEADER_BYTES &&
    byteLength >= (known?.replyBytes ?? HEADER_BYTES) &&
    words[0] === (known?.reply ?? GpuReply.OK_NODATA) &&
    (fence === 0 || echoesFence(words, fence))
  );
}

/** Why this reply is no success, or null. */
export function checkReply(expected: Expectation, words: Uint32Array, byteLength: number): GpuError | null {
  if (isSuccess(expected.command, expected.fence, words, byteLength)) return null;
  const known = COMMANDS.get(expected.command);
  const facts = { device: expected.device, object: expected.object === 0 ? undefined : `resource ${expected.object}` };
  const name = commandName(expected.command);
  if (byteLength < HEADER_BYTES) {
    return new GpuError("EPROTO", `the host answered ${name} with ${byteLength} bytes, less than a header`, facts);
  }
  const type = words[0] ?? 0;
  if (expected.fence !== 0 && !echoesFence(words, expected.fence)) {
    return new GpuError("EPROTO", `the host answered ${name} without its fence ${expected.fence}`, facts);
  }
  if (type >= GpuReply.ERR_UNSPEC) return refusal(type, name, facts);
  if (type !== (known?.reply ?? GpuReply.OK_NODATA)) {
    return new GpuError("EPROTO", `the host answered ${name} with ${replyName(type)}`, { ...facts, reply: type });
  }
  const atLeast = known?.replyBytes ?? HEADER_BYTES;
  return new GpuError("EPROTO", `the host cut its answer to ${name} to ${byteLength} of ${atLeast} bytes`, facts);
}

function echoesFence(words: Uint32Array, fence: number): boolean {
  const flags = words[1] ?? 0;
  const id = (words[2] ?? 0) + (words[3] ?? 0) * 2 ** 32;
  return (flags & HeaderFlag.FENCE) !== 0 && id === fence;
}

function refusal(type: number, name: string, facts: { device: string; object: string | undefined }): GpuError {
  const code = type === GpuReply.ERR_OUT_OF_MEMORY ? "ENOMEM" : "EIO";
  return new GpuError(code, `the host refused ${name}: ${replyName(type)}`, { ...facts, reply: type });
}
