/**
 * A register block that stays while what it leads to comes and goes.
 */
import type { BusAccess } from "../../virtio/bus-access.ts";

/** Leads each access to what `current` gives at that moment; that may throw instead. */
export class SlotBus implements BusAccess {
  readonly #current: () => BusAccess;

  constructor(current: () => BusAccess) {
    this.#current = current;
  }

  read8(offset: number): number {
    return this.#current().read8(offset);
  }

  read16(offset: number): number {
    return this.#current().read16(offset);
  }

  read32(offset: number): number {
    return this.#current().read32(offset);
  }

  write8(offset: number, value: number): void {
    this.#current().write8(offset, value);
  }

  write16(offset: number, value: number): void {
    this.#current().write16(offset, value);
  }

  write32(offset: number, value: number): void {
    this.#current().write32(offset, value);
  }
}
