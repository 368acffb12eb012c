/**
 * The wire tables against the kernel's own headers (Debian: linux-libc-dev): a C program generated from them prints
 * sizes, offsets and constants, and each must be ours. What an installed header does not have yet is listed by name in
 * the test's annotation, and only the names of `mayBeMissing` may be.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import * as gpu from "../src/wire/gpu.ts";
import * as mmio from "../src/wire/mmio.ts";
import * as pci from "../src/wire/pci.ts";
import * as ring from "../src/wire/ring.ts";
import {
  commands,
  configSpace,
  displayMode,
  fieldOffsets,
  header,
  memoryEntry,
  replies,
  type Struct,
  structBytes,
} from "../src/wire/schema.ts";
import * as virtio from "../src/wire/virtio.ts";

/** One number: a C expression, what we have for it, and the macro that an old header may not define. */
interface Check {
  readonly expression: string;
  readonly ours: number;
  readonly macro: string | null;
}

const INSTALL = "install a C compiler and the kernel's headers: apt-get install gcc libc6-dev linux-libc-dev";
const INCLUDES = ["stddef.h", "stdio.h", "linux/types.h", "linux/virtio_gpu.h", "linux/virtio_pci.h"]
  .concat(["linux/virtio_mmio.h", "linux/virtio_ring.h", "linux/virtio_config.h", "linux/virtio_ids.h"])
  .concat(["linux/pci_regs.h"]);

/** What kernel headers came to have late (later than the 6.1 of Debian 12), or do not have at all. */
const mayBeMissing: ReadonlySet<string> = new Set([
  "VIRTIO_GPU_F_BLOB_ALIGNMENT", // v1.4
  "VIRTIO_F_SUSPEND", // v1.4
  "VIRTIO_CONFIG_S_SUSPEND", // v1.4
  "VIRTIO_F_NOTIFICATION_DATA", // later than 6.1
  "VIRTIO_F_NOTIF_CONFIG_DATA", // later than 6.1
  "VIRTIO_F_ADMIN_VQ", // later than 6.1
  "VIRTIO_PCI_COMMON_ADM_Q_IDX", // later than 6.1
  "VIRTIO_PCI_COMMON_ADM_Q_NUM", // later than 6.1
  "VIRTIO_PCI_CAP_VENDOR_CFG", // later than 6.1
  "VIRTIO_MMIO_QUEUE_RESET", // none known
  "VIRTIO_GPU_CAPSET_GFXSTREAM_VULKAN", // later than 6.1
  "VIRTIO_GPU_CAPSET_VENUS", // later than 6.1
  "VIRTIO_GPU_CAPSET_CROSS_DOMAIN", // later than 6.1
  "VIRTIO_GPU_CAPSET_DRM", // later than 6.1
]);

/** An enumerator, a sizeof or an offsetof: can't be asked for with #ifdef, and all headers have it. */
const certain = (expression: string, ours: number): Check => ({ expression, ours, macro: null });
const macro = (name: string, ours: number): Check => ({ expression: name, ours, macro: name });

/** Values of a constant object under C names made of a prefix and the key. */
function macros(prefix: string, values: Readonly<Record<string, number>>, except: readonly string[] = []): Check[] {
  return Object.entries(values)
    .filter(([key]) => !except.includes(key))
    .map(([key, value]) => macro(prefix + key, value));
}

/** The size of a structure and the offset of each field. */
function layoutChecks(struct: Struct): readonly Check[] {
  const type = `struct ${struct.cName}`;
  const offsets = fieldOffsets(struct).map(({ field, offset }) => certain(`offsetof(${type}, ${field.cName})`, offset));
  return [certain(`sizeof(${type})`, structBytes(struct)), ...offsets];
}

