/**
 * All that a virtio-gpu device remembers, in one place, so that reset, save and restore can be checked against it.
 *
 * | field | over a reset (QEMU's way) | in a saved state |
 * | --- | --- | --- |
 * | setup | kept: configuration | no: the device that takes the state over has its own |
 * | sink | kept | no: live |
 * | host, access | kept | no: live |
 * | window | kept, zero where nothing is mapped | with the blobs that are mapped into it |
 * | life | counts up: what belongs to an earlier one is dropped | no |
 * | negotiated | until the next activate | yes |
 * | events | kept | yes |
 * | outputs | kept | yes |
 * | edids | kept | made anew from the outputs |
 * | cursors | kept | yes, with pictures |
 * | resources | wiped (unless keepResourcesOverReset) | yes, with pixels |
 * | scanouts | wiped (likewise) | yes |
 * | hostBytes, entries | follow the resources | recomputed |
 * | pixelMemory | kept: zeroed before it is used again | no |
 * | contexts | wiped (likewise) | if the renderer can save itself |
 * | maps | wiped (likewise) | with the resources |
 * | pendingFences | dropped without a reply | must be 0 |
 */
import { assert } from "../base/assert.ts";
import type { GuestMemory } from "../memory/guest-memory.ts";
import { ScatterAccess } from "../memory/scatter-list.ts";
import type { DeviceHost } from "../virtio/device-model.ts";
import { CURSOR_SIZE, BYTES_PER_PIXEL, type GpuFeature } from "../wire/gpu.ts";
import type { DisplaySink } from "./display-sink.ts";
import { GuardedSink } from "./guards.ts";
import type { GpuSetup, DeviceOutput } from "./options.ts";
import { PixelMemory } from "./pixel-memory.ts";
import type { Resource } from "./resource.ts";
import type { Scanout } from "./scanout.ts";

/** An output's cursor. Until the first update it has no picture. */
export class Cursor {
  x: number = 0;
  y: number = 0;
  hotX: number = 0;
  hotY: number = 0;
  visible: boolean = false;
  /** 64 x 64, RGBA. */
  readonly rgba: Uint8Array = new Uint8Array(CURSOR_SIZE * CURSOR_SIZE * BYTES_PER_PIXEL);
}

/** See the file's head. */
export class GpuState {
  readonly setup: GpuSetup;
  /** The host-visible region. */
  readonly window: Uint8Array;
  sink: GuardedSink | null = null;
  host: DeviceHost | null = null;
  /** For copies to and from backing. */
  access: ScatterAccess | null = null;
  life: number = 0;
  /** Negotiated device-type feature bits. */
  negotiated: number = 0;
  /** events_read. */
  events: number = 0;
  outputs: DeviceOutput[];
  /** Each output's EDID. */
  edids: Uint8Array[];
  readonly cursors: readonly Cursor[];
  resources: Map<number, Resource> = new Map();
  readonly scanouts: (Scanout | null)[];
  /** Of all host copies, in bytes. */
  hostBytes: number = 0;
  readonly pixelMemory: PixelMemory = new PixelMemory();
  /** Of all backing. */
  entries: number = 0;
  readonly contexts: Set<number> = new Set();
  /** Mapped blobs, by offset. */
  maps: Resource[] = [];
  pendingFences: number = 0;

  constructor(setup: GpuSetup, sink: DisplaySink | null) {
    this.setup = setup;
    this.tell(sink);
    this.window = new Uint8Array(setup.hostVisibleBytes);
    this.outputs = [...setup.outputs];
    this.edids = setup.outputs.map((output) => setup.edidOf(output));
    this.cursors = setup.outputs.map(() => new Cursor());
    this.scanouts = setup.outputs.map(() => null);
  }

  /** Whom to tell from now on. */
  tell(sink: DisplaySink | null): void {
    this.sink = sink === null ? null : new GuardedSink(sink, this.setup.guard);
  }

  get memory(): GuestMemory {
    assert(this.host !== null, "the device was attached to a host");
    return this.host.memory;
  }

  /** Copies over scattered backing; made for one list at a time. */
  get backingAccess(): ScatterAccess {
    this.access ??= new ScatterAccess(this.memory);
    return this.access;
  }

  offers(feature: GpuFeature): boolean {
    return (this.setup.features & (1 << feature)) !== 0;
  }

  hasNegotiated(feature: GpuFeature): boolean {
    return (this.negotiated & (1 << feature)) !== 0;
  }
}
