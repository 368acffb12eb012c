/**
 * How a virtio PCI function interrupts (VIRTIO 1.2 sections 4.1.4.5 and 4.1.5.1): by MSI-X vectors while those are
 * enabled, else by the INTx line, whose cause the ISR register tells and, by being read, takes back.
 *
 * A vector that is masked, or that can't be sent now (no bus mastering, not in D0), stays pending; the line is simply
 * down meanwhile.
 */
import { InterruptBit, NO_VECTOR } from "../../wire/virtio.ts";
import type { PciInterrupts } from "../bus-access.ts";
import type { Reader } from "../machinery/saved-state.ts";
import type { InterruptSource } from "../machinery/virtio-device.ts";
import { MsixTable } from "./function-msix.ts";

/** What of configuration space decides about interrupts. */
export interface InterruptGates {
  readonly msixEnabled: boolean;
  readonly msixMasked: boolean;
  readonly intxDisabled: boolean;
  /** Messages may be sent: they are memory writes. */
  readonly busMaster: boolean;
  /** The function is in D0. */
  readonly awake: boolean;
}

/** Plain data. */
export interface FunctionInterruptsState {
  readonly isr: number;
  readonly configVector: number;
  readonly queueVectors: readonly number[];
  /** The MSI-X table's words; empty without MSI-X. */
  readonly table: readonly number[];
  readonly pending: number;
}

/** Who hears of interrupts outside this process's driver. */
export interface InterruptOutputs {
  /** The level of the INTx line. */
  readonly setInterruptLine?: ((asserted: boolean) => void) | undefined;
  /** An MSI-X message: the write that the device does. */
  readonly sendMessage?: ((address: number, data: number) => void) | undefined;
}

/** See the file's head. */
export class FunctionInterrupts implements PciInterrupts {
  readonly msix: MsixTable | null;
  readonly #outputs: InterruptOutputs;
  readonly #queueVectors: Uint16Array;
  #configVector: number = NO_VECTOR;
  #isr = 0;
  #asserted = false;
  #handler: ((vector: number) => void) | null = null;
  #gates: InterruptGates = {
    msixEnabled: false,
    msixMasked: false,
    intxDisabled: false,
    busMaster: false,
    awake: true,
  };

  /** `vectors`: of MSI-X, 0 for none. */
  constructor(vectors: number, queueCount: number, outputs: InterruptOutputs) {
    this.msix = vectors === 0 ? null : new MsixTable(vectors, () => this.#sendPending());
    this.#queueVectors = new Uint16Array(queueCount).fill(NO_VECTOR);
    this.#outputs = outputs;
  }

  get vectors(): number {
    return this.msix?.vectors ?? 0;
  }

  /** A driver in this process stands for the one who fills the MSI-X table too: all vectors are unmasked for it. */
  setHandler(handler: ((vector: number) => void) | null): void {
    this.#handler = handler;
    if (handler === null) return;
    this.msix?.unmaskAll();
    if (this.#asserted) handler(-1);
  }

  /** Fills the MSI-X table for a handler again, which a reset of the function has cleared. */
  reprogram(): void {
    if (this.#handler !== null) this.msix?.unmaskAll();
  }

  setGates(gates: InterruptGates): void {
    this.#gates = gates;
    this.#updateLine();
    this.#sendPending();
  }

  raise(source: InterruptSource): void {
    if (this.msix !== null && this.#gates.msixEnabled) {
      this.#send(source === "config" ? this.#configVector : this.queueVector(source));
      return;
    }
    this.#isr |= source === "config" ? InterruptBit.CONFIG : InterruptBit.QUEUE;
    if (this.#asserted) this.#handler?.(-1);
    else this.#updateLine();
  }

  /** Reads the ISR register: what was pending is taken back, and the line falls. */
  takeIsr(): number {
    const isr = this.#isr;
    this.#isr = 0;
    if (isr !== 0) this.#updateLine();
    return isr;
  }

  /** Whether the INTx line would be up if it were let. */
  get isPending(): boolean {
    return this.#isr !== 0;
  }

  get configVector(): number {
    return this.#configVector;
  }

  /** A vector that does not exist reads back as none. */
  set configVector(vector: number) {
    this.#configVector = vector < this.vectors ? vector : NO_VECTOR;
  }

  queueVector(queue: number): number {
    return this.#queueVectors[queue] ?? NO_VECTOR;
  }

  setQueueVector(queue: number, vector: number): void {
    this.#queueVectors[queue] = vector < this.vectors ? vector : NO_VECTOR;
  }

  /** The virtio device was reset: vectors and ISR are forgotten, MSI-X itself is the function's. */
  resetDevice(): void {
    this.#configVector = NO_VECTOR;
    this.#queueVectors.fill(NO_VECTOR);
    this.takeIsr();
  }

  /** The function was reset. */
  reset(): void {
    this.resetDevice();
    this.msix?.reset();
  }

  save(): FunctionInterruptsState {
    return {
      isr: this.#isr,
      configVector: this.#configVector,
      queueVectors: [...this.#queueVectors],
      table: [...(this.msix?.words ?? [])],
      pending: this.msix?.pending ?? 0,
    };
  }

  /** Checks a saved state; the result applies it. The line follows with the next {@link FunctionInterrupts.setGates}. */
  prepareRestore(read: Reader, state: unknown): () => void {
    const fields = read.object(state, "the interrupts");
    const isr = read.integer(fields["isr"], InterruptBit.QUEUE | InterruptBit.CONFIG, "isr");
    const configVector = read.integer(fields["configVector"], NO_VECTOR, "configVector");
    const queueVectors = read.words(fields["queueVectors"], this.#queueVectors.length, "queueVectors");
    const table = read.words(fields["table"], this.msix?.words.length ?? 0, "the MSI-X table");
    const pending = read.integer(fields["pending"], 2 ** this.vectors - 1, "pending");
    return () => {
      this.#isr = isr;
      this.configVector = configVector;
      for (const [queue, vector] of queueVectors.entries()) this.setQueueVector(queue, vector);
      if (this.msix === null) return;
      this.msix.words.set(table);
      this.msix.pending = pending;
    };
  }

  #updateLine(): void {
    const { msixEnabled, intxDisabled, awake } = this.#gates;
    const asserted = this.#isr !== 0 && awake && !intxDisabled && !msixEnabled;
    if (asserted === this.#asserted) return;
    this.#asserted = asserted;
    this.#outputs.setInterruptLine?.(asserted);
    if (asserted) this.#handler?.(-1);
  }

  #send(vector: number): void {
    if (this.msix === null || vector >= this.msix.vectors) return;
    const { msixMasked, busMaster, awake } = this.#gates;
    if (msixMasked || !busMaster || !awake || this.msix.isMasked(vector)) {
      this.msix.pending |= 1 << vector;
      return;
    }
    this.msix.pending &= ~(1 << vector);
    if (this.#outputs.sendMessage !== undefined) {
      const { address, data } = this.msix.message(vector);
      this.#outputs.sendMessage(address, data);
    }
    this.#handler?.(vector);
  }

  #sendPending(): void {
    if (this.msix === null || this.msix.pending === 0 || !this.#gates.msixEnabled) return;
    for (let vector = 0; vector < this.msix.vectors; vector += 1) {
      if ((this.msix.pending & (1 << vector)) !== 0) this.#send(vector);
    }
  }
}
