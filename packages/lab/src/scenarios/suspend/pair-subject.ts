/**
 * A machine with two GPUs, each with a driver and a scene of its own: every case goes through it as if there were one, and
 * what both come to is compared.
 */
import type { Clock } from "@virtgpu/core/base";
import type { TestedDriver } from "./driver.ts";
import { type DriverSuccessor, type RestartableSubject, restartDrivers } from "./driver-life.ts";
import { PairDriver, PairLender } from "./pair-driver.ts";
import { PairHost } from "./pair-host.ts";
import { type Ability, type BootPicture, type Lender, type SuspendSubject, must } from "./subject.ts";

type Single = SuspendSubject & RestartableSubject;

const NEVER: Readonly<Partial<Record<Ability, string>>> = {
  faults: "two GPUs go wrong by no plan",
  "other-hosts": "two GPUs go wrong by no plan",
};

/** See the file's head. */
export class PairSubject implements SuspendSubject {
  readonly label: string;
  readonly host: PairHost;
  readonly #first: Single;
  readonly #second: Single;
  #driver: PairDriver | null = null;

  /** Two subjects with one machine; `isOneProcess`: one host process has both GPUs. */
  constructor([first, second]: readonly [Single, Single], { isOneProcess }: { readonly isOneProcess: boolean }) {
    this.#first = first;
    this.#second = second;
    this.label = `${first.label}, with two GPUs`;
    this.host = new PairHost({
      first: first.host,
      second: second.host,
      isOneProcess,
      buffers: () => this.#driver?.buffers ?? [],
    });
  }

  get clock(): Clock {
    return this.#first.clock;
  }

  lacks(ability: Ability): string | null {
    return NEVER[ability] ?? this.#first.lacks(ability) ?? this.#second.lacks(ability);
  }

  async probe(): Promise<TestedDriver> {
    this.#driver = new PairDriver(await this.#first.probe(), await this.#second.probe());
    return this.#driver;
  }

  sessions(): readonly number[] {
    return [...this.#first.sessions(), ...this.#second.sessions()];
  }

  async restartDriver(): Promise<DriverSuccessor> {
    const [first, second] = restartDrivers([this.#first, this.#second]);
    must(first !== undefined && second !== undefined, "there are two drivers");
    const driver = new PairDriver(first.driver, second.driver);
    this.#driver = driver;
    return {
      driver,
      adopt: (key, before) => {
        must(before === null || before instanceof PairLender, "memory is lent to both drivers, or to none");
        const one = first.adopt(key, before?.first ?? null);
        const other = second.adopt(key, before?.second ?? null);
        const isLent = one.lender !== null && other.lender !== null;
        const lender = isLent ? new PairLender(one.lender, other.lender) : null;
        if (lender !== null && before !== null) lender.format = before.format;
        return { buffer: driver.hold(one.buffer, other.buffer), lender };
      },
    };
  }

  lend(byteLength: number): Lender {
    return new PairLender(this.#first.lend(byteLength), this.#second.lend(byteLength));
  }

  takeImage(): () => void {
    return this.#first.takeImage();
  }

  /** A boot kernel that has both: its pictures are alike. */
  async startBootDriver(): Promise<BootPicture> {
    const both = [await this.#first.startBootDriver(), await this.#second.startBootDriver()];
    return {
      lightUp: async (picture) => {
        for (const driver of both) await driver.lightUp(picture);
      },
    };
  }

  run<T>(work: Promise<T>): Promise<T> {
    return this.#first.run(work);
  }

  verify(): void {
    this.#first.verify();
  }

  verifyRemoved(): Promise<void> {
    return this.#first.verifyRemoved();
  }
}
