/**
 * What the device says of its outputs: GET_DISPLAY_INFO, GET_EDID (VIRTIO 1.2 section 5.7.6.8).
 */
import { GpuReply, MAX_SCANOUTS } from "../wire/gpu.ts";
import {
  DISPLAY_INFO_REPLY_BYTES,
  DISPLAY_MODE_BYTES,
  EDID_REPLY_BYTES,
  HEADER_BYTES,
  writeDisplayMode,
  writeEdidReply,
} from "../wire/gpu.gen.ts";
import type { GpuState } from "./gpu-state.ts";
import type { CommandLane } from "./lane.ts";

/** GET_DISPLAY_INFO. Outputs have no place of their own: x and y are 0. */
export function displayInfo(state: GpuState, lane: CommandLane): number {
  const { reply } = lane;
  for (let output = 0; output < MAX_SCANOUTS; output += 1) {
    const at = (HEADER_BYTES + output * DISPLAY_MODE_BYTES) >> 2;
    const layout = state.outputs[output];
    if (layout?.enabled === true) writeDisplayMode(reply, at, 0, 0, layout.width, layout.height, 1, 0);
    else writeDisplayMode(reply, at, 0, 0, 0, 0, 0, 0);
  }
  lane.replyBytes = DISPLAY_INFO_REPLY_BYTES;
  return GpuReply.OK_DISPLAY_INFO;
}

/** GET_EDID. Answered also where no monitor is connected, and where EDID was not negotiated, as QEMU does. */
export function edid(state: GpuState, lane: CommandLane): number {
  const bytes = state.edids[lane.request[6] ?? 0];
  if (bytes === undefined) return GpuReply.ERR_INVALID_PARAMETER;
  writeEdidReply(lane.reply, 0, bytes.byteLength, bytes);
  lane.replyBytes = EDID_REPLY_BYTES;
  return GpuReply.OK_EDID;
}
