import { GpuBench } from "../../../core/src/device/test-bench.ts";
import { MemoryRenderer } from "../../../core/src/device/memory-renderer.ts";
import { type RawCommand, requestBytes, words } from "../../src/oracle/raw-commands.ts";
import type { FuzzTarget } from "../engine/program.ts";
import { pack, unpack } from "./pieces.ts";

const HEADER_BYTES = 24;
const CURSOR_TYPE = 0x03;
const r = [0, 0, 64, 64] as const;
const cursor = { scanout_id: 0, x: 1, y: 2, resource_id: 1, hot_x: 0, hot_y: 0 };
const raw = (type: number, ...body: readonly number[]): RawCommand => ({ command: "raw", type, body: words(body) });
const resource_id = 1;

/** What a driver sends for one picture, from its creation to its end. */
const picture: readonly RawCommand[] = [
  { command: "get_display_info" },
  { command: "get_edid", scanout: 0 },
  { command: "resource_create_2d", resource_id, format: 2, width: 64, height: 64 },
  {
    command: "resource_attach_backing",
    resource_id,
    entries: [
      [0x200000, 8192],
      [0x210000, 8192],
    ],
  },
  { command: "transfer_to_host_2d", resource_id, r, offset: 0 },
  { command: "set_scanout", resource_id, r, scanout_id: 0 },
  { command: "resource_flush", resource_id, r },
  { command: "update_cursor", cursor },
  { command: "move_cursor", cursor },
  { command: "resource_detach_backing", resource_id },
  { command: "resource_unref", resource_id },
];

/** Capability sets, contexts, 3D, blobs, UUIDs (VIRTIO 1.2 section 5.7.6.8). */
const rest: readonly RawCommand[] = [
  raw(0x108, 0, 0),
  raw(0x109, 1, 1),
  raw(0x200, 4, 0, 0x74736574, ...Array<number>(15).fill(0)),
  raw(0x204, 2, 2, 2, 64, 64, 1, 1, 0, 0, 0, 0, 0),
  raw(0x202, 2, 0),
  raw(0x207, 8, 0, 1, 2),
  raw(0x10c, 3, 1, 1, 1, 0, 0, 4096, 0, 0x200000, 0, 4096, 0),
  raw(0x10d, 64, 16, 0, 0, 0, 3, 64, 16, 2, 0, 256, 0, 0, 0, 0, 0, 0, 0),
  raw(0x10b, 1, 0),
  raw(0x208, 3, 0, 0, 0),
  raw(0x209, 3, 0),
  raw(0x203, 2, 0),
  raw(0x201),
];

/** One device for all runs: a reset brings it back to where it began, and making its memory anew would take most of the time. */
const bench = new GpuBench({
  blob: true,
  hostVisibleBytes: 1 << 16,
  renderer: new MemoryRenderer({ bytesMax: 1 << 20 }),
});

export const target: FuzzTarget = {
  about: "requests of any bytes to the device, on the control and the cursor queue",
  bytesMax: 2048,
  seeds: () => [picture, rest].map((commands) => pack(commands.map((command) => requestBytes(command)))),
  fuzz: (input) => {
    for (const request of unpack(input)) {
      const { used, bytes } = bench.send(request, { queue: request[1] === CURSOR_TYPE ? 1 : 0 });
      if (used > 0 && bytes.length < HEADER_BYTES) throw new Error(`a reply has ${String(used)} bytes`);
    }
    bench.reset();
    const { resources, hostBytes, entries } = bench.device.usage;
    if (resources + hostBytes + entries > 0) throw new Error("something is left after a reset");
  },
};
