/**
 * Cursors of our device against those of a real QEMU, as its VNC server shows them: picture, shape and hot spot, after
 * commands good and bad.
 */
import type { CursorImage, DisplaySink } from "@virtgpu/core/device";
import { expect, it } from "vitest";
import { QemuHost } from "../src/hosts/qemu/qemu-host.ts";
import type { RfbClient } from "../src/hosts/qemu/rfb-client.ts";
import { ModelSide } from "../src/oracle/model-side.ts";
import { QemuPort } from "../src/oracle/qemu-port.ts";
import { type RawCommand, type RawCursor, replyCapacity, requestBytes } from "../src/oracle/raw-commands.ts";
import { FREE_MEMORY, RingGuest, whole } from "../src/oracle/ring-guest.ts";
import { noise } from "../src/oracle/sequence.ts";
import { ORACLE_OUTPUTS, ORACLE_RAM_BYTES } from "../src/oracle/side.ts";

/** VERSION_1 and EDID. */
const FEATURES = (1n << 32n) | 2n;
const SCREEN = 32;
const CURSOR = 64;
const PICTURE_BYTES = CURSOR * CURSOR * 4;

/** Keeps the first output's cursor as it is to be seen. */
class CursorSink implements DisplaySink {
  cursor: { readonly hotX: number; readonly hotY: number; readonly rgba: Uint8Array } | null = null;
  scanout(): void {}
  flush(): void {}
  updateCursor(output: number, { hotX, hotY, rgba }: CursorImage): void {
    if (output === 0) this.cursor = { hotX, hotY, rgba: rgba.slice() };
  }
  moveCursor(output: number, cursor: CursorImage): void {
    this.updateCursor(output, cursor);
  }
  hideCursor(output: number): void {
    if (output === 0) this.cursor = null;
  }
}

/** Pixels some of which are opaque and the others clear, by the format's alpha byte. */
function picture(seed: number, alphaByte: number): Uint8Array {
  const bytes = noise(seed, PICTURE_BYTES);
  for (let at = alphaByte; at < bytes.length; at += 4) bytes[at] = ((bytes[at] ?? 0) & 1) * 255;
  return bytes;
}

/** Both devices, given the same; and what VNC shows of one of them. */
class Pair {
  readonly #guests: readonly RingGuest[];
  readonly #memories: readonly { writeAt(position: number, source: Uint8Array): void }[];
  readonly #viewer: RfbClient;
  #mark = 0;

  constructor(host: QemuHost, model: ModelSide, viewer: RfbClient) {
    this.#guests = [new RingGuest(new QemuPort(host)), model.guest];
    this.#memories = [host.ram, model.ram];
    this.#viewer = viewer;
  }

