/** The clock's alarm, by which a machine wakes that nobody wakes. Kernel interface: sysfs, /sys/class/rtc. */
import { writeWord } from "./write-word.ts";

const ALARM = "/sys/class/rtc/rtc0/wakealarm";

/** Wakes the machine after some seconds. Rejects where there is no clock with an alarm. */
export async function setWakeAlarm(seconds: number): Promise<void> {
  await writeWord(ALARM, "0");
  await writeWord(ALARM, `+${seconds}`);
}
