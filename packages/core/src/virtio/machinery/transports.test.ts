// Every way to reach a device, with the real drivers of both sides, on the echo device.
import { describe, expect, it } from "vitest";
import { GuestRam } from "../../memory/guest-ram.ts";
import { VirtioFeature, featureBit } from "../../wire/virtio.ts";
import { resetQueue, resumeDevice, suspendDevice } from "../bring-up.ts";
import { LoopbackTransport } from "../loopback.ts";
import { MmioRegisters } from "../mmio/registers.ts";
import { MmioTransport } from "../mmio/transport.ts";
import { PciFunction, type PciFunctionOptions } from "../pci/function.ts";
import { PciTransport } from "../pci/transport.ts";
import type { Transport } from "../transport.ts";
import { ECHO_FEATURES, ECHO_RAM_BYTES, EchoDriver } from "./echo-driver.ts";
import { EchoModel } from "./echo-model.ts";
import { VirtioDevice } from "./virtio-device.ts";

const SHARED_AT = 0x1_0000_0000;

interface Setup {
  readonly transport: Transport;
  readonly hasSharedMemory: boolean;
}

type Face = (device: VirtioDevice, shared: Uint8Array) => Setup;

function pci(options: Omit<PciFunctionOptions, "device">, window: "bars" | "pci-cfg"): Face {
  return (device) => {
    const access = new PciFunction({ device, ...options });
    return { transport: PciTransport.open(access, { window }), hasSharedMemory: options.bars !== "io" };
  };
}

const faces: ReadonlyMap<string, Face> = new Map<string, Face>([
  ["loopback", (device) => ({ transport: new LoopbackTransport(device), hasSharedMemory: true })],
  ["PCI, memory BARs, MSI-X", pci({}, "bars")],
  ["PCI, memory BARs, INTx", pci({ msix: false }, "bars")],
  ["PCI, conventional", pci({ express: false }, "bars")],
  ["PCI, I/O ports", pci({ bars: "io" }, "bars")],
  ["PCI_CFG, memory BARs", pci({}, "pci-cfg")],
  ["PCI_CFG, I/O ports", pci({ bars: "io" }, "pci-cfg")],
  [
    "MMIO",
    (device, shared) => {
      const registers = new MmioRegisters({ device, sharedMemoryAddresses: new Map([[1, SHARED_AT]]) });
      const transport = MmioTransport.open({
        label: device.label,
        registers,
        interrupts: registers.interrupts,
        sharedMemoryView: (address, byteLength) =>
          shared.subarray(address - SHARED_AT, address - SHARED_AT + byteLength),
      });
      return { transport, hasSharedMemory: true };
    },
  ],
]);

const immediate = { nowMs: () => 0, after: () => () => {}, defer: () => {} };
const PACKED = featureBit(VirtioFeature.RING_PACKED);
const NOTIFICATION_DATA = featureBit(VirtioFeature.NOTIFICATION_DATA);
const ringKinds = [
  ["split", ECHO_FEATURES],
  ["split, bare", 0n],
  ["split, notification data", ECHO_FEATURES | NOTIFICATION_DATA],
  ["packed", ECHO_FEATURES | PACKED],
  ["packed, notification data", ECHO_FEATURES | PACKED | NOTIFICATION_DATA],
] as const;

for (const [name, face] of faces) {
  const setUp = () => {
    const ram = GuestRam.of(ECHO_RAM_BYTES);
    const shared = new Uint8Array(8192);
    const model = new EchoModel({ sharedMemory: [{ id: 1, bytes: shared }] });
    const features = { packed: true, notificationData: true };
    const device = new VirtioDevice({ model, memory: ram, label: "0000:00:02.0", features });
    const setup = face(device, shared);
    return { ...setup, model, device, shared, driver: new EchoDriver(setup.transport, ram) };
  };

  describe(`over ${name}`, () => {
    for (const [rings, wanted] of ringKinds) {
      it(`buffers go there and back, with interrupts (${rings})`, () => {
        const { driver, transport } = setUp();
        driver.start({ wanted });
        expect(transport.readStatus()).toBe(15);
        for (let round = 0; round < 40; round += 1) {
          expect(driver.echo(`HAL${round % 9}`)).toBe(`IBM${String.fromCharCode((round % 9) + 49)}`);
        }
        expect(driver.echo("HAL", 1)).toBe("IBM");
        const interrupts = [...driver.interrupts.values()].reduce((sum, count) => sum + count, 0);
        expect(interrupts).toBeGreaterThanOrEqual(41);
      });

      it(`32 buffers are carried by one kick (${rings})`, () => {
        const { driver, model } = setUp();
        driver.start({ wanted, size: 64 });
        driver.queues[0]?.enableInterrupts();
        const count = driver.queues[0]?.size === 64 && wanted !== 0n ? 32 : 16;
        for (let index = 0; index < count; index += 1) expect(driver.add(`${index}`)).toBeGreaterThanOrEqual(0);
        driver.kick();
        expect(model.echoed).toBe(count);
        for (let index = 0; index < count; index += 1) expect(driver.take()).not.toBeNull();
        expect(driver.take()).toBeNull();
      });
    }

    it("configuration is read and written, and its changes are told", () => {
      const { driver, transport, model } = setUp();
      driver.start();
      transport.config.write32(4, 0x8765_4321);
      expect(transport.config.read32(4)).toBe(0x8765_4321);
      expect(transport.config.read8(7)).toBe(0x87);
      const generation = transport.config.generation();
      model.host.configChanged();
      expect(transport.config.generation()).not.toBe(generation);
      expect(driver.configInterrupts).toBe(1);
    });

    it("queues read back as enabled, and reset one by one", async () => {
      const { driver, transport } = setUp();
      driver.start();
      const { addresses } = transport.readQueue(0);
      expect(transport.readQueue(0).enabled).toBe(true);
      if (addresses !== null) expect(addresses).toEqual(driver.queues[0]?.addresses);
      await resetQueue(transport, 0, immediate, 0);
      expect(transport.readQueue(0).enabled).toBe(false);
      expect(driver.echo("HAL", 1)).toBe("IBM");
      driver.openQueue(0, 8);
      expect(driver.echo("HAL")).toBe("IBM");
    });

    it("a suspended device keeps what it has, and goes on", async () => {
      const { driver, transport } = setUp();
      driver.start();
      await suspendDevice(transport, immediate, 0);
      expect(transport.readStatus()).toBe(27);
      expect(driver.echo("HAL")).toBeNull();
      await resumeDevice(transport, immediate, 0);
      expect(driver.take()).toBe("IBM");
    });

    it("a broken ring stops the device, which says so, until it is reset", () => {
      const { driver, transport, device } = setUp();
      driver.start();
      driver.transport.notify(0);
      device.needsReset("a test");
      expect(transport.readStatus()).toBe(15 | 64);
      expect(driver.configInterrupts).toBe(1);
      expect(driver.echo("HAL")).toBeNull();
      driver.start();
      expect(driver.echo("HAL")).toBe("IBM");
    });

    it("shared memory is the model's", () => {
      const { transport, shared, hasSharedMemory } = setUp();
      const region = transport.sharedMemory(1);
      expect(transport.sharedMemory(2)).toBeNull();
      expect(region?.byteLength).toBe(hasSharedMemory ? 8192 : undefined);
      region?.view(4096, 4)?.fill(9);
      expect(shared[4096]).toBe(hasSharedMemory ? 9 : 0);
    });
  });
}
