import { describe, expect, it } from "vitest";
import { GuestRam } from "../memory/guest-ram.ts";
import { LoopbackTransport } from "./loopback.ts";
import { ECHO_RAM_BYTES, EchoDriver } from "./machinery/echo-driver.ts";
import { EchoModel } from "./machinery/echo-model.ts";
import type { VirtioDeviceFeatures } from "./machinery/features.ts";
import { VirtioDevice } from "./machinery/virtio-device.ts";

function loopback(features: VirtioDeviceFeatures = {}) {
  const ram = GuestRam.of(ECHO_RAM_BYTES);
  const shared = new Uint8Array(4096);
  const model = new EchoModel({ sharedMemory: [{ id: 1, bytes: shared }] });
  const device = new VirtioDevice({ model, memory: ram, label: "test:echo", features });
  const transport = new LoopbackTransport(device);
  return { ram, shared, model, device, transport, driver: new EchoDriver(transport, ram) };
}

describe("a loopback transport", () => {
  it("brings a device up and carries buffers there and back", () => {
    const { driver, model, transport } = loopback();
    driver.start();
    expect(transport.readStatus()).toBe(15);
    expect(model.accepted).toBe(driver.features);
    expect(driver.echo("HAL")).toBe("IBM");
    expect(driver.echo("HAL", 1)).toBe("IBM");
    expect([...driver.interrupts]).toEqual([
      [0, 1],
      [1, 1],
    ]);
  });

  it("reads queues back as they were written", () => {
    const { driver, transport } = loopback();
    driver.start();
    expect(transport.readQueue(0)).toEqual({ enabled: true, addresses: driver.queues[0]?.addresses });
    expect(transport.queueSizeMax(0)).toBe(64);
    expect(transport.queueSizeMax(2)).toBe(0);
    expect(transport.readQueue(2)).toEqual({ enabled: false, addresses: null });
  });

  it("maps shared memory, inside its bounds", () => {
    const { transport, shared } = loopback();
    const region = transport.sharedMemory(1);
    const view = region?.view(4, 8);
    view?.fill(7);
    expect([...shared.subarray(3, 13)]).toEqual([0, 7, 7, 7, 7, 7, 7, 7, 7, 0]);
    expect(region?.view(4090, 8)).toBeNull();
    expect(region?.view(-1, 1)).toBeNull();
    expect(transport.sharedMemory(2)).toBeNull();
  });

  it("lets the device touch no memory between detach and reattach", () => {
    const { driver, transport } = loopback();
    driver.start();
    transport.detach();
    expect(driver.echo("HAL")).toBeNull();
    transport.reattach();
    expect(driver.take()).toBe("IBM");
  });

  it("ends every access with ENODEV once unplugged", () => {
    const { driver, transport } = loopback();
    driver.start();
    transport.unplug();
    const accesses = [
      () => transport.readStatus(),
      () => transport.writeStatus(0),
      () => transport.config.read32(0),
      () => transport.notify(0),
      () => transport.reattach(),
      () => transport.readQueue(0),
    ];
    for (const access of accesses) expect(access).toThrow(/unplugged.*ENODEV/);
  });
});
