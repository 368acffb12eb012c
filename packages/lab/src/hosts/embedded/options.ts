/**
 * `--device TYPE,property=…` for the embedded host, in QEMU's words where QEMU has them.
 */
import type { VirtioGpuDeviceOptions } from "@virtgpu/core/device";
import type { SimHostOptions, SlotKind } from "@virtgpu/core/sim";
import { UsageError } from "../../usage-error.ts";
import type { Hardware } from "../machine.ts";

/** What an embedded device is made of. */
export interface EmbeddedDevice {
  readonly transport: SlotKind;
  readonly device: VirtioGpuDeviceOptions;
  readonly features: NonNullable<SimHostOptions["features"]>;
  readonly pci: NonNullable<SimHostOptions["pci"]>;
  readonly variant: NonNullable<SimHostOptions["variant"]>;
}

/** Types of devices, and how each is reached. */
const TRANSPORTS: Readonly<Record<string, SlotKind>> = {
  "virtio-gpu-pci": "pci",
  "virtio-gpu-device": "mmio",
  loopback: "loopback",
  "pci-cfg": "pci-cfg",
  "pci-io": "pci-io",
};

/** Properties that are switched on or off, each with what it is unless given. */
const SWITCHES: Readonly<Record<string, boolean>> = {
  blob: true,
  edid: true,
  indirect_desc: true,
  event_idx: true,
  packed: false,
  iommu_platform: false,
  suspend: true,
  "no-soft-reset": false,
  "keeps-resources": false,
  slow: false,
};

const SIZES: ReadonlySet<string> = new Set(["max_hostmem"]);

/** What can be said in `--device`, for its help. */
export const EMBEDDED_DEVICES: string = `${Object.keys(TRANSPORTS).join("|")} with ${[...Object.keys(SWITCHES), ...SIZES].join(", ")}`;

/** Reads type and properties. Throws UsageError for what this host does not know. */
export function embeddedDevice({ device, outputs, ramBytes }: Hardware): EmbeddedDevice {
  const transport = TRANSPORTS[device.type];
  if (transport === undefined) {
    throw new UsageError(`the embedded host has no device "${device.type}": it knows ${EMBEDDED_DEVICES}`);
  }
  for (const name of Object.keys(device.properties)) {
    if (SWITCHES[name] === undefined && !SIZES.has(name)) {
      throw new UsageError(`the embedded host's devices have no property "${name}": there are ${EMBEDDED_DEVICES}`);
    }
  }
  const is = (name: string): boolean => readSwitch(name, device.properties[name]);
  return {
    transport,
    device: {
      outputs,
      blob: is("blob"),
      edid: is("edid"),
      hostMemoryBytesMax: readSize(device.properties["max_hostmem"]) ?? Math.max(256 << 20, 2 * ramBytes),
    },
    features: {
      indirect: is("indirect_desc"),
      eventIndex: is("event_idx"),
      packed: is("packed"),
      accessPlatform: is("iommu_platform"),
      suspend: is("suspend"),
    },
    pci: { noSoftReset: is("no-soft-reset") },
    variant: is("keeps-resources") ? "keeps" : is("slow") ? "slow" : "drops",
  };
}

function readSwitch(name: string, value: string | undefined): boolean {
  if (value === undefined) return SWITCHES[name] ?? false;
  if (value === "on" || value === "true") return true;
  if (value === "off" || value === "false") return false;
  throw new UsageError(`the property ${name} is on or off, not "${value}"`);
}

/** `16M`, `2G`, or bytes. */
function readSize(text: string | undefined): number | null {
  if (text === undefined) return null;
  const [, digits, unit = ""] = /^(\d{1,12})([KMG]?)$/i.exec(text) ?? [];
  if (digits === undefined) throw new UsageError(`"${text}" is no size: write 16M or 2G`);
  return Number(digits) * ({ k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 }[unit.toLowerCase()] ?? 1);
}
