/**
 * PCI functions for tests: an echo device behind one, with what it tells the outside recorded, and a driver on it where
 * that is wanted.
 */
import { assert } from "../../base/assert.ts";
import { GuestRam } from "../../memory/guest-ram.ts";
import type { BusAccess } from "../bus-access.ts";
import { ECHO_RAM_BYTES, EchoDriver } from "../machinery/echo-driver.ts";
import { EchoModel } from "../machinery/echo-model.ts";
import { VirtioDevice } from "../machinery/virtio-device.ts";
import { type PciCapabilities, readPciCapabilities } from "./capabilities.ts";
import { PciFunction, type PciFunctionOptions } from "./function.ts";
import { PciTransport } from "./transport.ts";

/** How a {@link FunctionBench} differs from the default; `shared`: bytes of shared memory region 1. */
export type FunctionBenchOptions = Omit<PciFunctionOptions, "device"> & { readonly shared?: number };

/** A function and all around it. */
export interface FunctionBench {
  readonly ram: GuestRam;
  /** The shared memory. */
  readonly bytes: Uint8Array;
  readonly model: EchoModel;
  readonly device: VirtioDevice;
  readonly pci: PciFunction;
  readonly config: BusAccess;
  /** Each level that the INTx line took. */
  readonly line: boolean[];
  /** Each MSI-X message. */
  readonly messages: (readonly [address: number, data: number])[];
}

/** A {@link FunctionBench} with a driver at work. */
export interface RunningFunction extends FunctionBench {
  readonly transport: PciTransport;
  readonly driver: EchoDriver;
}

/** A function as after power-on. */
export function functionOf(options: FunctionBenchOptions = {}): FunctionBench {
  const ram = GuestRam.of(ECHO_RAM_BYTES);
  const shared = options.shared ?? 0;
  const bytes = new Uint8Array(shared);
  const model = new EchoModel({ sharedMemory: shared === 0 ? [] : [{ id: 1, bytes }] });
  const device = new VirtioDevice({ model, memory: ram, label: "0000:00:02.0" });
  const line: boolean[] = [];
  const messages: (readonly [address: number, data: number])[] = [];
  const pci = new PciFunction({
    device,
    setInterruptLine: (asserted) => line.push(asserted),
    sendMessage: (address, data) => messages.push([address, data]),
    ...options,
  });
  return { ram, bytes, model, device, pci, config: pci.config, line, messages };
}

/** A function whose driver is at work. */
export function running(options: FunctionBenchOptions = {}): RunningFunction {
  const parts = functionOf(options);
  const transport = PciTransport.open(parts.pci);
  const driver = new EchoDriver(transport, parts.ram);
  driver.start();
  return { ...parts, transport, driver };
}

/** What the function says of itself. */
export function capabilitiesOf(pci: PciFunction): PciCapabilities {
  return readPciCapabilities(pci.config, pci.label);
}

/** The BAR with virtio's structures. */
export function registersOf(pci: PciFunction): BusAccess {
  const registers = pci.bar(capabilitiesOf(pci).common[0]?.bar ?? -1);
  assert(registers !== null, "a function has registers");
  return registers;
}

/** Where the ISR register is in that BAR. */
export function isrOf(pci: PciFunction): number {
  return capabilitiesOf(pci).isr[0]?.offset ?? -1;
}