  /** Resets both, and gives output 0 something to show. */
  reset(): void {
    for (const guest of this.#guests) guest.reset(FEATURES);
    this.create(1, SCREEN, SCREEN, 2);
    this.send({ command: "set_scanout", r: [0, 0, SCREEN, SCREEN], scanout_id: 0, resource_id: 1 });
  }

  create(resource_id: number, width: number, height: number, format: number): void {
    const address = FREE_MEMORY + resource_id * 0x10000;
    this.send({ command: "resource_create_2d", resource_id, format, width, height });
    this.send({ command: "resource_attach_backing", resource_id, entries: [[address, width * height * 4]] });
  }

  fill(resource_id: number, width: number, height: number, bytes: Uint8Array): void {
    for (const memory of this.#memories) memory.writeAt(FREE_MEMORY + resource_id * 0x10000, bytes);
    this.send({ command: "transfer_to_host_2d", r: [0, 0, width, height], offset: 0, resource_id });
  }

  send(command: RawCommand): void {
    const queue = command.command === "update_cursor" || command.command === "move_cursor" ? 1 : 0;
    for (const guest of this.#guests) guest.submit(queue, [whole(requestBytes(command), replyCapacity(command))], true);
  }

  /** Waits until the viewer has all that came before: a pixel that is drawn now arrives behind it. */
  async settle(): Promise<void> {
    this.#mark += 1;
    const mark = this.#mark;
    const screen = new Uint8Array(SCREEN * SCREEN * 4).fill(mark);
    this.fill(1, SCREEN, SCREEN, screen);
    this.send({ command: "resource_flush", r: [0, 0, SCREEN, SCREEN], resource_id: 1 });
    await this.#viewer.until(() => this.#viewer.picture.width === SCREEN && this.#viewer.picture.rgb[0] === mark);
  }
}

function cursor(change: Partial<RawCursor>): RawCursor {
  return { scanout_id: 0, x: 10, y: 20, resource_id: 2, hot_x: 3, hot_y: 4, ...change };
}

const update = (change: Partial<RawCursor> = {}): RawCommand => ({ command: "update_cursor", cursor: cursor(change) });
const move = (change: Partial<RawCursor> = {}): RawCommand => ({ command: "move_cursor", cursor: cursor(change) });

it("shows the cursors that QEMU shows, after commands good and bad", async () => {
  const devices = [{ outputs: ORACLE_OUTPUTS }];
  await using host = await QemuHost.start({ ramBytes: ORACLE_RAM_BYTES, devices, vnc: true });
  const sink = new CursorSink();
  const model = new ModelSide({ sink });
  const viewer = await host.viewer();
  const pair = new Pair(host, model, viewer);

  const prepare = (): void => {
    pair.reset();
    pair.create(2, CURSOR, CURSOR, 1);
    pair.create(3, CURSOR, CURSOR, 1);
    pair.create(4, 32, CURSOR, 1);
    for (const id of [2, 3, 4]) pair.fill(id, id === 4 ? 32 : CURSOR, CURSOR, picture(id, 3));
  };
  const compare = async (what: string): Promise<void> => {
    await pair.settle();
    const [theirs, ours] = [viewer.cursor, sink.cursor];
    if (ours === null || theirs === null) throw new Error(`${what}: no cursor to compare`);
    const pixels = CURSOR * CURSOR;
    const rgb = Uint8Array.from({ length: 3 * pixels }, (_, at) => ours.rgba[4 * Math.floor(at / 3) + (at % 3)] ?? 0);
    const mask = Uint8Array.from({ length: pixels }, (_, at) => (ours.rgba[4 * at + 3] === 255 ? 1 : 0));
    expect({ hotX: theirs.hotX, hotY: theirs.hotY }, what).toEqual({ hotX: ours.hotX, hotY: ours.hotY });
    expect(Buffer.compare(theirs.rgb, rgb), `${what}: picture`).toBe(0);
    expect(Buffer.compare(theirs.mask, mask), `${what}: shape`).toBe(0);
  };

  prepare();
  const steps: readonly (readonly [string, readonly RawCommand[]])[] = [
    ["a picture", [update()]],
    ["an unknown id: the old picture, another hot spot", [update({ resource_id: 99, hot_x: 5, hot_y: 6 })]],
    ["a picture of another size", [update({ resource_id: 4, hot_x: 7, hot_y: 8 })]],
    ["another picture", [update({ resource_id: 3 })]],
    ["a move takes neither picture nor hot spot", [move({ resource_id: 2, hot_x: 9, hot_y: 9 })]],
    ["an output that is not there", [update({ scanout_id: 7, resource_id: 2 })]],
    ["hidden, then moved into sight", [update({ resource_id: 0, hot_x: 1, hot_y: 2 }), move({ resource_id: 2 })]],
  ];
  for (const [what, commands] of steps) {
    for (const command of commands) pair.send(command);
    await compare(what);
  }

  pair.fill(3, CURSOR, CURSOR, picture(33, 3));
  await compare("new pixels alone change no cursor");
  pair.send(update({ resource_id: 3 }));
  await compare("new pixels after an update");

  // The row cursor-format of the table: QEMU takes any bytes as B8G8R8A8.
  pair.create(5, CURSOR, CURSOR, 67);
  const bytes = picture(5, 3);
  pair.fill(5, CURSOR, CURSOR, bytes);
  pair.send(update({ resource_id: 5 }));
  await pair.settle();
  expect([...(viewer.cursor?.rgb.subarray(0, 3) ?? [])]).toEqual([bytes[2], bytes[1], bytes[0]]);
  expect([...(sink.cursor?.rgba.subarray(0, 3) ?? [])]).toEqual([...bytes.subarray(0, 3)]);

  prepare();
  pair.send(update({ resource_id: 3 }));
  pair.reset();
  pair.send(update({ resource_id: 99, hot_x: 11, hot_y: 12 }));
  await compare("a reset keeps the picture");
});
