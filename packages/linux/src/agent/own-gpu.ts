/** Our own driver under test: the virtio GPUs of this machine, taken over in user space. */
import { setTimeout as delay } from "node:timers/promises";
import type { GpuBuffer } from "@virtgpu/core/driver";
import { Format, GpuFeature } from "@virtgpu/core/wire";
import { LentPages } from "../memory/lent-pages.ts";
import { type MemoryKind, type OpenGpu, listGpus, openGpu } from "../open-gpu.ts";
import { GpuSleep, type Waking } from "../sleep/gpu-sleep.ts";
import { rehearse } from "../sleep/rehearse.ts";
import { PausableTransport, WAYS } from "../transport/index.ts";
import type {
  AgentGpu,
  AgentGpuDriver,
  Extra,
  GpuObject,
  ObjectPurpose,
  OpenDriver,
  OutputState,
  WakeReport,
} from "./agent-gpu.ts";
import { messageOf } from "./message-of.ts";
import type { Size } from "./protocol.ts";

const MEMORY_KINDS: readonly MemoryKind[] = ["hugepages", "pages", "heap"];
const CURSOR = 64;
/** A guest with many objects waits for no more than these. */
const REHEARSED_MAX = 256;

/** A buffer, whether its memory is the driver's or lent. */
class OwnObject implements GpuObject {
  readonly kind: string;
  readonly width: number;
  readonly height: number;
  readonly buffer: GpuBuffer;
  readonly #lent: LentPages | null;

  constructor(kind: string, buffer: GpuBuffer, lent: LentPages | null = null) {
    this.kind = kind;
    this.buffer = buffer;
    this.#lent = lent;
    this.width = buffer.width;
    this.height = buffer.height;
  }

  /** An object that this driver made itself. */
  static of(object: GpuObject): OwnObject {
    if (!(object instanceof OwnObject)) throw new TypeError("the object belongs to another driver");
    return object;
  }

