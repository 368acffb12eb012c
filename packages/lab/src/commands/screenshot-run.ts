/** `virtgpu screenshot`. */
import { writeFileSync } from "node:fs";
import { encodePng } from "../report/index.ts";
import { screenshotByQmp, screenshotByVnc } from "../screenshot/running-qemu.ts";
import { UsageError } from "../usage-error.ts";
import type { LabContext } from "./context.ts";
import type { ScreenshotFlags } from "./screenshot.ts";

/** See the file's head. */
export async function runScreenshotCommand(this: LabContext, flags: ScreenshotFlags, path: string): Promise<void> {
  const { qmp, vnc, device, output } = flags;
  if ((qmp === undefined) === (vnc === undefined)) {
    throw new UsageError("say where the picture comes from: --qmp SOCKET or --vnc SOCKET");
  }
  if (vnc !== undefined && device !== undefined)
    throw new UsageError("--device is for --qmp: a VNC server has one output");
  if (output > 0 && device === undefined)
    throw new UsageError("--output needs --device: QEMU finds outputs by their device");
  const picture =
    qmp === undefined
      ? await screenshotByVnc(vnc ?? "")
      : await screenshotByQmp(qmp, { device: device ?? null, output });
  try {
    writeFileSync(path, encodePng(picture));
  } catch (error) {
    const why = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new UsageError(`${path} can't be written (${why})`);
  }
  this.process.stdout.write(`${path}: ${picture.width}x${picture.height}\n`);
}