function gpuLayouts(): readonly Check[] {
  const bodies = new Set([...commands.map(({ body }) => body), ...replies.map(({ body }) => body)]);
  const config: Struct = { ...configSpace, fields: configSpace.fields.slice(0, 4) };
  return [
    ...[header, memoryEntry, displayMode, ...bodies].flatMap(layoutChecks),
    ...layoutChecks(config).slice(1),
    certain("offsetof(struct virtio_gpu_ctrl_hdr, padding)", 21),
    ...["x", "y", "width", "height"].map((part, at) => certain(`offsetof(struct virtio_gpu_rect, ${part})`, at * 4)),
    ...["x", "y", "z", "w", "h", "d"].map((part, at) => certain(`offsetof(struct virtio_gpu_box, ${part})`, at * 4)),
    certain("sizeof(((struct virtio_gpu_ctx_create *)0)->debug_name)", 64),
    certain("sizeof(((struct virtio_gpu_resp_edid *)0)->edid)", 1024),
    certain("sizeof(((struct virtio_gpu_resp_resource_uuid *)0)->uuid)", 16),
  ];
}

function gpuConstants(): readonly Check[] {
  return [
    ...Object.entries(gpu.GpuCommand).map(([key, value]) => certain(`VIRTIO_GPU_CMD_${key}`, value)),
    ...Object.entries(gpu.GpuReply).map(([key, value]) => certain(`VIRTIO_GPU_RESP_${key}`, value)),
    ...Object.entries(gpu.Format).map(([key, value]) => certain(`VIRTIO_GPU_FORMAT_${key}_UNORM`, value)),
    ...macros("VIRTIO_GPU_F_", gpu.GpuFeature),
    ...macros("VIRTIO_GPU_FLAG_", gpu.HeaderFlag),
    ...macros("VIRTIO_GPU_EVENT_", gpu.GpuEvent),
    ...macros("VIRTIO_GPU_BLOB_MEM_", gpu.BlobMemory),
    ...macros("VIRTIO_GPU_BLOB_FLAG_", gpu.BlobFlag),
    ...macros("VIRTIO_GPU_MAP_CACHE_", gpu.MapCache, ["WRITE_COMBINED"]),
    ...macros("VIRTIO_GPU_CAPSET_", gpu.Capset),
    ...macros("VIRTIO_GPU_RESOURCE_FLAG_", gpu.Resource3dFlag),
    macro("VIRTIO_GPU_MAP_CACHE_WC", gpu.MapCache.WRITE_COMBINED),
    macro("VIRTIO_GPU_MAP_CACHE_MASK", gpu.MAP_CACHE_MASK),
    macro("VIRTIO_GPU_CONTEXT_INIT_CAPSET_ID_MASK", gpu.CONTEXT_INIT_CAPSET_MASK),
    macro("VIRTIO_GPU_MAX_SCANOUTS", gpu.MAX_SCANOUTS),
    certain("VIRTIO_GPU_SHM_ID_HOST_VISIBLE", gpu.SharedMemoryId.HOST_VISIBLE),
    macro("VIRTIO_ID_GPU", gpu.GPU_DEVICE_ID),
  ];
}

function virtioConstants(): readonly Check[] {
  const ringFeatures = ["INDIRECT_DESC", "EVENT_IDX"];
  const { QUEUE, CONFIG } = virtio.InterruptBit;
  return [
    ...macros("VIRTIO_F_", virtio.VirtioFeature, ringFeatures),
    macro("VIRTIO_RING_F_INDIRECT_DESC", virtio.VirtioFeature.INDIRECT_DESC),
    macro("VIRTIO_RING_F_EVENT_IDX", virtio.VirtioFeature.EVENT_IDX),
    ...macros("VIRTIO_CONFIG_S_", virtio.DeviceStatus),
    macro("VIRTIO_MSI_NO_VECTOR", virtio.NO_VECTOR),
    macro("VIRTIO_MMIO_INT_VRING", QUEUE),
    macro("VIRTIO_MMIO_INT_CONFIG", CONFIG),
    macro("VIRTIO_PCI_ISR_CONFIG", CONFIG),
  ];
}

/** Our register names are the current specification's; the headers keep older ones. */
const MMIO_NAMES: Readonly<Record<string, string>> = {
  MAGIC: "MAGIC_VALUE",
  QUEUE_SIZE_MAX: "QUEUE_NUM_MAX",
  QUEUE_SIZE: "QUEUE_NUM",
  QUEUE_DRIVER_LOW: "QUEUE_AVAIL_LOW",
  QUEUE_DRIVER_HIGH: "QUEUE_AVAIL_HIGH",
  QUEUE_DEVICE_LOW: "QUEUE_USED_LOW",
  QUEUE_DEVICE_HIGH: "QUEUE_USED_HIGH",
};

