import type { GuestMemory } from "../../memory/guest-memory.ts";
import type { DeviceModel } from "../device-model.ts";
import { QueueRegisterSet } from "./queue-registers.ts";
import { type VirtioDeviceState } from "./saved-state.ts";
/** The device that a state is restored into. */
export interface RestoreTarget {
  readonly label: string;
  readonly memory: GuestMemory;
  readonly model: DeviceModel;
  readonly offeredFeatures: bigint;
}
/** The queues of a saved state, rings included; nothing is touched. Throws GpuError EINVAL when it does not fit. */
export declare function reviveQueues(state: VirtioDeviceState, target: RestoreTarget): readonly QueueRegisterSet[];
