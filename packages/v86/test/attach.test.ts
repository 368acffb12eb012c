/**
 * The device in v86's machine, without a guest's kernel: the bus, ports, memory and saved states are v86's own.
 */
import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import type { DisplaySink } from "@virtgpu/core/device";
import { V86_VERSIONS, attachVirtioGpu, unpackState, type V86Emulator } from "../src/index.ts";
import { openCpu } from "../src/internals.ts";
import { BareMachine, MEMORY_BYTES } from "./support/bare-machine.ts";

const machines: BareMachine[] = [];

async function create(options?: Parameters<typeof BareMachine.create>[0]): Promise<BareMachine> {
  const machine = await BareMachine.create(options);
  machines.push(machine);
  return machine;
}

afterEach(async () => {
  for (const machine of machines.splice(0)) await machine.stop();
});

/** Shows a picture that tells each pixel's place. */
async function showPicture(machine: BareMachine, width = 64, height = 48): Promise<void> {
  const gpu = await machine.probe();
  const buffer = await gpu.createBuffer({ width, height });
  buffer.map((bytes) => {
    for (let index = 0; index < width * height; index += 1) {
      bytes.set([index % width, Math.floor(index / width), 0x55, 0], index * 4);
    }
  });
  await gpu.output(0).show(buffer);
}

function pixel(machine: BareMachine, x: number, y: number): number[] {
  const shot = machine.gpu.screenshot(0);
  if (shot === null) return [];
  return [...shot.rgba.subarray((y * shot.width + x) * 4, (y * shot.width + x) * 4 + 4)];
}

interface SavedQueue {
  readonly addresses: readonly number[];
  readonly size: number;
  readonly ring: { readonly availableIndex: number; readonly usedIndex: number };
}

/** Where the control queue lies and stands. */
function firstQueue(saved: Uint8Array): SavedQueue {
  const state = unpackState(saved) as { virtio: { queues: readonly SavedQueue[] } };
  const queue = state.virtio.queues[0];
  if (queue === undefined) throw new Error("the device has no queue");
  return queue;
}

