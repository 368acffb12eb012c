import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { GpuError } from "../../base/errors.ts";
import { GuestRam } from "../../memory/guest-ram.ts";
import { VirtioFeature, featureBit } from "../../wire/virtio.ts";
import { LoopbackTransport } from "../loopback.ts";
import { ECHO_FEATURES, ECHO_RAM_BYTES, EchoDriver } from "./echo-driver.ts";
import { EchoModel } from "./echo-model.ts";
import type { VirtioDeviceFeatures } from "./features.ts";
import { VirtioDevice } from "./virtio-device.ts";

const PACKED = featureBit(VirtioFeature.RING_PACKED);

function machine(ram: GuestRam = GuestRam.of(ECHO_RAM_BYTES), features: VirtioDeviceFeatures = { packed: true }) {
  const model = new EchoModel();
  const device = new VirtioDevice({ model, memory: ram, label: "test:echo", features });
  return { ram, model, device };
}

function withDriver(wanted: bigint = ECHO_FEATURES) {
  const parts = machine();
  const transport = new LoopbackTransport(parts.device);
  const driver = new EchoDriver(transport, parts.ram);
  driver.start({ wanted });
  return { ...parts, transport, driver };
}

/** Through text and back: what is not plain data does not survive. */
function throughJson(state: unknown): unknown {
  return JSON.parse(JSON.stringify(state));
}

const moments: ReadonlyMap<string, (parts: ReturnType<typeof withDriver>) => void> = new Map<
  string,
  (parts: ReturnType<typeof withDriver>) => void
>([
  ["reset", ({ device }) => device.reset()],
  ["acknowledged", ({ transport }) => [0, 1].forEach((status) => transport.writeStatus(status))],
  [
    "before DRIVER_OK, kicked",
    ({ driver }) => {
      driver.start({ driverOk: false });
      driver.add("HAL");
      driver.kick();
    },
  ],
  [
    "running, idle",
    ({ driver }) => {
      for (let round = 0; round < 21; round += 1) driver.echo("HAL");
    },
  ],
  [
    "running, chains available",
    ({ driver, device }) => {
      driver.echo("HAL");
      device.setMemoryAccess(false);
      for (let round = 0; round < 5; round += 1) driver.add("HAL");
      driver.kick();
    },
  ],
  [
    "suspended, with a change to tell",
    ({ transport, model }) => {
      transport.writeStatus(31);
      model.host.configChanged();
    },
  ],
  ["needs a reset", ({ device }) => device.needsReset("a test")],
  ["given up on", ({ transport }) => transport.writeStatus(143)],
  ["one queue reset", ({ transport }) => transport.resetQueue(1)],
]);

describe("a saved device", () => {
  for (const wanted of [ECHO_FEATURES, 0n, ECHO_FEATURES | PACKED]) {
    for (const [moment, bring] of moments) {
      it(`is the same after restore: ${moment}, features 0x${wanted.toString(16)}`, () => {
        const before = withDriver(wanted);
        before.model.config[2] = 5;
        bring(before);
        const saved = before.device.save();
        expect(throughJson(saved)).toEqual(saved);
        const after = machine(before.ram);
        after.device.restore(throughJson(saved));
        expect(after.device.save()).toEqual(saved);
        expect([after.device.status, after.device.phase]).toEqual([before.device.status, before.device.phase]);
        // Twice, and over a device that had a life of its own.
        const other = withDriver();
        other.driver.echo("HAL");
        other.device.restore(saved);
        expect(other.device.save()).toEqual(saved);
      });
    }
  }

  it("goes on where it was, in a new process, with the same driver", () => {
    for (const wanted of [ECHO_FEATURES, ECHO_FEATURES | PACKED]) {
      const before = withDriver(wanted);
      for (let round = 0; round < 7; round += 1) expect(before.driver.echo("HAL")).toBe("IBM");
      before.device.setMemoryAccess(false);
      before.driver.add("HAL");
      before.driver.kick();
      const after = machine(before.ram);
      after.device.restore(throughJson(before.device.save()));
      expect(before.driver.take()).toBeNull();
      after.device.resumeWork();
      expect(before.driver.take()).toBe("IBM");
      expect(after.model.accepted).toBe(before.driver.features);
    }
  });

  it("tells after resume of a change that came before the save", () => {
    const before = withDriver();
    before.transport.writeStatus(31);
    before.model.host.configChanged();
    const after = machine(before.ram);
    const interrupts: unknown[] = [];
    after.device.setInterruptSink((source) => interrupts.push(source));
    after.device.restore(before.device.save());
    expect(interrupts).toEqual([]);
    after.device.writeStatus(15);
    expect(interrupts).toEqual(["config"]);
  });

  it("can't be had, or replaced, from inside processing", () => {
    const { driver, device, model } = withDriver();
    const saved = device.save();
    model.onChain = () => {
      expect(() => device.save()).toThrow(/EBUSY/);
      expect(() => device.restore(saved)).toThrow(/EBUSY/);
    };
    expect(driver.echo("HAL")).toBe("IBM");
  });
});

