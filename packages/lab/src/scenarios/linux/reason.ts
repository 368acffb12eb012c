/**
 * Why a picture did not come back, in a sentence, from what was seen; the first explanation that the evidence bears.
 */
import type { Observation } from "./observation.ts";
import { verdictOf } from "./verdict.ts";

/** Null where it came back by itself. */
export function reasonOf(seen: Observation): string | null {
  const verdict = verdictOf(seen);
  if (verdict === "came-back") return null;
  if (verdict === "hung") return hungReason(seen);
  return (
    imageReason(seen) ??
    busReason(seen) ??
    queueReason(seen) ??
    resourceReason(seen) ??
    crashReason(seen) ??
    statusReason(seen) ??
    otherReason(seen)
  );
}

const IMAGE_MISMATCH = /Image mismatch: ?(.*)/;

/** The next kernel booted instead of waking the one that slept. */
function imageReason({ console }: Observation): string | null {
  const line = console.findLast((text) => IMAGE_MISMATCH.test(text));
  if (line === undefined) return null;
  const what = IMAGE_MISMATCH.exec(line)?.[1] ?? "";
  return `the kernel refused its image (${what || "mismatch"}): the machine that woke has other memory or other devices than the one that slept`;
}

/** VIRTIO 1.3, 4.1.3.2: a queue's addresses are gone after a reset, and have to be written again. */
function queueReason({ status, stuck }: Observation): string | null {
  if (status === null || !status.status.includes("DRIVER_OK")) return null;
  const control = status.queues.find(({ queue }) => queue === 0);
  if (control === undefined || control.descriptors !== 0) return null;
  const waits = stuck === null ? "" : `; ${stuck}`;
  return `its queues were never enabled again: the device is set up (DRIVER_OK), but QEMU knows no descriptors of the control queue, so that no command reaches it: the driver has no restore of its own${waits}`;
}

const UNKNOWN_RESOURCE = /invalid resource specified|illegal resource specified|response 0x1203/;

function resourceReason({ hostLines, kernelLines }: Observation): string | null {
  const line = [...hostLines, ...kernelLines].find((text) => UNKNOWN_RESOURCE.test(text));
  if (line === undefined) return null;
  return `the host does not know the resources: it forgot them while the machine slept, and the driver did not create them again ("${line.trim()}")`;
}

function busReason({ hostLines }: Observation): string | null {
  const line = hostLines.find((text) => /reason: rejected|region '\(null\)'/.test(text));
  return line === undefined
    ? null
    : `the device can't reach the guest's memory: bus mastering, or its IOMMU mapping, did not come back ("${line.trim()}")`;
}

function crashReason({ kernelLines }: Observation): string | null {
  const line = kernelLines.find((text) => /\bBUG: |Oops|WARNING: |kernel BUG|PANIC|panic/.test(text));
  return line === undefined ? null : `the driver's code for the sleep went wrong ("${line.trim()}")`;
}

function statusReason({ status }: Observation): string | null {
  if (status === null || status.status.includes("DRIVER_OK")) return null;
  const told = status.status.join(", ") || "none";
  return `nobody set the device up again after the sleep: its status has no DRIVER_OK (${told})`;
}

function otherReason({ stuck, reply }: Observation): string {
  if (stuck !== null) return stuck;
  if (reply !== null && reply.problems.length > 0) return `the driver says: ${reply.problems.slice(0, 3).join("; ")}`;
  return "nothing that was looked at tells why: the device is set up, the host knows the resources, and no error was told";
}

function hungReason(seen: Observation): string {
  const image = imageReason(seen);
  if (image !== null) return image;
  const crash = seen.kernelLines.find((text) => /BUG: |Oops|WARNING: |blocked for more than|PANIC|panic/.test(text));
  const last = seen.console.findLast((line) => line.trim() !== "");
  const told = crash ?? last;
  return `${seen.hung ?? "the machine hung"}${told === undefined ? "" : `; its console's last word: "${told.trim()}"`}`;
}