function mmioRegisters(): readonly Check[] {
  return Object.entries(mmio.MmioRegister).map(([key, value]) => macro(`VIRTIO_MMIO_${MMIO_NAMES[key] ?? key}`, value));
}

function virtioPci(): readonly Check[] {
  const { CommonConfig: common, VirtioCap: cap, VirtioCapType: type } = pci;
  const commonMacros: Readonly<Record<string, number>> = {
    DFSELECT: common.DEVICE_FEATURE_SELECT,
    DF: common.DEVICE_FEATURE,
    GFSELECT: common.DRIVER_FEATURE_SELECT,
    GF: common.DRIVER_FEATURE,
    MSIX: common.CONFIG_MSIX_VECTOR,
    NUMQ: common.NUM_QUEUES,
    STATUS: common.DEVICE_STATUS,
    CFGGENERATION: common.CONFIG_GENERATION,
    Q_SELECT: common.QUEUE_SELECT,
    Q_SIZE: common.QUEUE_SIZE,
    Q_MSIX: common.QUEUE_MSIX_VECTOR,
    Q_ENABLE: common.QUEUE_ENABLE,
    Q_NOFF: common.QUEUE_NOTIFY_OFF,
    Q_DESCLO: common.QUEUE_DESC,
    Q_AVAILLO: common.QUEUE_DRIVER,
    Q_USEDLO: common.QUEUE_DEVICE,
    Q_NDATA: common.QUEUE_NOTIF_CONFIG_DATA,
    Q_RESET: common.QUEUE_RESET,
    ADM_Q_IDX: common.ADMIN_QUEUE_INDEX,
    ADM_Q_NUM: common.ADMIN_QUEUE_NUM,
  };
  const capFields: Readonly<Record<string, number>> = {
    cap_vndr: cap.ID,
    cap_next: cap.NEXT,
    cap_len: cap.LENGTH_OF_CAP,
    cfg_type: cap.CFG_TYPE,
    bar: cap.BAR,
    id: cap.REGION_ID,
    offset: cap.OFFSET,
    length: cap.LENGTH,
  };
  return [
    ...macros("VIRTIO_PCI_COMMON_", commonMacros),
    ...Object.entries(capFields).map(([name, at]) => certain(`offsetof(struct virtio_pci_cap, ${name})`, at)),
    certain("sizeof(struct virtio_pci_common_cfg)", common.BYTES_BASE),
    certain("sizeof(struct virtio_pci_cap)", cap.BYTES),
    certain("offsetof(struct virtio_pci_notify_cap, notify_off_multiplier)", cap.NOTIFY_MULTIPLIER),
    certain("sizeof(struct virtio_pci_notify_cap)", cap.NOTIFY_BYTES),
    certain("offsetof(struct virtio_pci_cap64, offset_hi)", cap.OFFSET_HIGH),
    certain("offsetof(struct virtio_pci_cap64, length_hi)", cap.LENGTH_HIGH),
    certain("sizeof(struct virtio_pci_cap64)", cap.BYTES_64),
    certain("offsetof(struct virtio_pci_cfg_cap, pci_cfg_data)", cap.PCI_DATA),
    certain("sizeof(struct virtio_pci_cfg_cap)", cap.PCI_ACCESS_BYTES),
    macro("VIRTIO_PCI_CAP_COMMON_CFG", type.COMMON),
    macro("VIRTIO_PCI_CAP_NOTIFY_CFG", type.NOTIFY),
    macro("VIRTIO_PCI_CAP_ISR_CFG", type.ISR),
    macro("VIRTIO_PCI_CAP_DEVICE_CFG", type.DEVICE),
    macro("VIRTIO_PCI_CAP_PCI_CFG", type.PCI_ACCESS),
    macro("VIRTIO_PCI_CAP_SHARED_MEMORY_CFG", type.SHARED_MEMORY),
    macro("VIRTIO_PCI_CAP_VENDOR_CFG", type.VENDOR),
  ];
}

