/** The agent's serial port as what wakes an idle machine. Kernel interface: sysfs, power/wakeup. */
import { basename } from "node:path";
import { writeWord } from "./write-word.ts";

/** Lets a byte that comes by a serial port wake the machine from idling. Rejects where that can't be had. */
export async function wakeBySerialPort(port: string): Promise<void> {
  await writeWord(`/sys/class/tty/${basename(port)}/power/wakeup`, "enabled");
}