describe("a hostile state", () => {
  const queue = (change: object) => (state: Plain) => ({
    ...state,
    queues: [{ ...state.queues[0], ...change }, state.queues[1]],
  });
  const ring = (change: object) => (state: Plain) => queue({ ring: { ...state.queues[0]?.ring, ...change } })(state);
  interface Plain {
    readonly queues: readonly { readonly ring: object }[];
    readonly driverFeatures: readonly number[];
  }
  const corruptions: ReadonlyMap<string, (state: Plain) => unknown> = new Map<string, (state: Plain) => unknown>([
    ["nothing", () => undefined],
    ["a list", () => []],
    ["another version", (state) => ({ ...state, version: 2 })],
    ["another device", (state) => ({ ...state, deviceId: 2 })],
    ["a status with an unknown bit", (state) => ({ ...state, status: 15 | 32 })],
    ["a status that can't be reached", (state) => ({ ...state, status: 5 })],
    ["a status of 9 bits", (state) => ({ ...state, status: 256 + 15 })],
    ["NEEDS_RESET at work", (state) => ({ ...state, status: 15 | 64 })],
    ["stopped for no reason", (state) => ({ ...state, stopped: true })],
    ["a reason that is no text", (state) => ({ ...state, stopReason: 7 })],
    [
      "features that are not offered",
      (state) => ({ ...state, driverFeatures: [...state.driverFeatures.slice(0, 3), 1] }),
    ],
    ["no VERSION_1", (state) => ({ ...state, driverFeatures: [0, 0, 0, 0] })],
    ["too few feature words", (state) => ({ ...state, driverFeatures: [0, 1] })],
    ["a fractional feature word", (state) => ({ ...state, driverFeatures: [0.5, 1, 0, 0] })],
    ["SUSPEND that was not negotiated", (state) => ({ ...state, status: 27, driverFeatures: [0, 1, 0, 0] })],
    ["a negative generation", (state) => ({ ...state, configGeneration: -1 })],
    ["a change that waits for no resume", (state) => ({ ...state, configPending: true })],
    ["no queues", (state) => ({ ...state, queues: [] })],
    ["queues that are no list", (state) => ({ ...state, queues: { length: 2 } })],
    ["a queue above its maximum", queue({ size: 128 })],
    ["a queue of no power of two", queue({ size: 12 })],
    ["a queue outside memory", queue({ addresses: [0, 1, 0, 1, 0, 1] })],
    ["a queue off its alignment", queue({ addresses: [8, 0, 0x2000, 0, 0x3000, 0] })],
    ["an enabled queue without a ring", queue({ ring: null })],
    ["a ring of a queue that is not enabled", queue({ enabled: false })],
    ["enabled that is neither", queue({ enabled: 1 })],
    ["a kick without a ring", queue({ ring: null, enabled: false, kicked: true })],
    ["more in flight than the queue has", ring({ usedIndex: 0x8000 })],
    ["an index of 17 bits", ring({ availableIndex: 0x1_0000 })],
    ["an index that is no number", ring({ availableIndex: "1" })],
    ["a wrap counter that is none", ring({ usedWrap: 0 })],
    ["queues enabled before FEATURES_OK", (state) => ({ ...state, status: 3 })],
    ["a model's state that the model refuses", (state) => ({ ...state, model: { config: [1] } })],
  ]);
  for (const [what, corrupt] of corruptions) {
    it(`is refused, and nothing changes: ${what}`, () => {
      const { driver, device } = withDriver();
      driver.echo("HAL");
      const saved = device.save();
      const hostile = corrupt(JSON.parse(JSON.stringify(saved)));
      const restore = (): void => device.restore(hostile);
      expect(restore).toThrow(GpuError);
      expect(restore).toThrow(/EINVAL/);
      expect(device.save()).toEqual(saved);
      expect(driver.echo("HAL")).toBe("IBM");
    });
  }

  it("of a host with more features is refused by one with fewer", () => {
    const { device, ram } = withDriver();
    const poor = machine(ram, { suspend: false });
    expect(() => poor.device.restore(device.save())).toThrow(/not offered here.*EINVAL/);
    expect(poor.device.status).toBe(0);
  });
});

describe("the field audit", () => {
  it("names every field of the device, and no other", () => {
    const source = readFileSync(new URL("virtio-device.ts", import.meta.url), "utf8");
    const audit = source.slice(0, source.indexOf("*/"));
    const body = source.slice(source.indexOf("export class VirtioDevice"));
    const declared = [...body.matchAll(/^ {2}(?:readonly )?(#?\w+)(?::| =)[^\n]*;$/gm)].map(([, name]) => name);
    const audited = [...audit.matchAll(/^ \* \| ([^|-]+) \|/gm)].flatMap(([, names]) =>
      (names ?? "").trim().split(/, /),
    );
    expect(new Set(declared)).toEqual(new Set(audited.filter((name) => name !== "field")));
  });
});
