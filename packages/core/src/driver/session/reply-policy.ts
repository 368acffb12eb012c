/**
 * What a refusal means (contract 9): a table from the host's reply to how often, and after which waits, the command is
 * tried again before the object counts as lost in this session. Later sessions, and the user's next use, start afresh.
 */
import type { GpuError } from "../../base/errors.ts";
import { GpuReply } from "../../wire/index.ts";

/** Waits in milliseconds before the first, second, ... new attempt; when they are used up the object is lost. */
type Waits = readonly number[];

const AT_ONCE_THEN_PATIENTLY: Waits = [0, 20, 200];

const WAITS: ReadonlyMap<number, Waits> = new Map<number, Waits>([
  [GpuReply.ERR_UNSPEC, AT_ONCE_THEN_PATIENTLY],
  // Room comes when somebody gives it: hammering would only make the host slower.
  [GpuReply.ERR_OUT_OF_MEMORY, [20, 200, 1000]],
  [GpuReply.ERR_INVALID_SCANOUT_ID, [20, 200]],
  [GpuReply.ERR_INVALID_RESOURCE_ID, AT_ONCE_THEN_PATIENTLY],
  [GpuReply.ERR_INVALID_CONTEXT_ID, AT_ONCE_THEN_PATIENTLY],
  [GpuReply.ERR_INVALID_PARAMETER, [0, 20]],
]);

/** An exporter that has no room for its buffer says when it has: polling it is only the safety net. */
const UNKNOWN_REPLY: Waits = AT_ONCE_THEN_PATIENTLY;

/** Milliseconds to wait before attempt number `attempts` + 1, or null: lost. */
export function waitBeforeRetry(error: GpuError, attempts: number): number | null {
  const waits = (error.reply === undefined ? undefined : WAITS.get(error.reply)) ?? UNKNOWN_REPLY;
  return waits[attempts - 1] ?? null;
}