function plainPci(): readonly Check[] {
  const { PciBar, PciCapId, PciCommand, PciHeader, PciMsix, PciMsixControl, PciMsixEntry, PciPm, PciPmcsr } = pci;
  const named: Readonly<Record<string, number>> = {
    VENDOR_ID: PciHeader.VENDOR_ID,
    DEVICE_ID: PciHeader.DEVICE_ID,
    COMMAND: PciHeader.COMMAND,
    STATUS: PciHeader.STATUS,
    REVISION_ID: PciHeader.REVISION,
    CLASS_PROG: PciHeader.CLASS,
    HEADER_TYPE: PciHeader.HEADER_TYPE,
    BASE_ADDRESS_0: PciHeader.BAR_0,
    SUBSYSTEM_VENDOR_ID: PciHeader.SUBSYSTEM_VENDOR_ID,
    SUBSYSTEM_ID: PciHeader.SUBSYSTEM_ID,
    CAPABILITY_LIST: PciHeader.CAPABILITIES,
    INTERRUPT_LINE: PciHeader.INTERRUPT_LINE,
    INTERRUPT_PIN: PciHeader.INTERRUPT_PIN,
    STD_HEADER_SIZEOF: PciHeader.BYTES,
    STD_NUM_BARS: pci.PCI_BARS,
    COMMAND_IO: PciCommand.IO,
    COMMAND_MEMORY: PciCommand.MEMORY,
    COMMAND_MASTER: PciCommand.BUS_MASTER,
    COMMAND_INTX_DISABLE: PciCommand.INTX_DISABLE,
    STATUS_INTERRUPT: pci.PciStatus.INTERRUPT,
    STATUS_CAP_LIST: pci.PciStatus.CAPABILITIES,
    BASE_ADDRESS_SPACE_IO: PciBar.IO,
    BASE_ADDRESS_MEM_TYPE_MASK: PciBar.TYPE_MASK,
    BASE_ADDRESS_MEM_TYPE_64: PciBar.TYPE_64,
    BASE_ADDRESS_MEM_PREFETCH: PciBar.PREFETCHABLE,
    CAP_ID_PM: PciCapId.POWER_MANAGEMENT,
    CAP_ID_MSI: PciCapId.MSI,
    CAP_ID_VNDR: PciCapId.VENDOR,
    CAP_ID_EXP: PciCapId.EXPRESS,
    CAP_ID_MSIX: PciCapId.MSIX,
    CAP_LIST_ID: pci.PciCap.ID,
    CAP_LIST_NEXT: pci.PciCap.NEXT,
    PM_PMC: PciPm.CAPABILITIES,
    PM_CTRL: PciPm.CONTROL_STATUS,
    PM_SIZEOF: PciPm.BYTES,
    PM_CAP_VER_MASK: pci.PciPmCapabilities.VERSION_MASK,
    PM_CAP_D1: pci.PciPmCapabilities.D1,
    PM_CAP_D2: pci.PciPmCapabilities.D2,
    PM_CAP_PME_MASK: pci.PciPmCapabilities.PME_MASK,
    PM_CTRL_STATE_MASK: PciPmcsr.STATE_MASK,
    PM_CTRL_NO_SOFT_RESET: PciPmcsr.NO_SOFT_RESET,
    PM_CTRL_PME_ENABLE: PciPmcsr.PME_ENABLE,
    PM_CTRL_PME_STATUS: PciPmcsr.PME_STATUS,
    MSIX_FLAGS: PciMsix.CONTROL,
    MSIX_TABLE: PciMsix.TABLE,
    MSIX_PBA: PciMsix.PENDING,
    MSIX_TABLE_BIR: PciMsix.BAR_MASK,
    CAP_MSIX_SIZEOF: PciMsix.BYTES,
    MSIX_FLAGS_QSIZE: PciMsixControl.SIZE_MASK,
    MSIX_FLAGS_MASKALL: PciMsixControl.FUNCTION_MASK,
    MSIX_FLAGS_ENABLE: PciMsixControl.ENABLE,
    MSIX_ENTRY_SIZE: PciMsixEntry.BYTES,
    MSIX_ENTRY_LOWER_ADDR: PciMsixEntry.ADDRESS_LOW,
    MSIX_ENTRY_UPPER_ADDR: PciMsixEntry.ADDRESS_HIGH,
    MSIX_ENTRY_DATA: PciMsixEntry.DATA,
    MSIX_ENTRY_VECTOR_CTRL: PciMsixEntry.VECTOR_CONTROL,
    MSIX_ENTRY_CTRL_MASKBIT: PciMsixEntry.MASKED,
  };
  return macros("PCI_", named);
}

