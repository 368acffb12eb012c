/** A PCI function that was taken over, however it is reached. */
import type { PciFunctionAccess } from "@virtgpu/core/virtio";
import type { MappedMemorySource, MemorySource } from "../memory/index.ts";

/** How a function is reached. */
export type Way = "uio" | "vfio" | "pci-cfg";

/** Ways, the default first. */
export const WAYS: readonly Way[] = ["uio", "vfio", "pci-cfg"];

/** See the file's head. */
export interface TakenFunction {
  readonly access: PciFunctionAccess;
  readonly window: "bars" | "pci-cfg";
  /** Makes memory reachable through the IOMMU that stands before the function; null where physical addresses go. */
  readonly throughIommu: ((source: MappedMemorySource) => MemorySource) | null;
  /** Gives the function back to whom it belonged. Registers and interrupts are gone. Twice is once. */
  close(): void;
}

/** What a way needs. */
export interface TakeOptions {
  readonly address: string;
  /** False: the driver polls. */
  readonly interrupts: boolean;
  /** Hears of what goes wrong where nobody waits: in an interrupt. */
  readonly onError: (error: unknown) => void;
}

/** Things to undo, the last first. */
export class Undo {
  readonly #steps: (() => void)[] = [];

  add(step: () => void): void {
    this.#steps.push(step);
  }

  /** The same after a failure, which is to be told rather than what follows from it. */
  abandon(): void {
    try {
      this.run();
    } catch {
      // What failed first is what the caller hears of.
    }
  }

  /** Does every step, also when one fails; then throws the first failure. Twice is once. */
  run(): void {
    let failure: { readonly error: unknown } | null = null;
    for (const step of this.#steps.splice(0).toReversed()) {
      try {
        step();
      } catch (error) {
        failure ??= { error };
      }
    }
    if (failure !== null) throw failure.error;
  }
}
