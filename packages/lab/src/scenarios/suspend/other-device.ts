/** Another device of the machine, for the system's sleep code: put down behind the GPU, and brought back before it. */
import type { FreezeMessage, PowerClient } from "@virtgpu/core/base";

/** What it does. */
export interface OtherDeviceOptions {
  readonly name: string;
  /** Rejects to turn the sleep back. */
  freeze(message: FreezeMessage): Promise<void>;
  /** After any freeze that got through. */
  restore?(): void;
}

/** See the file's head. */
export function otherDevice(options: OtherDeviceOptions): PowerClient {
  return {
    name: options.name,
    notify: async () => {},
    freeze: (message) => options.freeze(message),
    restore: () => {
      options.restore?.();
      const complete = Promise.resolve({ restored: 0, outputs: 0, lost: [] });
      return { picture: Promise.resolve(), complete };
    },
    shutdown: async () => {},
  };
}
