/** Sleeping on one host and waking on another. */
import type { RestoreReport } from "../../src/base/power.ts";
import type { SimDevice } from "../../src/sim/sim-host.ts";
import type { RegisterLies } from "../../src/sim/faults/faulty-transport.ts";
import { featureBit } from "../../src/wire/index.ts";
import type { DriverBench } from "./driver-bench.ts";

/** Registers of a host that does not offer these feature bits, whatever its device can. */
export function without(...features: readonly number[]): RegisterLies {
  const mask = features.reduce((all, feature) => all | featureBit(feature), 0n);
  return { deviceFeatures: (real) => real & ~mask };
}

/** The host ends while the driver sleeps, and another kind takes its place. */
export async function sleepOver(bench: DriverBench, device: SimDevice, lies: RegisterLies = {}): Promise<void> {
  await bench.freeze();
  bench.host.kill();
  bench.host.powerOn(device);
  bench.host.transport.faults.lies = lies;
}

/** Sleeps here and wakes on another kind of host; what follows the restore is over too. */
export async function moveTo(bench: DriverBench, device: SimDevice, lies: RegisterLies = {}): Promise<RestoreReport> {
  await sleepOver(bench, device, lies);
  const report = await bench.restore();
  await bench.machine.clock.advance(2000);
  return report;
}

/** Names of what was lost, sorted. */
export function lostNames(report: RestoreReport): readonly string[] {
  return report.lost.map(({ object }) => object).sort();
}
