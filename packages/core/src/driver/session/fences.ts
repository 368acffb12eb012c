/**
 * Fences (VIRTIO 1.2 section 5.7.6.7): handles to wait on and to poll.
 *
 * One counter for the device's whole life, so that ids stay monotonic over every session and hibernation. One
 * timeline per (context, ring), and a global one; a reply that carries fence N signals every older fence of its
 * timeline. When a session ends, what was not signalled fails: no waiter hangs.
 */
import type { GpuError } from "../../base/errors.ts";

/** A point in the device's work. */
export interface Fence {
  /** Unique for the device's life; larger is later. */
  readonly id: number;
  readonly contextId: number;
  readonly ringIndex: number;
  readonly state: "pending" | "signaled" | "failed";
  /** Resolves when signalled; rejects with ESTALE when the session ended first, with the host's refusal, or with ETIMEDOUT. */
  wait(): Promise<void>;
}

class FenceHandle implements Fence {
  readonly id: number;
  readonly contextId: number;
  readonly ringIndex: number;
  state: "pending" | "signaled" | "failed" = "pending";
  #error: GpuError | null = null;
  readonly #waiters: { resolve: () => void; reject: (error: GpuError) => void }[] = [];

  constructor(id: number, contextId: number, ringIndex: number) {
    this.id = id;
    this.contextId = contextId;
    this.ringIndex = ringIndex;
  }

  wait(): Promise<void> {
    if (this.state === "signaled") return Promise.resolve();
    if (this.#error !== null) return Promise.reject(this.#error);
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  signal(): void {
    if (this.state !== "pending") return;
    this.state = "signaled";
    for (const waiter of this.#waiters.splice(0)) waiter.resolve();
  }

  fail(error: GpuError): void {
    if (this.state !== "pending") return;
    this.state = "failed";
    this.#error = error;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
  }
}

/** All pending fences of one session. */
export class FenceTable {
  readonly #timelines: Map<number, FenceHandle[]> = new Map();
  readonly #nextId: () => number;
  #closed: GpuError | null = null;

  /** `nextId` gives ids that only ever rise. */
  constructor(nextId: () => number) {
    this.#nextId = nextId;
  }

  /** A new fence on the global timeline, or on a context's ring. */
  create(timeline: { readonly contextId: number; readonly ringIndex: number } | null = null): Fence {
    const fence = new FenceHandle(this.#nextId(), timeline?.contextId ?? 0, timeline?.ringIndex ?? 0);
    if (this.#closed !== null) {
      fence.fail(this.#closed);
      return fence;
    }
    const key = timelineKey(timeline);
    const pending = this.#timelines.get(key);
    if (pending === undefined) this.#timelines.set(key, [fence]);
    else pending.push(fence);
    return fence;
  }

  /** The host answered the command that carried this fence: it and all older ones of its timeline are done. */
  signal(fence: Fence): void {
    this.#settleUpTo(fence, null);
  }

  /** The command that carried this fence failed. Older ones are done all the same; this one reports the failure. */
  fail(fence: Fence, error: GpuError): void {
    this.#settleUpTo(fence, error);
  }

  /** The session is over. */
  close(error: GpuError): void {
    this.#closed = error;
    for (const pending of this.#timelines.values()) for (const fence of pending) fence.fail(error);
    this.#timelines.clear();
  }

  get pending(): number {
    let count = 0;
    for (const pending of this.#timelines.values()) count += pending.length;
    return count;
  }

  #settleUpTo(fence: Fence, error: GpuError | null): void {
    for (const [key, pending] of this.#timelines) {
      const index = pending.findIndex((candidate) => candidate === fence);
      if (index < 0) continue;
      for (const done of pending.splice(0, index + 1)) {
        if (done === fence && error !== null) done.fail(error);
        else done.signal();
      }
      if (pending.length === 0) this.#timelines.delete(key);
      return;
    }
  }
}

function timelineKey(timeline: { readonly contextId: number; readonly ringIndex: number } | null): number {
  return timeline === null ? -1 : timeline.contextId * 64 + timeline.ringIndex;
}
