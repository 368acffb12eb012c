/** What a tracer hears of commands: their facts, and, where it wants them, their bytes. */
import type { TraceEvent, Tracer } from "../../base/tracer.ts";
import type { Reply } from "./reply.ts";

type CommandEvent = Extract<TraceEvent, { kind: "command" }>;
type ReplyEvent = Extract<TraceEvent, { kind: "reply" }>;

/** A request of `byteLength` bytes that begins at word `at`, with room for `capacity` bytes of reply. */
export function traceCommand(
  tracer: Tracer,
  facts: Omit<CommandEvent, "kind" | "request" | "capacity">,
  request: { readonly u32: Uint32Array; readonly at: number; readonly byteLength: number; readonly capacity: number },
): void {
  if (tracer.detailed !== true) return tracer.trace({ kind: "command", ...facts });
  const { u32, at, byteLength, capacity } = request;
  const bytes = new Uint8Array(u32.buffer, u32.byteOffset + 4 * at, byteLength).slice();
  tracer.trace({ kind: "command", ...facts, request: bytes, capacity });
}

/** A reply as it was copied from the device. */
export function traceReply(
  tracer: Tracer,
  facts: Omit<ReplyEvent, "kind" | "bytes" | "reply">,
  { type: reply, words, byteLength }: Reply,
): void {
  if (tracer.detailed !== true) return tracer.trace({ kind: "reply", ...facts, reply });
  const bytes = new Uint8Array(words.buffer, words.byteOffset, byteLength).slice();
  tracer.trace({ kind: "reply", ...facts, reply, bytes });
}
