/**
 * The picture of an output of a QEMU that somebody else runs: by its control socket (QMP, as the host has it, without the
 * cursor), or by its VNC server (as a viewer has it). Unix sockets, or ports of this machine.
 */
import { connect, type Socket } from "node:net";
import { rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { GpuError } from "@virtgpu/core/base";
import type { HostPicture } from "../hosts/machine.ts";
import { createPrivateFolder } from "../hosts/qemu/private-folder.ts";
import { decodePpm, type RgbPicture } from "../hosts/qemu/ppm.ts";
import { withDeadline } from "../hosts/qemu/qemu-process.ts";
import { QmpClient } from "../hosts/qemu/qmp-client.ts";
import { RfbClient } from "../hosts/qemu/rfb-client.ts";
import { UsageError } from "../usage-error.ts";

const DEADLINE_MS = 20_000;
/** QEMU's VNC server looks at its display every 30 ms while somebody watches, and every 3 s while nobody does. */
const SERVER_LOOKS_MS = 100;

/** Which output: QEMU's id of the device (null: its first display), and the output's number. */
export interface ScreenshotPlace {
  readonly device: string | null;
  readonly output: number;
}

/** `/path/to/socket`, `localhost:5900`. Throws UsageError for another machine. */
export function parseSocket(
  text: string,
): { readonly path: string } | { readonly host: string; readonly port: number } {
  const [, host = "", port = ""] = /^([\w.:[\]-]*):(\d{1,5})$/.exec(text) ?? [];
  if (port === "" || text.includes("/")) return { path: text };
  const local = host === "" ? "localhost" : host;
  if (!["localhost", "127.0.0.1", "::1", "[::1]"].includes(local)) {
    throw new UsageError(`${host} is another machine: only sockets of this one are spoken to`);
  }
  if (Number(port) > 65_535) throw new UsageError(`${port} is no port`);
  return { host: local.replace(/[[\]]/g, ""), port: Number(port) };
}

async function open(place: string): Promise<Socket> {
  const socket = connect(parseSocket(place));
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return socket;
  } catch (error) {
    socket.destroy();
    const why = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new GpuError("ENODEV", `nobody answers at ${place} (${why})`);
  }
}

/** By QMP. Throws GpuError ENODEV when nobody answers, EIO where QEMU refuses. */
export async function screenshotByQmp(place: string, { device, output }: ScreenshotPlace): Promise<HostPicture> {
  const qmp = new QmpClient(await open(place));
  const folder = createPrivateFolder();
  try {
    await withDeadline(qmp.ready, DEADLINE_MS, `${place} does not speak QMP`);
    const filename = join(folder, "screen.ppm");
    const which = device === null ? {} : { device, head: output };
    await withDeadline(qmp.execute("screendump", { filename, ...which }), DEADLINE_MS, "QEMU took no picture");
    return rgbaOf(decodePpm(await readFile(filename)));
  } finally {
    qmp.close("the picture is taken");
    rmSync(folder, { recursive: true, force: true });
  }
}

/** By VNC (RFB), one server an output. Throws GpuError ENODEV when nobody answers, EPROTO. */
export async function screenshotByVnc(place: string): Promise<HostPicture> {
  const socket = await open(place);
  try {
    const viewer = await withDeadline(RfbClient.over(socket), DEADLINE_MS, `${place} does not speak RFB`);
    await wholePicture(viewer);
    return rgbaOf(viewer.picture);
  } finally {
    socket.destroy();
  }
}

/** The first update may be of what the server had seen last: another one follows when it has looked again. */
async function wholePicture(viewer: RfbClient): Promise<void> {
  await viewer.until(() => viewer.updates > 0, DEADLINE_MS);
  await new Promise((resolve) => setTimeout(resolve, SERVER_LOOKS_MS));
  const seen = viewer.updates;
  viewer.requestUpdate(false);
  await viewer.until(() => viewer.updates > seen, DEADLINE_MS);
}

function rgbaOf({ width, height, rgb }: RgbPicture): HostPicture {
  const rgba = new Uint8Array(width * height * 4).fill(255);
  for (let pixel = 0; pixel < width * height; pixel += 1) rgba.set(rgb.subarray(3 * pixel, 3 * pixel + 3), 4 * pixel);
  return { width, height, rgba };
}
