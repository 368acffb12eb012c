/** The agent's serial port as what wakes an idle machine. Kernel interface: sysfs, power/wakeup. */
import { basename } from "node:path";
import { writeWord } from "./write-word.ts";

/**
 * Does something while a byte that comes by a serial port wakes the machine from idling. Only for that time: a port that may
 * wake the machine is not set up anew after a sleep, and behind another QEMU it would lose what doesn't fit its FIFO.
 */
export async function whileWakingBySerialPort<T>(port: string, act: () => Promise<T>): Promise<T> {
  const file = `/sys/class/tty/${basename(port)}/power/wakeup`;
  // Without it, the power button is left.
  await writeWord(file, "enabled").catch(() => undefined);
  try {
    return await act();
  } finally {
    await writeWord(file, "disabled").catch(() => undefined);
  }
}