describe("a virtio-gpu in v86", () => {
  it("is found on the bus, in a slot whose interrupt is not the network card's", async () => {
    const machine = await create();
    expect(machine.slot).toBe(0x0f);
    expect(machine.function.config.read32(0x08) >>> 8).toBe(0x03_8000);
  });

  it("takes what the bus gives it: only bits that can be written change, in any width", async () => {
    const { config } = (await create()).function;
    config.write32(0x00, 0xffff_ffff);
    config.write8(0x3c, 11);
    config.write32(0x04, 0x0000_0007);
    expect(config.read32(0x00)).toBe(0x1050_1af4);
    expect(config.read8(0x3c)).toBe(11);
    // Bus mastering and I/O; it decodes no memory.
    expect(config.read16(0x04)).toBe(0x0005);
  });

  it("has 256 ports, which move where the firmware puts them", async () => {
    const machine = await create();
    const { config } = machine.function;
    config.write32(0x10, 0xffff_ffff);
    expect(config.read32(0x10)).toBe(0xffff_ff01);
    config.write32(0x10, 0xc001);
    expect(config.read32(0x10)).toBe(0xc001);
    // Queue count, in the common configuration.
    expect(machine.ports.port_read16(0xc000 + 18)).toBe(2);
    expect(machine.ports.port_read16(0xe000 + 18)).toBe(0xffff);
  });

  it("shows what a driver draws in v86's memory", async () => {
    const machine = await create();
    await showPicture(machine);
    expect(pixel(machine, 7, 40)).toEqual([0x55, 40, 7, 255]);
    expect(machine.problems).toEqual([]);
  });

  it("goes on when v86's memory has grown and all views of it are dead", async () => {
    const machine = await create();
    await machine.probe();
    const { addresses, size, ring } = firstQueue(machine.gpu.save());
    const [descriptors = 0, , available = 0, , used = 0] = addresses;
    const memory = (machine.cpu as unknown as { wasm_memory: { grow(pages: number): void; buffer: ArrayBuffer } })
      .wasm_memory;
    const old = memory.buffer;
    memory.grow(1);
    expect(old.byteLength).toBe(0);
    // A command by hand: the driver of the core keeps its views, as a driver may whose memory stays where it is.
    const ram = new DataView(memory.buffer, machine.cpu.mem8.subarray(0, 1).byteOffset, MEMORY_BYTES);
    const [request, reply] = [MEMORY_BYTES - 8192, MEMORY_BYTES - 4096];
    ram.setUint32(request, 0x0100, true);
    for (const [at, address, byteLength, flags, next] of [
      [descriptors, request, 24, 1, 1],
      [descriptors + 16, reply, 408, 2, 0],
    ] as const) {
      ram.setUint32(at, address, true);
      ram.setUint32(at + 4, 0, true);
      ram.setUint32(at + 8, byteLength, true);
      ram.setUint16(at + 12, flags, true);
      ram.setUint16(at + 14, next, true);
    }
    ram.setUint16(available + 4 + 2 * (ring.availableIndex % size), 0, true);
    ram.setUint16(available + 2, ring.availableIndex + 1, true);
    machine.ports.port_write16((machine.function.config.read32(0x10) & 0xfffc) + 0x40, 0);
    expect(ram.getUint16(used + 2, true)).toBe((ring.usedIndex + 1) & 0xffff);
    expect(ram.getUint32(reply, true)).toBe(0x1101);
    expect(ram.getUint32(reply + 24 + 8, true)).toBe(1024);
    expect(machine.gpu.stopReason).toBeNull();
  });

  it("tells the guest of another size by an interrupt and an event, once it drives the device", async () => {
    const machine = await create();
    const raised: number[] = [];
    const { pci } = machine.cpu.devices;
    const raise = pci.raise_irq.bind(pci);
    pci.raise_irq = (id) => {
      raised.push(id);
      raise(id);
    };
    const gpu = await machine.probe();
    machine.gpu.resize(0, 800, 600);
    const isr = machine.ports.port_read8((machine.function.config.read32(0x10) & 0xfffc) + 0x80);
    expect(isr & 2).toBe(2);
    expect(machine.gpu.outputs[0]).toMatchObject({ width: 800, height: 600 });
    expect(gpu.outputs.length).toBeGreaterThan(0);
  });

  it("says what a sink throws, once, and the machine goes on", async () => {
    const sink: DisplaySink = {
      scanout: () => {
        throw new Error("the canvas is gone");
      },
      flush: () => {
        throw new Error("the canvas is gone");
      },
      updateCursor: () => {},
      moveCursor: () => {},
      hideCursor: () => {},
    };
    const machine = await create({ sink });
    await showPicture(machine);
    expect(pixel(machine, 1, 1)).toEqual([0x55, 1, 1, 255]);
    expect(machine.problems).toEqual(expect.arrayContaining([expect.stringContaining("the canvas is gone")]));
    expect(machine.problems.length).toBeLessThan(4);
  });

  it("lets nothing that goes wrong inside out to the emulator: the device asks for a reset, and works after it", async () => {
    const machine = await create();
    const { device } = machine.gpu;
    const process = device.process.bind(device);
    Object.defineProperty(device, "process", {
      configurable: true,
      value: () => {
        throw new Error("planted");
      },
    });
    const port = (machine.function.config.read32(0x10) & 0xfffc) + 20;
    const statuses: number[] = [];
    const write = machine.ports.port_write8.bind(machine.ports);
    machine.ports.port_write8 = (at, value) => {
      statuses.push(machine.ports.port_read8(port));
      write(at, value);
    };
    const driver = await machine.probe();
    await expect(
      driver.createBuffer({ width: 64, height: 64 }).then((buffer) => driver.output(0).show(buffer)),
    ).rejects.toThrow();
    machine.ports.port_write8 = write;
    // DEVICE_NEEDS_RESET.
    expect(statuses.some((status) => (status & 0x40) !== 0)).toBe(true);
    expect(machine.problems.join()).toContain("planted");
    Object.defineProperty(device, "process", { configurable: true, value: process });
    await showPicture(machine);
    expect(pixel(machine, 2, 3)).toEqual([0x55, 3, 2, 255]);
  });

  it("refuses a slot that is taken, in a sentence, and leaves the emulator alone", async () => {
    await expect(create({ slot: 1 })).rejects.toThrow("slot 1 of the PCI bus is taken");
  });

  it("says what a v86 lacks that is not the one it was made for", async () => {
    const machine = await create();
    const { cpu } = machine;
    const without = Object.assign(Object.create(cpu), { reboot_internal: undefined });
    const emulator = { add_listener: () => {}, v86: { cpu: without } };
    expect(() => openCpu(emulator)).toThrow(/it has no .*cpu\.reboot_internal.*0\.5\.462 is tested/);
  });

  it("names the versions that its package names", () => {
    const manifest: { peerDependencies: { v86: string }; devDependencies: { v86: string } } = JSON.parse(
      readFileSync(new URL("../package.json", import.meta.url), "utf8"),
    );
    expect(V86_VERSIONS).toEqual({ range: manifest.peerDependencies.v86, tested: manifest.devDependencies.v86 });
  });

  it("refuses what is no emulator", () => {
    expect(() => attachVirtioGpu({} as V86Emulator)).toThrow("an instance of v86's class V86");
  });
});

