export { type VirtioDeviceFeatures, areAcceptable, offeredFeatures } from "./features.ts";
export {
  VIRTIO_DEVICE_STATE_VERSION,
  type VirtioDeviceState,
  type VirtioQueueState,
} from "./saved-state.ts";
export { type RescuedDevice, StaleDriverRescue } from "./stale-drivers.ts";
export type { DevicePhase } from "./status.ts";
export * from "./virtio-device.ts";
