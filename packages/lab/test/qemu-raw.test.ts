/**
 * The lab's eyes and hands, tried on commands written by hand: what a real QEMU answers, what its screen dump and its
 * VNC server show, and what is left after its end.
 */
import { afterEach, expect, it } from "vitest";
import { QemuHost, type QemuHostOptions } from "../src/hosts/qemu/qemu-host.ts";
import type { RawCommand } from "../src/oracle/raw-commands.ts";
import { RawGpu } from "../src/oracle/raw-gpu.ts";
import { FREE_MEMORY } from "../src/oracle/ring-guest.ts";

const hosts: QemuHost[] = [];

async function start(options: QemuHostOptions = {}): Promise<{ host: QemuHost; gpu: RawGpu }> {
  const host = await QemuHost.start({ ramBytes: 32 << 20, ...options });
  hosts.push(host);
  return { host, gpu: new RawGpu(host) };
}

afterEach(async () => {
  for (const host of hosts.splice(0)) await host.stop();
});

const OK = 0x1100;

function type(reply: Uint8Array): number {
  return new DataView(reply.buffer).getUint32(0, true);
}

/** Bytes of a picture in format B8G8R8X8, and the same picture as red, green, blue. */
function picture(width: number, height: number, seed: number) {
  const bgrx = new Uint8Array(width * height * 4);
  const rgb = new Uint8Array(width * height * 3);
  for (let index = 0; index < width * height; index += 1) {
    const [red, green, blue] = [(index * 7 + seed) & 0xff, (index * 13) & 0xff, (index >> 5) & 0xff];
    bgrx.set([blue, green, red, 0xff], 4 * index);
    rgb.set([red, green, blue], 3 * index);
  }
  return { bgrx, rgb };
}

/** Creates a resource, fills it, and shows it. */
function show(gpu: RawGpu, id: number, width: number, height: number, scanout: number, address: number): void {
  const r = [0, 0, width, height] as const;
  const commands: readonly RawCommand[] = [
    { command: "resource_create_2d", resource_id: id, format: 2, width, height },
    { command: "resource_attach_backing", resource_id: id, entries: [[address, width * height * 4]] },
    { command: "transfer_to_host_2d", r, offset: 0, resource_id: id },
    { command: "set_scanout", r, scanout_id: scanout, resource_id: id },
    { command: "resource_flush", r, resource_id: id },
  ];
  for (const command of commands) expect(type(gpu.execute(command)), command.command).toBe(OK);
}

it("shows on each output what was written to guest memory, also after a new QEMU took over", async () => {
  const { host, gpu } = await start({ devices: [{ outputs: 2 }] });
  const [left, right] = [picture(320, 200, 1), picture(256, 64, 99)];
  host.ram.memory.write(FREE_MEMORY, left.bgrx);
  host.ram.memory.write(FREE_MEMORY + 0x100000, right.bgrx);
  const draw = (by: RawGpu): void => {
    show(by, 1, 320, 200, 0, FREE_MEMORY);
    show(by, 2, 256, 64, 1, FREE_MEMORY + 0x100000);
  };
  draw(gpu);
  expect(await host.screendump(0)).toEqual({ width: 320, height: 200, rgb: left.rgb });
  expect(await host.screendump(1)).toEqual({ width: 256, height: 64, rgb: right.rgb });
  await host.restart();
  const fresh = new RawGpu(host);
  const gone = fresh.execute({ command: "resource_flush", r: [0, 0, 320, 200], resource_id: 1 });
  expect(type(gone)).toBe(0x1203);
  draw(fresh);
  expect(await host.screendump(0)).toEqual({ width: 320, height: 200, rgb: left.rgb });
  expect(await host.screendump(1)).toEqual({ width: 256, height: 64, rgb: right.rgb });
});

it("logs what the guest did wrong", async () => {
  const { host, gpu } = await start();
  gpu.execute({ command: "resource_create_2d", resource_id: 1, format: 2, width: 8, height: 8 });
  const again = gpu.execute({ command: "resource_create_2d", resource_id: 1, format: 2, width: 8, height: 8 });
  expect(type(again)).toBe(0x1203);
  expect(host.errorLines.join("\n")).toContain("resource already exists 1");
});

it("VNC: a transfer alone is not sent, a flush is, and only its rectangle", async () => {
  const { host, gpu } = await start({ vnc: true });
  show(gpu, 1, 320, 200, 0, FREE_MEMORY);
  const viewer = await host.viewer();
  await viewer.until(() => viewer.picture.width === 320 && viewer.rectangles.length > 0);
  viewer.rectangles.length = 0;
  host.ram.memory.write(FREE_MEMORY, new Uint8Array(320 * 200 * 4).fill(0x55));
  const r = [64, 32, 32, 16] as const;
  gpu.execute({ command: "transfer_to_host_2d", r: [0, 0, 320, 200], offset: 0, resource_id: 1 });
  gpu.execute({ command: "resource_flush", r, resource_id: 1 });
  await viewer.until(() => viewer.rectangles.length > 0);
  for (const { x, y, width, height } of viewer.rectangles) {
    expect([x >= 64, y >= 32, x + width <= 96, y + height <= 48]).toEqual([true, true, true, true]);
  }
  const { rgb } = viewer.picture;
  expect(rgb[3 * (320 * 33 + 70)]).toBe(0x55);
  expect(rgb[3 * (320 * 60 + 70)]).not.toBe(0x55);
});

it("VNC: the cursor's pixels and hot spot", async () => {
  const { host, gpu } = await start({ vnc: true });
  show(gpu, 1, 320, 200, 0, FREE_MEMORY);
  const viewer = await host.viewer();
  await viewer.until(() => viewer.rectangles.length > 0);
  const cursor = picture(64, 64, 3);
  host.ram.memory.write(FREE_MEMORY + 0x100000, cursor.bgrx);
  const r = [0, 0, 64, 64] as const;
  gpu.execute({ command: "resource_create_2d", resource_id: 9, format: 1, width: 64, height: 64 });
  gpu.execute({ command: "resource_attach_backing", resource_id: 9, entries: [[FREE_MEMORY + 0x100000, 16384]] });
  gpu.execute({ command: "transfer_to_host_2d", r, offset: 0, resource_id: 9 });
  const place = { scanout_id: 0, x: 10, y: 20, resource_id: 9, hot_x: 5, hot_y: 6 };
  expect(gpu.execute({ command: "update_cursor", cursor: place })).toHaveLength(0);
  await viewer.until(() => viewer.cursor?.width === 64);
  expect(viewer.cursor).toMatchObject({ width: 64, height: 64, hotX: 5, hotY: 6 });
  expect(viewer.cursor?.rgb).toEqual(cursor.rgb);
  expect(viewer.cursor?.mask.every((bit) => bit === 1)).toBe(true);
});

it("VNC: another desktop size becomes a display change", async () => {
  const { host, gpu } = await start({ vnc: true, devices: [{ outputs: 2 }] });
  const viewer = await host.viewer(1);
  await viewer.until(() => viewer.updates > 0);
  viewer.setDesktopSize(1000, 700);
  // Width, height and enabled of the second output.
  const info = (): readonly number[] => {
    const reply = new DataView(gpu.execute({ command: "get_display_info" }).buffer);
    return [56, 60, 64].map((offset) => reply.getUint32(offset, true));
  };
  await viewer.until(() => info()[0] === 1000);
  expect(info()).toEqual([1000, 700, 1]);
  expect(gpu.config.read32(0)).toBe(1);
  gpu.config.write32(4, 1);
  expect(gpu.config.read32(0)).toBe(0);
});
