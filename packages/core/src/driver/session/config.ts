/**
 * The device's configuration space (VIRTIO 1.2 section 5.7.4), read anew in every session and checked.
 */
import { GpuError } from "../../base/errors.ts";
import type { Transport } from "../../virtio/transport.ts";
import { GpuConfig, GpuEvent, GpuFeature, MAX_SCANOUTS, featureBit } from "../../wire/index.ts";

/** What it says. */
export interface SessionConfig {
  /** 0 to 16. */
  readonly outputs: number;
  readonly capsets: number;
  /** Bytes; 1 where the device has no opinion. */
  readonly blobAlignment: number;
}

/** Capset ids go up to 63 (Linux's mask): a device with more is not to be believed. */
const CAPSETS_MAX = 64;
/** Readings in a row that may be overtaken by changes. */
const ATTEMPTS_MAX = 16;

/** Reads it in one piece. Throws GpuError EPROTO when it can't be, or never holds still. */
export function readSessionConfig(transport: Transport, features: bigint): SessionConfig {
  const { config, label } = transport;
  const hasAlignment = (features & featureBit(GpuFeature.BLOB_ALIGNMENT)) !== 0n;
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    const before = config.generation();
    const outputs = config.read32(GpuConfig.NUM_SCANOUTS);
    const capsets = config.read32(GpuConfig.NUM_CAPSETS);
    const alignment = hasAlignment ? config.read32(GpuConfig.BLOB_ALIGNMENT) : 1;
    if (config.generation() !== before) continue;
    return checked({ outputs, capsets, blobAlignment: isPowerOfTwo(alignment) ? alignment : 1 }, label);
  }
  throw new GpuError("EPROTO", "the configuration space never holds still", { device: label });
}

function checked(config: SessionConfig, device: string): SessionConfig {
  const { outputs, capsets } = config;
  if (outputs > MAX_SCANOUTS) {
    throw new GpuError("EPROTO", `the device claims ${outputs} scanouts, more than ${MAX_SCANOUTS}`, { device });
  }
  if (capsets > CAPSETS_MAX) {
    throw new GpuError("EPROTO", `the device claims ${capsets} capability sets, more than ${CAPSETS_MAX}`, { device });
  }
  return config;
}

function isPowerOfTwo(value: number): boolean {
  return value > 0 && Number.isInteger(Math.log2(value));
}

/** Whether the display changed since this was last asked; acknowledges it first, so that no later change is lost. */
export function takeDisplayEvent(transport: Transport): boolean {
  if ((transport.config.read32(GpuConfig.EVENTS_READ) & GpuEvent.DISPLAY) === 0) return false;
  transport.config.write32(GpuConfig.EVENTS_CLEAR, GpuEvent.DISPLAY);
  return true;
}
