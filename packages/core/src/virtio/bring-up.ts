/**
 * What every virtio driver does to a device before and after using it: reset, feature negotiation (VIRTIO 1.2 sections
 * 2.1, 2.2, 3.1), the reset of one queue (2.6.1), suspend and resume (v1.4, VIRTIO_F_SUSPEND).
 *
 * The device is not trusted to answer: every wait has a deadline on the given clock. A status of all ones is what a
 * function reads that is not there any more.
 */
import { assert } from "../base/assert.ts";
import { type Clock, sleep } from "../base/clock.ts";
import { GpuError } from "../base/errors.ts";
import { DeviceStatus, VirtioFeature, featureBit } from "../wire/virtio.ts";
import type { Transport } from "./transport.ts";

const { ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, SUSPEND, NEEDS_RESET, FAILED } = DeviceStatus;
/** What an absent device's status reads. No device sets all bits: 0x20 has no meaning. */
const STATUS_GONE = 0xff;
/** Pause between two looks at a register that will change. */
const POLL_MS = 1;

/** A driver has to accept these where they are offered (sections 6.1 and 6.2). */
const ACCEPTED_WHERE_OFFERED =
  featureBit(VirtioFeature.VERSION_1) |
  featureBit(VirtioFeature.ACCESS_PLATFORM) |
  featureBit(VirtioFeature.ORDER_PLATFORM);
/** The rings and transports here don't know these. */
const NEVER_ACCEPTED = featureBit(VirtioFeature.IN_ORDER) | featureBit(VirtioFeature.NOTIF_CONFIG_DATA);

/**
 * Resets the device, from whatever state. Resolves when its status reads 0: from then on it touches no memory. Throws
 * GpuError ETIMEDOUT when that took longer than `deadlineMs` (the reset may still happen), ENODEV when no device answers.
 */
export async function resetDevice(transport: Transport, clock: Clock, deadlineMs: number): Promise<void> {
  transport.writeStatus(0);
  const read = (): number => presentStatus(transport);
  await poll(
    clock,
    deadlineMs,
    () => read() === 0,
    () => timedOut(transport, `the reset did not end within ${deadlineMs} ms`),
  );
}

/** What a driver wants of a device, as masks of feature bits. */
export interface FeatureWish {
  /** Accepted where offered. */
  readonly wanted: bigint;
  /** Without these the driver can't work; VERSION_1 always belongs to them. */
  readonly required: bigint;
  /** What was negotiated in the device's last life, or null: a required feature that vanished since means another host. */
  readonly previous: bigint | null;
  /** Pairs `[feature, needed]` of bit numbers: the first is accepted only beside the second. */
  readonly needs?: readonly (readonly [feature: number, needed: number])[] | undefined;
}

/**
 * Takes a device that was reset up to FEATURES_OK, and returns the features that both sides now hold to. ACCESS_PLATFORM
 * may be among them without having been wanted: addresses are then an IOMMU's.
 *
 * Throws GpuError: ENOTSUP for a required feature that is not offered, ENODEV for one that was there in the last life,
 * and where the device refuses the set or is gone. The status is left at FAILED then.
 */
export function negotiateFeatures(transport: Transport, wish: FeatureWish): bigint {
  assert((wish.wanted & NEVER_ACCEPTED) === 0n, "a feature is wanted that the rings do not have");
  const offered = beginNegotiation(transport);
  const required = wish.required | featureBit(VirtioFeature.VERSION_1);
  const accepted = withoutUnmet(offered & (wish.wanted | required | ACCEPTED_WHERE_OFFERED), wish.needs ?? []);
  const missing = lowestBit(required & ~accepted);
  if (missing !== null) {
    fail(transport);
    throw missingFeature(transport, missing, wish.previous);
  }
  transport.writeDriverFeatures(accepted);
  transport.writeStatus(ACKNOWLEDGE | DRIVER | FEATURES_OK);
  if ((presentStatus(transport) & FEATURES_OK) === 0) {
    fail(transport);
    throw new GpuError(
      "ENODEV",
      `the device refuses the features 0x${accepted.toString(16)} of the 0x${offered.toString(16)} it offers`,
      { device: transport.label },
    );
  }
  return accepted;
}

/**
 * Resets one queue; RING_RESET must have been negotiated. Once it resolves the device touches the ring no more, and
 * `enableQueue` may give it a new one. Throws GpuError ETIMEDOUT, or ENODEV when no device answers.
 */
export async function resetQueue(transport: Transport, queue: number, clock: Clock, deadlineMs: number): Promise<void> {
  transport.resetQueue(queue);
  const done = (): boolean => {
    presentStatus(transport);
    return transport.queueResetDone(queue);
  };
  await poll(clock, deadlineMs, done, () =>
    timedOut(transport, `the reset of queue ${queue} did not end within ${deadlineMs} ms`),
  );
  if (transport.readQueue(queue).enabled) {
    throw new GpuError("EPROTO", `queue ${queue} is still enabled after its reset`, { device: transport.label });
  }
}

