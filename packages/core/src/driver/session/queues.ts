/**
 * The two queues of a session (VIRTIO 1.2 section 5.7.2): their rings, command slots and the arena, laid into the
 * session's memory.
 */
import type { Clock } from "../../base/clock.ts";
import { GpuError } from "../../base/errors.ts";
import type { Tracer } from "../../base/tracer.ts";
import { createDriverQueue, driverQueueBytes, driverQueueSize } from "../../virtio/driver-queue.ts";
import type { QueueAddresses, Transport } from "../../virtio/transport.ts";
import { GpuQueue, VirtioFeature, featureBit } from "../../wire/index.ts";
import { CommandQueue, SLOT_BYTES } from "./command-queue.ts";
import type { SessionMemory, SessionPages } from "./session-memory.ts";

/** Two descriptors a command: one to read, one to write. */
const DESCRIPTORS_PER_COMMAND = 2;
const PAGE_ALIGNMENT = 4096;

/** What {@link buildQueues} needs. */
export interface QueueParts {
  readonly transport: Transport;
  readonly features: bigint;
  /** Entries per ring at most. */
  readonly sizeMax: number;
  readonly memory: SessionMemory;
  readonly clock: Clock;
  readonly tracer: Tracer;
  readonly deadlineMs: number;
  notify(queue: number, data: number): void;
  onRoom(): void;
  onBroken(reason: string): void;
  onHung(error: GpuError): void;
  onAlive(): void;
}

/** A queue, and where it lies. */
export interface BuiltQueue {
  readonly queue: CommandQueue;
  readonly addresses: QueueAddresses;
}

interface QueueShape {
  readonly size: number;
  readonly packed: boolean;
  readonly indirectEntries: number;
  /** Commands in flight at most. */
  readonly slotCount: number;
  readonly ringBytes: number;
  /** Ring and slots, whole pages. */
  readonly bytes: number;
}

/**
 * Control and cursor queue; smaller ones where memory is tight, as at a thaw. Throws GpuError ENODEV for a device
 * whose queues are too small, ENOMEM.
 */
export function buildQueues(parts: QueueParts): [BuiltQueue, BuiltQueue] {
  for (let { sizeMax } = parts; ; sizeMax = Math.floor(sizeMax / 2)) {
    const control = queueShape(parts, GpuQueue.CONTROL, sizeMax);
    const cursor = queueShape(parts, GpuQueue.CURSOR, sizeMax);
    try {
      const pages = parts.memory.map(control.bytes + cursor.bytes);
      return [
        buildQueue(parts, GpuQueue.CONTROL, control, 0, pages),
        buildQueue(parts, GpuQueue.CURSOR, cursor, control.bytes, pages),
      ];
    } catch (error) {
      const isTight = error instanceof GpuError && error.code === "ENOMEM";
      if (!isTight || sizeMax < 2 * DESCRIPTORS_PER_COMMAND) throw error;
    }
  }
}

function has(parts: QueueParts, feature: number): boolean {
  return (parts.features & featureBit(feature)) !== 0n;
}

function queueShape(parts: QueueParts, queue: number, sizeMax: number): QueueShape {
  const { transport } = parts;
  const packed = has(parts, VirtioFeature.RING_PACKED);
  const indirectEntries = has(parts, VirtioFeature.INDIRECT_DESC) ? DESCRIPTORS_PER_COMMAND : 0;
  const size = driverQueueSize({ max: transport.queueSizeMax(queue), wanted: sizeMax, packed });
  if (size < DESCRIPTORS_PER_COMMAND) {
    throw new GpuError("ENODEV", `queue ${queue} has room for ${size} descriptors, too few`, {
      device: transport.label,
    });
  }
  const slotCount = indirectEntries > 0 ? size : Math.floor(size / DESCRIPTORS_PER_COMMAND);
  const ringBytes = align(driverQueueBytes({ size, packed, indirectEntries }), SLOT_BYTES);
  const bytes = align(ringBytes + slotCount * SLOT_BYTES, PAGE_ALIGNMENT);
  return { size, packed, indirectEntries, slotCount, ringBytes, bytes };
}

function buildQueue(
  parts: QueueParts,
  index: GpuQueue,
  shape: QueueShape,
  offset: number,
  pages: SessionPages,
): BuiltQueue {
  const { transport, clock, tracer, deadlineMs } = parts;
  const { rings, arena } = pages;
  const address = pages.ringAddress + offset;
  const ring = createDriverQueue({
    ...shape,
    eventIndex: has(parts, VirtioFeature.EVENT_IDX),
    memory: rings.ringMemory(offset, shape.ringBytes),
    address,
  });
  const isControl = index === GpuQueue.CONTROL;
  const queue = new CommandQueue({
    name: isControl ? "control" : "cursor",
    device: transport.label,
    ring,
    slotCount: shape.slotCount,
    slots: rings.ringMemory(offset + shape.ringBytes, shape.slotCount * SLOT_BYTES),
    slotsAddress: address + shape.ringBytes,
    arena: isControl ? { memory: arena.ringMemory(0, arena.byteLength), address: pages.arenaAddress } : null,
    clock,
    tracer,
    deadlineMs,
    notify: () => parts.notify(index, ring.notificationData(index)),
    onRoom: () => parts.onRoom(),
    onBroken: (reason) => parts.onBroken(reason),
    onHung: (error) => parts.onHung(error),
    onAlive: () => parts.onAlive(),
  });
  return { queue, addresses: ring.addresses };
}

function align(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}