function ringLayouts(): readonly Check[] {
  const { AvailableRing, DescriptorFlag, EventFlag, PackedDescriptor, SplitDescriptor, UsedEntry, UsedRing } = ring;
  const member = (struct: string, name: string, at: number): Check =>
    certain(`offsetof(struct ${struct}, ${name})`, at);
  return [
    member("vring_desc", "addr", SplitDescriptor.ADDRESS),
    member("vring_desc", "len", SplitDescriptor.LENGTH),
    member("vring_desc", "flags", SplitDescriptor.FLAGS),
    member("vring_desc", "next", SplitDescriptor.NEXT),
    certain("sizeof(struct vring_desc)", ring.DESCRIPTOR_BYTES),
    member("vring_avail", "flags", AvailableRing.FLAGS),
    member("vring_avail", "idx", AvailableRing.INDEX),
    member("vring_avail", "ring", AvailableRing.RING),
    certain("sizeof(((struct vring_avail *)0)->ring[0])", AvailableRing.ENTRY_BYTES),
    member("vring_used", "flags", UsedRing.FLAGS),
    member("vring_used", "idx", UsedRing.INDEX),
    member("vring_used", "ring", UsedRing.RING),
    member("vring_used_elem", "id", UsedEntry.ID),
    member("vring_used_elem", "len", UsedEntry.LENGTH),
    certain("sizeof(struct vring_used_elem)", UsedRing.ENTRY_BYTES),
    member("vring_packed_desc", "addr", PackedDescriptor.ADDRESS),
    member("vring_packed_desc", "len", PackedDescriptor.LENGTH),
    member("vring_packed_desc", "id", PackedDescriptor.ID),
    member("vring_packed_desc", "flags", PackedDescriptor.FLAGS),
    certain("sizeof(struct vring_packed_desc)", ring.DESCRIPTOR_BYTES),
    member("vring_packed_desc_event", "off_wrap", ring.EventSuppression.DESCRIPTOR),
    member("vring_packed_desc_event", "flags", ring.EventSuppression.FLAGS),
    certain("sizeof(struct vring_packed_desc_event)", ring.EventSuppression.BYTES),
    macro("VRING_DESC_F_NEXT", DescriptorFlag.NEXT),
    macro("VRING_DESC_F_WRITE", DescriptorFlag.WRITE),
    macro("VRING_DESC_F_INDIRECT", DescriptorFlag.INDIRECT),
    certain("1 << VRING_PACKED_DESC_F_AVAIL", DescriptorFlag.AVAIL),
    certain("1 << VRING_PACKED_DESC_F_USED", DescriptorFlag.USED),
    macro("VRING_USED_F_NO_NOTIFY", ring.USED_NO_NOTIFY),
    macro("VRING_AVAIL_F_NO_INTERRUPT", ring.AVAILABLE_NO_INTERRUPT),
    macro("VRING_PACKED_EVENT_FLAG_ENABLE", EventFlag.ENABLE),
    macro("VRING_PACKED_EVENT_FLAG_DISABLE", EventFlag.DISABLE),
    macro("VRING_PACKED_EVENT_FLAG_DESC", EventFlag.DESCRIPTOR),
    macro("VRING_PACKED_EVENT_F_WRAP_CTR", ring.EVENT_WRAP_BIT),
    macro("VRING_AVAIL_ALIGN_SIZE", AvailableRing.ALIGNMENT),
    macro("VRING_USED_ALIGN_SIZE", UsedRing.ALIGNMENT),
    macro("VRING_DESC_ALIGN_SIZE", ring.DESCRIPTOR_ALIGNMENT),
  ];
}