  write(pixels: Uint8Array): void {
    if (this.#lent === null) this.buffer.write(0, pixels);
    else this.#lent.pages.write(0, pixels);
  }

  read(): Uint8Array {
    const pixels = new Uint8Array(this.width * this.height * 4);
    if (this.#lent === null) this.buffer.read(0, pixels);
    else this.#lent.pages.read(0, pixels);
    return pixels;
  }

  /** What was lent is ours again when no host has it: at the end of the driver, for there is no moment that tells. */
  async free(): Promise<void> {
    this.buffer.destroy();
  }
}

/** One GPU. */
class OwnGpu implements AgentGpu {
  readonly address: string;
  readonly #open: OpenGpu;
  readonly #shown = new Map<number, OwnObject>();
  #cursor: { readonly output: number; readonly buffer: GpuBuffer } | null = null;
  #lent: LentPages[] = [];

  constructor(open: OpenGpu) {
    this.#open = open;
    this.address = open.address;
  }

  async outputs(): Promise<readonly OutputState[]> {
    return this.#open.gpu.outputs.map(({ index, connector }) => ({
      name: `output ${index}`,
      connected: connector.connected,
      modes: connector.modes.map(({ width, height }) => ({ width, height })),
    }));
  }

  async create(purpose: ObjectPurpose, size: Size): Promise<GpuObject> {
    const kind = purpose === "framebuffer" ? "framebuffer" : "image";
    return new OwnObject(kind, await this.#open.gpu.createBuffer(size));
  }

  async createExtras(size: Size): Promise<readonly Extra[]> {
    const extras: Extra[] = [
      { notOffered: "import-udmabuf", reason: "a driver in user space has no part in the kernel's dmabufs" },
    ];
    const makers = { "import-lent": () => this.#import(size), blob: () => this.#createBlob(size) };
    for (const [kind, make] of Object.entries(makers)) {
      try {
        extras.push({ object: await make() });
      } catch (error) {
        extras.push({ notOffered: kind, reason: messageOf(error) });
      }
    }
    return extras;
  }

  async #import(size: Size): Promise<OwnObject> {
    const key = `lent ${this.#lent.length}`;
    const lent = new LentPages(this.#open, key, size.width * size.height * 4);
    this.#lent.push(lent);
    return new OwnObject("import-lent", await this.#open.gpu.importBuffer(lent, { ...size, key }), lent);
  }

  async #createBlob(size: Size): Promise<OwnObject> {
    const { gpu } = this.#open;
    if (!gpu.hasFeature(GpuFeature.RESOURCE_BLOB)) throw new Error("ENOTSUP: the device offers no blobs");
    return new OwnObject("blob", await gpu.createBuffer({ ...size, storage: "blob" }));
  }

  async show(output: number, object: GpuObject | null): Promise<void> {
    if (object === null) {
      this.#shown.delete(output);
      await this.#open.gpu.output(output).disable();
      return;
    }
    const own = OwnObject.of(object);
    this.#shown.set(output, own);
    await this.#open.gpu.output(output).show(own.buffer);
  }

  flip(output: number, object: GpuObject): Promise<void> {
    return this.show(output, object);
  }

  async upload(object: GpuObject): Promise<void> {
    await OwnObject.of(object).buffer.flush();
  }

  async redraw(): Promise<void> {
    for (const [output, { buffer }] of this.#shown) {
      await buffer.flush();
      await this.#open.gpu.output(output).show(buffer);
    }
  }

  async showCursor(cursor: Parameters<AgentGpu["showCursor"]>[0]): Promise<void> {
    await this.hideCursor();
    const { gpu } = this.#open;
    const buffer = await gpu.createBuffer({ width: CURSOR, height: CURSOR, format: Format.B8G8R8A8 });
    buffer.write(0, cursor.pixels);
    const plane = gpu.output(cursor.output).cursor;
    await plane.set(buffer, cursor.hotspot);
    await plane.move(cursor.at.x, cursor.at.y);
    this.#cursor = { output: cursor.output, buffer };
  }

  async hideCursor(): Promise<void> {
    const cursor = this.#cursor;
    if (cursor === null) return;
    this.#cursor = null;
    await this.#open.gpu.output(cursor.output).cursor.hide();
    cursor.buffer.destroy();
  }

  async close(): Promise<void> {
    await this.#open.gpu.remove();
    for (const lent of this.#lent.splice(0)) lent.free();
    await this.#open.close();
  }
}

/** All GPUs of the machine. */
class OwnDriver implements AgentGpuDriver {
  readonly way: string;
  readonly gpus: readonly OwnGpu[];
  readonly #sleep: GpuSleep;
  readonly #transports: readonly PausableTransport[];

  constructor(way: string, opened: readonly OpenGpu[], transports: readonly PausableTransport[]) {
    this.way = way;
    this.gpus = opened.map((each) => new OwnGpu(each));
    this.#sleep = new GpuSleep(opened);
    this.#transports = transports;
  }

  beforeSleep(): Promise<void> {
    return this.#sleep.freeze();
  }

  async afterSleep(now: () => number): Promise<WakeReport> {
    return wakeReport(this.#sleep.restore(), now);
  }

  readonly hang = async (milliseconds: number): Promise<void> => {
    for (const transport of this.#transports) transport.pause();
    void delay(milliseconds, undefined, { ref: false }).then(() => {
      for (const transport of this.#transports) transport.resume();
    });
  };

  async close(): Promise<void> {
    const failures: string[] = [];
    for (const gpu of this.gpus) await gpu.close().catch((error: unknown) => failures.push(messageOf(error)));
    if (failures.length > 0) throw new Error(failures.join("; "));
  }
}

async function wakeReport(waking: Waking, now: () => number): Promise<WakeReport> {
  await waking.picture;
  const picture = now();
  const woken = await waking.complete;
  const problems = woken.flatMap(({ error, report }) => [
    ...(error === null ? [] : [error.message]),
    ...(report?.lost ?? []).map(({ object, reason }) => `${object}: ${reason}`),
  ]);
  return {
    picture,
    complete: now(),
    restored: woken.reduce((sum, { report }) => sum + (report?.restored ?? 0), 0),
    lost: woken.reduce((sum, { report }) => sum + (report?.lost.length ?? 0), 0),
    problems,
    anew: false,
  };
}

/** Takes all virtio GPUs over: `way` is one of {@link WAYS}, `memory` a {@link MemoryKind}. */
export const openOwnDriver: OpenDriver = async ({ way, memory, objects, say }) => {
  const [wayChosen, memoryChosen] = [oneOf(WAYS, way), memory === undefined ? undefined : oneOf(MEMORY_KINDS, memory)];
  const addresses = listGpus();
  if (addresses.length === 0) throw new Error("ENODEV: there is no virtio GPU in this machine");
  const opened: OpenGpu[] = [];
  const transports: PausableTransport[] = [];
  try {
    for (const address of addresses) {
      opened.push(
        await openGpu({
          address,
          way: wayChosen,
          memory: memoryChosen,
          onError: (error) => say(messageOf(error)),
          wrapTransport: (inner) => {
            const transport = new PausableTransport(inner);
            transports.push(transport);
            return transport;
          },
        }),
      );
    }
    await rehearse(opened, Math.min(objects, REHEARSED_MAX));
  } catch (error) {
    for (const each of opened) await each.close();
    throw error;
  }
  return new OwnDriver(wayChosen, opened, transports);
};

function oneOf<Name extends string>(names: readonly Name[], wanted: string): Name {
  const found = names.find((name) => name === wanted);
  if (found === undefined) throw new Error(`EINVAL: "${wanted}" is none of ${names.join(", ")}`);
  return found;
}
