/** `virtgpu info`. */
import { deviceInfo } from "../info/device-info.ts";
import { printInfo } from "../info/print-info.ts";
import type { LabContext } from "./context.ts";
import { hardwareOf } from "./host-flags.ts";
import type { InfoFlags } from "./info.ts";
import { withMachine } from "./with-machine.ts";

/** See the file's head. */
export async function runInfoCommand(this: LabContext, flags: InfoFlags): Promise<void> {
  const info = await withMachine(hardwareOf(flags), ({ host, gpu, allocator, dma, clock }) =>
    deviceInfo({ host: host.label, transport: gpu.connect(), allocator, dma, clock }),
  );
  this.process.stdout.write(flags.json ? `${JSON.stringify(info, null, 2)}\n` : printInfo(info));
}