describe("a saved state of v86", () => {
  it("holds the GPU: a new machine shows the same picture", async () => {
    const machine = await create();
    await showPicture(machine);
    const before = machine.gpu.screenshot(0);
    const state = await machine.emulator.save_state();
    const other = await create({ state });
    expect(other.gpu.screenshot(0)).toEqual(before);
    expect(other.problems).toEqual([]);
    expect(other.function.config.read16(0x04)).toBe(machine.function.config.read16(0x04));
  });

  it("comes back in a machine that runs, by restore_state", async () => {
    const machine = await create();
    await showPicture(machine);
    const before = machine.gpu.screenshot(0);
    const state = await machine.emulator.save_state();
    await showPicture(machine, 100, 80);
    expect(machine.gpu.screenshot(0)?.width).toBe(100);
    await machine.emulator.restore_state(state);
    expect(machine.gpu.screenshot(0)).toEqual(before);
  });

  it("is taken without the GPU where that can't be saved now, which harms neither", async () => {
    const machine = await create();
    await showPicture(machine);
    const { device } = machine.gpu;
    const save = device.save.bind(device);
    device.save = () => {
      throw new Error("not now");
    };
    expect((await machine.emulator.save_state()).byteLength).toBeGreaterThan(0);
    device.save = save;
    expect(machine.problems.join()).toContain("saved without the GPU: not now");
    expect(machine.gpu.stopReason).toBeNull();
    expect(pixel(machine, 7, 40)).toEqual([0x55, 40, 7, 255]);
  });

  it("without the GPU leaves an empty device, and says so", async () => {
    const machine = await create();
    await showPicture(machine);
    const { cpu } = machine;
    const full = cpu.get_state.bind(cpu);
    cpu.get_state = () => {
      const state = full();
      state[500] = undefined;
      return state;
    };
    const other = await create({ state: await machine.emulator.save_state() });
    expect(other.gpu.screenshot(0)).toBeNull();
    expect(other.problems.join()).toContain("holds none of the GPU");
  });

  it("beside v86's own is bytes that are checked before they are used", async () => {
    const machine = await create();
    await showPicture(machine);
    const saved = machine.gpu.save();
    const before = machine.gpu.screenshot(0);
    for (const wrong of [new Uint8Array(0), saved.subarray(0, 40), saved.map((byte, at) => (at === 14 ? 0 : byte))]) {
      expect(() => machine.gpu.restore(wrong)).toThrow(/not a saved state|the saved state is wrong/);
      expect(machine.gpu.screenshot(0)).toEqual(before);
    }
    machine.gpu.restore(saved);
    expect(machine.gpu.screenshot(0)).toEqual(before);
  });
});
