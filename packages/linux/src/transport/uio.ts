/**
 * By uio_pci_generic (the kernel's driver-api/uio-howto): registers are mapped from sysfs, and the INTx line is a file
 * that becomes readable. The kernel masks the line at each interrupt, by the command register's bit, and we unmask it.
 */
import { closeSync, readSync, readdirSync } from "node:fs";
import { GpuError } from "@virtgpu/core/base";
import type { BusAccess, PciInterrupts } from "@virtgpu/core/virtio";
import { PciCommand, PciHeader } from "@virtgpu/core/wire";
import { loadSys } from "../native/index.ts";
import { DriverBinding, type PciSysfs } from "../pci/index.ts";
import { SysfsFunction, openForDevice } from "./sysfs-function.ts";
import { type TakeOptions, type TakenFunction, Undo } from "./taken-function.ts";

const DRIVER = "uio_pci_generic";

/** Takes a function. Throws GpuError; then it is where it was. */
export function takeByUio(sysfs: PciSysfs, { address, interrupts, onError }: TakeOptions): TakenFunction {
  const undo = new Undo();
  try {
    const binding = DriverBinding.take(sysfs, address, DRIVER);
    undo.add(() => binding.release());
    const access = new SysfsFunction(sysfs, address, undo, true);
    if (interrupts) {
      const fd = openForDevice(`/dev/${uioName(sysfs, address)}`, address);
      undo.add(() => closeSync(fd));
      access.interrupts = new LineInterrupts(fd, access.config, undo, onError);
    }
    return { access, window: "bars", throughIommu: null, close: () => undo.run() };
  } catch (error) {
    undo.abandon();
    throw error;
  }
}

function uioName(sysfs: PciSysfs, address: string): string {
  const names = readdirSync(sysfs.path(address, "uio")).filter((name) => /^uio\d{1,5}$/.test(name));
  const [name] = names;
  if (name === undefined) throw new GpuError("ENODEV", `${DRIVER} made no device of it`, { device: address });
  return name;
}

/** The INTx line. */
class LineInterrupts implements PciInterrupts {
  readonly vectors: number = 0;
  readonly #fd: number;
  readonly #config: BusAccess;
  #handler: ((vector: number) => void) | null = null;

  constructor(fd: number, config: BusAccess, undo: Undo, onError: (error: unknown) => void) {
    this.#fd = fd;
    this.#config = config;
    const watch = loadSys().watch(fd, () => this.#onInterrupt(), onError);
    undo.add(() => watch.close());
  }

  setHandler(handler: ((vector: number) => void) | null): void {
    this.#handler = handler;
  }

  /** The count of interrupts is read, else the file stays readable. With nobody to acknowledge it the line stays masked. */
  #onInterrupt(): void {
    readSync(this.#fd, new Uint8Array(4), 0, 4, null);
    const handler = this.#handler;
    if (handler === null) return;
    handler(-1);
    const command = this.#config.read16(PciHeader.COMMAND);
    if (command !== 0xffff && (command & PciCommand.INTX_DISABLE) !== 0) {
      this.#config.write16(PciHeader.COMMAND, command & ~PciCommand.INTX_DISABLE);
    }
  }
}
