/** The host of a machine with two GPUs: what happens, happens to both, and both have to show the same, the second mirrored. */
import { GpuError } from "@virtgpu/core/base";
import type { PowerOffMode } from "@virtgpu/core/sleep";
import type { BusAccess } from "@virtgpu/core/virtio";
import type { HostCursor, HostPicture } from "../../hosts/machine.ts";
import type { PairBuffer } from "./pair-driver.ts";
import { mirroredBytes, mirroredPicture } from "./pair-mirror.ts";
import { differentPixels, pictureDifference } from "./pixels.ts";
import { type SuspendHost, must } from "./subject.ts";

/** What a {@link PairHost} is made of. */
export interface PairHostOptions {
  readonly first: SuspendHost;
  readonly second: SuspendHost;
  /** One process with both: power is the first one's business alone. Else each has its own. */
  readonly isOneProcess: boolean;
  /** The buffers that are on both. */
  buffers(): Iterable<PairBuffer>;
}

/** See the file's head. */
export class PairHost implements SuspendHost {
  readonly faults: null = null;
  readonly seesHiding: boolean;
  readonly held: (() => ReadonlyMap<number, Uint8Array>) | null;
  readonly #options: PairHostOptions;
  /** Those that can do something about the machine's power. */
  readonly #powered: readonly SuspendHost[];
  readonly #both: readonly [SuspendHost, SuspendHost];

  constructor(options: PairHostOptions) {
    const { first, second, isOneProcess } = options;
    this.#options = options;
    this.#both = [first, second];
    this.#powered = isOneProcess ? [first] : this.#both;
    this.seesHiding = first.seesHiding;
    const holds = [first.held, second.held];
    this.held = holds.includes(null) ? null : () => this.#held();
  }

  get isOn(): boolean {
    return this.#both.every(({ isOn }) => isOn);
  }

  get functions(): readonly BusAccess[] {
    return this.#both.flatMap(({ functions }) => functions);
  }

  // --- Power ---

  powerOn(): Promise<void> {
    return inTurn(this.#powered, (host) => host.powerOn());
  }

  powerOff(mode: PowerOffMode): Promise<void> {
    return inTurn(this.#powered, (host) => host.powerOff(mode));
  }

  kill(): Promise<void> {
    return inTurn(this.#powered, (host) => host.kill());
  }

  enterS3(): Promise<void> {
    return inTurn(this.#powered, (host) => host.enterS3());
  }

  wakeFromS3(): Promise<void> {
    return inTurn(this.#powered, (host) => host.wakeFromS3());
  }

  systemReset(): Promise<void> {
    return inTurn(this.#powered, (host) => host.systemReset());
  }

  snapshot(): Promise<void> {
    return inTurn(this.#powered, (host) => host.snapshot());
  }

  // --- Each GPU ---

  resetDevice(): Promise<void> {
    return inTurn(this.#both, (host) => host.resetDevice());
  }

  functionLevelReset(): Promise<void> {
    return inTurn(this.#both, (host) => host.functionLevelReset());
  }

  busReset(): Promise<void> {
    return inTurn(this.#both, (host) => host.busReset());
  }

  resetQueue(): Promise<void> {
    return inTurn(this.#both, (host) => host.resetQueue());
  }

  cyclePower(): Promise<void> {
    return inTurn(this.#both, (host) => host.cyclePower());
  }

  deviceStatus(): number {
    const [first, second] = this.#both.map((host) => host.deviceStatus());
    must(first !== undefined && first === second, `the two devices have status ${first} and ${second}`);
    return first;
  }

  setMonitor(output: number, size: { readonly width: number; readonly height: number }): Promise<void> {
    return inTurn(this.#both, (host) => host.setMonitor(output, size));
  }

  async picture(output: number): Promise<HostPicture | null> {
    const [first, second] = this.#both;
    const [one, other] = [await first.picture(output), await second.picture(output)];
    if (one === null || other === null) {
      must(one === other, `output ${output} is dark on one of two GPUs`);
      return null;
    }
    const difference = pictureDifference(mirroredPicture(other), one);
    must(difference === null, `output ${output} of the second GPU shows something else: ${difference}`);
    return one;
  }

  async cursor(output: number): Promise<HostCursor | null> {
    const [first, second] = this.#both;
    const [one, other] = [await first.cursor(output), await second.cursor(output)];
    if (one === null || other === null) {
      must(one === other, `output ${output} has a cursor on one of two GPUs`);
      return null;
    }
    const { hotX, hotY, place, rgba } = mirroredPicture(other);
    const count = differentPixels(rgba, one.rgba);
    must(count === 0, `${count} pixels of the cursor of output ${output} are wrong on the second GPU`);
    const isThere = hotX === one.hotX && hotY === one.hotY && place?.x === one.place?.x && place?.y === one.place?.y;
    must(isThere, `the cursor of output ${output} is elsewhere on the second GPU`);
    return one;
  }

  errors(): readonly string[] {
    return this.#powered.flatMap((host) => host.errors());
  }

  forgive(): void {
    for (const host of this.#powered) host.forgive();
  }

  release(): void {
    for (const host of this.#both) host.release();
  }

  breakDevice(): void {
    throw unplanned();
  }

  forget(): void {
    throw unplanned();
  }

  powerOnPoorer(): Promise<void> {
    return Promise.reject(unplanned());
  }

  /** What the first holds, once the second was found to hold the same. */
  #held(): ReadonlyMap<number, Uint8Array> {
    const [one, other] = this.#both.map(({ held }) => held?.() ?? new Map<number, Uint8Array>());
    must(one !== undefined && other !== undefined, "there are two GPUs");
    const pairs = [...this.#options.buffers()];
    const names = (ids: Iterable<number>): string => [...ids].sort((a, b) => a - b).join(", ");
    const wanted = names(pairs.map(({ second }) => second.id));
    must(names(other.keys()) === wanted, `the second GPU has resources ${names(other.keys())} instead of ${wanted}`);
    for (const { first, second, shape, storage, isAttached } of pairs) {
      if (storage === "blob" && !isAttached) continue;
      const [mine, theirs] = [one.get(first.id), other.get(second.id)];
      if (mine === undefined || theirs === undefined) continue;
      const { byteLength } = first;
      const mirrored = mirroredBytes(theirs.subarray(0, byteLength), shape.format);
      const count = differentPixels(mirrored, mine.subarray(0, byteLength));
      must(count === 0, `the second GPU has ${count} wrong pixels of resource ${second.id}`);
    }
    return one;
  }
}

async function inTurn(hosts: readonly SuspendHost[], work: (host: SuspendHost) => Promise<void>): Promise<void> {
  for (const host of hosts) await work(host);
}

function unplanned(): GpuError {
  return new GpuError("ENOTSUP", "two GPUs go wrong by no plan");
}
