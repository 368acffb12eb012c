/**
 * Beside systemd-logind (org.freedesktop.login1(5)): a delay inhibitor holds a sleep back until the GPUs are put down,
 * PrepareForSleep says when it begins and when it is over.
 */
import { closeSync } from "node:fs";
import { GpuError } from "@virtgpu/core/base";
import { type SdBus, type SdPointer, type Watch, errnoName, loadSdBus, loadSys } from "../native/index.ts";

const SERVICE = "org.freedesktop.login1";
const PATH = "/org/freedesktop/login1";
const MANAGER = "org.freedesktop.login1.Manager";
const SIGNAL = "PrepareForSleep";
const CALL_TIMEOUT_US = 10_000_000;

/** Who goes to sleep. */
export interface LogindClient {
  /** The machine goes to sleep once this resolves; whatever it rejects with, the sleep goes on. */
  beforeSleep(): Promise<void>;
  /** It is awake, or the sleep failed. */
  afterSleep(): Promise<void>;
  /** What went wrong where nobody waits. */
  onError(error: unknown): void;
}

/** See the file's head. */
export class LogindSleep {
  readonly #bus: SdBus = loadSdBus();
  readonly #connection: SdPointer;
  readonly #client: LogindClient;
  readonly #watch: Watch;
  #inhibitor: number | null = null;
  /** Signals are acted on one after another. */
  #work: Promise<void> = Promise.resolve();
  #isOpen = true;

  /** `address` is a bus's own; the system's unless given. Throws GpuError when there is no bus, or no logind on it. */
  constructor(client: LogindClient, address: string | null = null) {
    this.#client = client;
    try {
      this.#connection = this.#bus.open(address);
    } catch (error) {
      throw new GpuError("ENODEV", `the system bus can't be reached (${errnoName(error) ?? "?"})`, { cause: error });
    }
    try {
      this.#bus.addMatch(
        this.#connection,
        `type='signal',sender='${SERVICE}',path='${PATH}',interface='${MANAGER}',member='${SIGNAL}'`,
      );
      this.#inhibit();
    } catch (error) {
      this.#bus.close(this.#connection);
      throw new GpuError("ENODEV", `logind can't be asked to wait (${errnoName(error) ?? "?"})`, { cause: error });
    }
    this.#watch = loadSys().watch(
      this.#bus.fd(this.#connection),
      () => this.#read(),
      (error) => this.#broken(error),
    );
    // What came with the answers to the calls above makes no descriptor readable.
    this.#read();
  }

  /** Sleeps are not held back any more. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#watch.close();
    this.#release();
    this.#bus.close(this.#connection);
  }

  #inhibit(): void {
    const bus = this.#bus;
    const call = bus.methodCall(this.#connection, SERVICE, PATH, MANAGER, "Inhibit");
    try {
      for (const word of ["sleep", "virtgpu", "puts its GPUs down", "delay"]) bus.appendString(call, word);
      const reply = bus.call(this.#connection, call, CALL_TIMEOUT_US);
      try {
        // The message's descriptor goes with the message.
        this.#inhibitor = loadSys().duplicate(bus.readFd(reply));
      } finally {
        bus.unref(reply);
      }
    } finally {
      bus.unref(call);
    }
  }

  /** Lets the sleep go on. */
  #release(): void {
    if (this.#inhibitor === null) return;
    closeSync(this.#inhibitor);
    this.#inhibitor = null;
  }

  #read(): void {
    while (this.#isOpen) {
      const step = this.#bus.process(this.#connection);
      if (step === "none") return;
      if (step !== "internal") this.#take(step);
    }
  }

  #take(message: SdPointer): void {
    try {
      if (!this.#bus.isSignal(message, MANAGER, SIGNAL)) return;
      const begins = this.#bus.readBoolean(message);
      this.#work = this.#work.then(() => (begins ? this.#prepare() : this.#wake()));
    } finally {
      this.#bus.unref(message);
    }
  }

  async #prepare(): Promise<void> {
    try {
      await this.#client.beforeSleep();
    } catch (error) {
      this.#client.onError(error);
    }
    this.#release();
  }

  async #wake(): Promise<void> {
    try {
      await this.#client.afterSleep();
      if (this.#isOpen && this.#inhibitor === null) this.#inhibit();
    } catch (error) {
      this.#client.onError(error);
    }
    // The answer to the call may have come with further signals.
    if (this.#isOpen) this.#read();
  }

  /** The bus went away: there is nobody to listen to any more. */
  #broken(error: unknown): void {
    this.close();
    this.#client.onError(error);
  }
}
