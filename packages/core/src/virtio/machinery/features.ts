/**
 * The feature bits that the machinery around a device model offers on its own account (VIRTIO 1.2 sections 2.2 and 6).
 */
import { assert } from "../../base/assert.ts";
import { VirtioFeature, featureBit } from "../../wire/virtio.ts";

/** Which of the rings' and transports' features a device offers. VERSION_1 always is. */
export interface VirtioDeviceFeatures {
  /** INDIRECT_DESC. Default true. */
  readonly indirect?: boolean | undefined;
  /** EVENT_IDX. Default true. */
  readonly eventIndex?: boolean | undefined;
  /** RING_RESET. Default true. */
  readonly ringReset?: boolean | undefined;
  /** SUSPEND. Default true. */
  readonly suspend?: boolean | undefined;
  /** RING_PACKED. Default false. */
  readonly packed?: boolean | undefined;
  /** ACCESS_PLATFORM: addresses are an IOMMU's; a driver that does not accept it is refused. Default false. */
  readonly accessPlatform?: boolean | undefined;
  /** NOTIFICATION_DATA. Default false. */
  readonly notificationData?: boolean | undefined;
}

const VERSION_1 = featureBit(VirtioFeature.VERSION_1);
const ACCESS_PLATFORM = featureBit(VirtioFeature.ACCESS_PLATFORM);
/** Bits 24 to 49 are not a device type's. */
const RESERVED = ((1n << 50n) - 1n) & ~((1n << 24n) - 1n);

/** All feature bits that a device of `model` bits offers. */
export function offeredFeatures(model: bigint, choice: VirtioDeviceFeatures): bigint {
  assert((model & RESERVED) === 0n && model >= 0n, "a device model's features are bits 0 to 23 and 50 up");
  const own: readonly (readonly [feature: number, offered: boolean])[] = [
    [VirtioFeature.INDIRECT_DESC, choice.indirect ?? true],
    [VirtioFeature.EVENT_IDX, choice.eventIndex ?? true],
    [VirtioFeature.RING_RESET, choice.ringReset ?? true],
    [VirtioFeature.SUSPEND, choice.suspend ?? true],
    [VirtioFeature.RING_PACKED, choice.packed ?? false],
    [VirtioFeature.ACCESS_PLATFORM, choice.accessPlatform ?? false],
    [VirtioFeature.NOTIFICATION_DATA, choice.notificationData ?? false],
  ];
  return own.reduce((mask, [feature, offered]) => (offered ? mask | featureBit(feature) : mask), model | VERSION_1);
}

/** Whether a device that offers `offered` can agree to `accepted`: nothing that was not offered, and what a driver must accept. */
export function areAcceptable(accepted: bigint, offered: bigint): boolean {
  const needed = VERSION_1 | (offered & ACCESS_PLATFORM);
  return (accepted & ~offered) === 0n && (accepted & needed) === needed;
}

/** Words of 32 bits that a driver can accept features in. */
export const FEATURE_WORDS = 4;

/** Word `select` of a mask; 0 for one that does not exist. */
export function featureWord(features: bigint, select: number): number {
  if (select < 0 || select >= FEATURE_WORDS) return 0;
  return Number((features >> BigInt(32 * select)) & 0xffff_ffffn);
}

/** The mask whose words these are. */
export function joinFeatureWords(words: ArrayLike<number>): bigint {
  let features = 0n;
  for (let index = FEATURE_WORDS - 1; index >= 0; index -= 1) features = (features << 32n) | BigInt(words[index] ?? 0);
  return features;
}
