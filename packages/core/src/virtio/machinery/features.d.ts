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
/** All feature bits that a device of `model` bits offers. */
export declare function offeredFeatures(model: bigint, choice: VirtioDeviceFeatures): bigint;
/** Whether a device that offers `offered` can agree to `accepted`: nothing that was not offered, and what a driver must accept. */
export declare function areAcceptable(accepted: bigint, offered: bigint): boolean;
/** Words of 32 bits that a driver can accept features in. */
export declare const FEATURE_WORDS = 4;
/** Word `select` of a mask; 0 for one that does not exist. */
export declare function featureWord(features: bigint, select: number): number;
/** The mask whose words these are. */
export declare function joinFeatureWords(words: ArrayLike<number>): bigint;