/**
 * Suspends a running device; SUSPEND must have been negotiated. Once it resolves the device has returned what it was
 * working on, keeps all its state, and touches neither rings nor configuration until {@link resumeDevice}. Throws
 * GpuError ETIMEDOUT, EIO when the device failed at it and needs a reset, ENODEV when no device answers, and what `ended`
 * gives as soon as it gives something: then nobody looks at the device any more.
 */
export async function suspendDevice(
  transport: Transport,
  clock: Clock,
  deadlineMs: number,
  ended: () => GpuError | null = () => null,
): Promise<void> {
  const running = presentStatus(transport);
  transport.writeStatus(running | SUSPEND);
  const done = (status: number): boolean => (status & SUSPEND) !== 0 && (status & DRIVER_OK) === 0;
  await pollStatus(transport, clock, deadlineMs, done, "suspend", ended);
}

/**
 * Lets a suspended device go on. Throws GpuError ETIMEDOUT, EIO when the device failed at it and needs a reset, ENODEV
 * when no device answers, and what `ended` gives, as {@link suspendDevice}.
 */
export async function resumeDevice(
  transport: Transport,
  clock: Clock,
  deadlineMs: number,
  ended: () => GpuError | null = () => null,
): Promise<void> {
  const suspended = presentStatus(transport);
  // DRIVER_OK is what resumes; the bit SUSPEND is left out for devices that go by it alone, as the drafts of v1.4 did.
  transport.writeStatus((suspended & ~SUSPEND) | DRIVER_OK);
  const done = (status: number): boolean => (status & SUSPEND) === 0 && (status & DRIVER_OK) !== 0;
  await pollStatus(transport, clock, deadlineMs, done, "resume", ended);
}

/** Announces a driver, and returns what the device offers. */
function beginNegotiation(transport: Transport): bigint {
  transport.writeStatus(ACKNOWLEDGE);
  transport.writeStatus(ACKNOWLEDGE | DRIVER);
  const offered = transport.readDeviceFeatures();
  presentStatus(transport);
  return offered;
}

/** Drops features whose need is not met, until nothing changes: a need may have needs. */
function withoutUnmet(features: bigint, needs: readonly (readonly [feature: number, needed: number])[]): bigint {
  let left = features;
  for (let round = 0; round <= needs.length; round += 1) {
    for (const [feature, needed] of needs) {
      if ((left & featureBit(needed)) === 0n) left &= ~featureBit(feature);
    }
  }
  return left;
}

function lowestBit(mask: bigint): number | null {
  for (let bit = 0; bit < 64; bit += 1) if ((mask & featureBit(bit)) !== 0n) return bit;
  return null;
}

function missingFeature(transport: Transport, bit: number, previous: bigint | null): GpuError {
  const name = Object.entries(VirtioFeature).find(([, value]) => value === bit)?.[0];
  const feature = `feature bit ${bit}${name === undefined ? "" : ` (${name})`}`;
  const facts = { device: transport.label };
  if (previous !== null && (previous & featureBit(bit)) !== 0n) {
    return new GpuError("ENODEV", `this host does not offer ${feature}, which was in use before: another host?`, facts);
  }
  return new GpuError("ENOTSUP", `the device does not offer ${feature}, which the driver can't do without`, facts);
}

function fail(transport: Transport): void {
  transport.writeStatus(transport.readStatus() | FAILED);
}

/** The status of a device that is there. */
function presentStatus(transport: Transport): number {
  const status = transport.readStatus();
  if (status === STATUS_GONE) {
    throw new GpuError("ENODEV", "no device answers: its status reads all ones", { device: transport.label });
  }
  return status;
}

async function pollStatus(
  transport: Transport,
  clock: Clock,
  deadlineMs: number,
  isDone: (status: number) => boolean,
  what: string,
  ended: () => GpuError | null,
): Promise<void> {
  const look = (): boolean => {
    const end = ended();
    if (end !== null) throw end;
    const status = presentStatus(transport);
    if ((status & NEEDS_RESET) !== 0) {
      throw new GpuError("EIO", `the device failed to ${what} and needs a reset`, { device: transport.label });
    }
    return isDone(status);
  };
  await poll(clock, deadlineMs, look, () => timedOut(transport, `the device did not ${what} within ${deadlineMs} ms`));
}

/** Looks at once, then every {@link POLL_MS}, and one last time at the deadline. */
async function poll(clock: Clock, deadlineMs: number, look: () => boolean, late: () => GpuError): Promise<void> {
  const deadline = clock.nowMs() + deadlineMs;
  while (!look()) {
    const left = deadline - clock.nowMs();
    if (left <= 0) throw late();
    await sleep(clock, Math.min(POLL_MS, left));
  }
}

function timedOut(transport: Transport, sentence: string): GpuError {
  return new GpuError("ETIMEDOUT", sentence, { device: transport.label });
}