function programOf(checks: readonly Check[]): string {
  const lines = checks.flatMap(({ expression, macro: name }) => {
    const print = `printf("%lld\\n", (long long)(${expression}));`;
    return name === null ? [print] : [`#ifdef ${name}`, print, "#else", 'puts("absent");', "#endif"];
  });
  const includes = INCLUDES.map((file) => `#include <${file}>`);
  return [...includes, "int main(void) {", ...lines, "return 0; }", ""].join("\n");
}

/** Runs a compiler; a missing one ends the test with what to install. */
function compile(source: string, program: string): void {
  for (const compiler of [process.env["CC"], "cc", "gcc", "clang"]) {
    if (compiler === undefined || compiler === "") continue;
    const result = spawnSync(compiler, ["-o", program, source], { encoding: "utf8" });
    if (result.error !== undefined) continue;
    if (result.status !== 0) throw new Error(`${INSTALL}\n${compiler} said: ${result.stderr}`);
    return;
  }
  throw new Error(`no C compiler was found: ${INSTALL}`);
}

/** What the headers say, in the order of the checks: a number, or null for what they lack. */
function askHeaders(checks: readonly Check[]): readonly (number | null)[] {
  const folder = mkdtempSync(join(tmpdir(), "virtgpu-wire-"));
  try {
    const source = join(folder, "ask.c");
    const program = join(folder, "ask");
    writeFileSync(source, programOf(checks));
    compile(source, program);
    const result = spawnSync(program, { encoding: "utf8" });
    if (result.status !== 0) throw new Error(`the generated program failed: ${result.stderr}`);
    return result.stdout
      .trim()
      .split("\n")
      .map((line) => (line === "absent" ? null : Number(line)));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const groups: Readonly<Record<string, readonly Check[]>> = {
  "virtio-gpu structures": gpuLayouts(),
  "virtio-gpu constants": gpuConstants(),
  "virtio features, status, interrupts": virtioConstants(),
  "MMIO registers": mmioRegisters(),
  "virtio over PCI": virtioPci(),
  "PCI itself": plainPci(),
  "ring layouts": ringLayouts(),
};

describe("the kernel's headers have our", () => {
  it.for(Object.entries(groups))("%s", async ([, checks], { annotate }) => {
    const theirs = askHeaders(checks);
    expect(theirs).toHaveLength(checks.length);
    const missing = checks.filter((_, index) => theirs[index] === null).map(({ expression }) => expression);
    if (missing.length > 0) await annotate(`not compared, the installed headers lack: ${missing.join(", ")}`);
    expect(missing.filter((name) => !mayBeMissing.has(name))).toEqual([]);
    const numbers = checks.map(({ ours }, index) => (theirs[index] === null ? null : ours));
    const named = (values: readonly (number | null)[]): readonly string[] =>
      checks.map(({ expression }, index) => `${expression} = ${values[index]}`);
    expect(named(theirs)).toEqual(named(numbers));
  });

  it("configuration space, whole where they know blob_alignment (v1.4), else without it", async ({ annotate }) => {
    const [size] = askHeaders([certain("sizeof(struct virtio_gpu_config)", structBytes(configSpace))]);
    if (size === 16) await annotate("not compared, the installed headers lack: virtio_gpu_config.blob_alignment");
    expect([structBytes(configSpace) - 4, structBytes(configSpace)]).toContain(size);
  });
});

describe("the comparison", () => {
  it("sees a wrong number, a missing name and a program that does not compile", () => {
    expect(askHeaders([macro("VIRTIO_GPU_MAX_SCANOUTS", 0), macro("VIRTIO_GPU_NO_SUCH_THING", 0)])).toEqual([16, null]);
    expect(() => askHeaders([certain("VIRTIO_GPU_NO_SUCH_THING", 0)])).toThrow("apt-get install");
  });
});
