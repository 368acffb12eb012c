/** Names for messages and traces: the specification's words for the numbers of VIRTIO 1.2 section 5.7.6.7. */
import { COMMANDS, REPLIES } from "./gpu.gen.ts";

/** e.g. `RESOURCE_FLUSH`, or `command 0x123` for what nobody knows. */
export function commandName(type: number): string {
  return COMMANDS.get(type)?.name ?? `command 0x${type.toString(16)}`;
}

/** e.g. `ERR_INVALID_RESOURCE_ID`, or `reply 0x123` for what nobody knows. */
export function replyName(type: number): string {
  return REPLIES.get(type)?.name ?? `reply 0x${type.toString(16)}`;
}
