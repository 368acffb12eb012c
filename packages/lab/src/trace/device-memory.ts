/** Guest memory by the addresses that a driver gives to its device. */
import { GpuError } from "@virtgpu/core/base";
import { type DmaMap, type GuestMemory, IommuDmaMap, IommuGuestMemory } from "@virtgpu/core/memory";

/** The memory behind `dma`. Throws GpuError ENOTSUP for a map whose addresses can't be followed. */
export function deviceMemory(memory: GuestMemory, dma: DmaMap): GuestMemory {
  if (dma instanceof IommuDmaMap) return new IommuGuestMemory(memory, dma);
  if (dma.translates !== true) return memory;
  throw new GpuError("ENOTSUP", "what a device reads through this IOMMU can't be recorded");
}
