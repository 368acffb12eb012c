/**
 * A hibernation that is given up in the middle: devices are frozen one after the other, and once the last GPU is, a wakeup
 * event comes. The kernel's own tracing gives that event: `device_pm_callback_start` of the GPU makes a trace readable, which
 * counts as a wakeup event while an epoll with EPOLLWAKEUP watches it; the kernel looks for such events before it freezes the
 * next device, and thaws all with EBUSY. Kernel interface: tracefs, Documentation/trace/events; /sys/power/wakeup_count.
 */
import { closeSync, constants, existsSync, openSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import { errnoName, type Sys } from "../../native/index.ts";
import { writeWord } from "./write-word.ts";

const TRACEFS = "/sys/kernel/tracing";
const EVENT = join(TRACEFS, "events/power/device_pm_callback_start");
const WAKEUP_COUNT = "/sys/power/wakeup_count";

/** Does something that freezes devices, and has it aborted after these. */
export async function abortAfter(
  pciAddresses: readonly string[],
  { sys, say }: { readonly sys: Sys; readonly say: (line: string) => void },
  act: () => Promise<void>,
): Promise<void> {
  // Devices are frozen in the reverse order of their registration, that is of their PCI addresses.
  const last = [...pciAddresses].sort()[0];
  if (last === undefined) throw new Error("ENODEV: there is no GPU after whose freeze to abort");
  if (!existsSync(EVENT)) sys.mount("tracefs", TRACEFS);
  const pipe = openSync(join(TRACEFS, "trace_pipe"), constants.O_RDONLY | constants.O_NONBLOCK);
  let source: number | null = null;
  try {
    // The bus's callback that freezes; a device is prepared earlier, with all others still awake.
    await writeWord(join(EVENT, "filter"), `device == "${last}" && pm_ops ~ "bus*"`);
    await writeWord(join(EVENT, "enable"), "1");
    drain(pipe);
    source = sys.wakeupSource(pipe);
    await writeWord(WAKEUP_COUNT, readFileSync(WAKEUP_COUNT, "utf8").trim());
    say(`the hibernation is aborted once ${last} is frozen`);
    await act();
  } finally {
    if (source !== null) closeSync(source);
    closeSync(pipe);
    await writeWord(join(EVENT, "enable"), "0").catch(() => undefined);
    await writeWord(join(EVENT, "filter"), "0").catch(() => undefined);
  }
}

function drain(pipe: number): void {
  const scrap = new Uint8Array(4096);
  try {
    while (readSync(pipe, scrap) > 0);
  } catch (error) {
    if (errnoName(error) !== "EAGAIN") throw error;
  }
}
