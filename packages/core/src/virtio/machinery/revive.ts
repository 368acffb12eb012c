/**
 * From a saved state, checked in itself, to the queues of a device it has to fit: the second half of the checks.
 */
import { GpuError } from "../../base/errors.ts";
import type { GuestMemory } from "../../memory/guest-memory.ts";
import { DeviceStatus, VirtioFeature, featureBit } from "../../wire/virtio.ts";
import type { DeviceModel } from "../device-model.ts";
import { areAcceptable, joinFeatureWords } from "./features.ts";
import { QueueRegisterSet, openRing, violationOf } from "./queue-registers.ts";
import { Reader, type VirtioDeviceState, type VirtioQueueState } from "./saved-state.ts";

/** The device that a state is restored into. */
export interface RestoreTarget {
  readonly label: string;
  readonly memory: GuestMemory;
  readonly model: DeviceModel;
  readonly offeredFeatures: bigint;
}

/** The queues of a saved state, rings included; nothing is touched. Throws GpuError EINVAL when it does not fit. */
export function reviveQueues(state: VirtioDeviceState, target: RestoreTarget): readonly QueueRegisterSet[] {
  checkFits(state, target);
  const features = joinFeatureWords(state.driverFeatures);
  return target.model.queueSizes.map((sizeMax, index) => {
    const saved = state.queues[index];
    const registers = new QueueRegisterSet(index, sizeMax);
    if (saved !== undefined) revive(registers, saved, features, target);
    return registers;
  });
}

function revive(registers: QueueRegisterSet, saved: VirtioQueueState, features: bigint, target: RestoreTarget): void {
  registers.size = saved.size;
  registers.words.set(saved.addresses);
  registers.enabled = saved.enabled;
  registers.kicked = saved.kicked;
  if (saved.ring === null) return;
  try {
    registers.queue = openRing(target.memory, registers, features, saved.ring);
  } catch (error) {
    const sentence = `the saved state is wrong: queue ${registers.index}: ${violationOf(error)}`;
    throw new GpuError("EINVAL", sentence, { device: target.label, cause: error });
  }
}

function checkFits(state: VirtioDeviceState, { label, model, offeredFeatures }: RestoreTarget): void {
  const read: Reader = new Reader(label);
  const features = joinFeatureWords(state.driverFeatures);
  const negotiated = (state.status & DeviceStatus.FEATURES_OK) !== 0;
  const suspend = (state.status & DeviceStatus.SUSPEND) !== 0;
  read.require(state.deviceId === model.deviceId, `it is of a device with id ${state.deviceId}`);
  read.require(state.queues.length === model.queueSizes.length, `it has ${state.queues.length} queues`);
  read.require(!negotiated || areAcceptable(features, offeredFeatures), "its features are not offered here");
  read.require(!suspend || (features & featureBit(VirtioFeature.SUSPEND)) !== 0n, "SUSPEND was not negotiated");
  read.require(!state.configPending || suspend, "a change waits for a resume that does not come");
  for (const { enabled, kicked, ring } of state.queues) {
    read.require(!enabled || negotiated, "a queue is enabled before FEATURES_OK");
    read.require((ring !== null) === (enabled && !state.stopped), "a queue's ring is there without use, or missing");
    read.require(!kicked || ring !== null, "a queue was kicked that has no ring");
  }
}
