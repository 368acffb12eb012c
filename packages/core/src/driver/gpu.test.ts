/** The driver's main way on a simulated machine: buffers, outputs, cursor, sleep. */
import { describe, expect, it } from "vitest";
import { DriverBench, paint } from "../../test/support/driver-bench.ts";

describe("a driver", () => {
  it("shows a buffer, follows flushes, and gives everything back", async () => {
    const bench = await DriverBench.start({
      device: {
        outputs: [
          { width: 800, height: 600 },
          { width: 640, height: 480 },
        ],
      },
    });
    expect(bench.gpu.outputs).toHaveLength(2);
    expect(bench.gpu.output(0).connector.modes[0]).toMatchObject({ width: 800, height: 600, preferred: true });
    const left = await bench.show(0, 800, 600);
    const right = await bench.show(1, 640, 480);
    bench.expectShown(0, left);
    bench.expectShown(1, right);
    paint(left, 99);
    await bench.run(left.flush());
    bench.expectShown(0, left);
    left.destroy();
    right.destroy();
    await bench.run(bench.gpu.output(0).disable());
    await bench.run(bench.gpu.remove());
    bench.expectNoErrors();
    expect(bench.machine.allocator.allocatedBytes).toBe(0);
  });

  it("brings pictures back on a host that has forgotten them", async () => {
    const bench = await DriverBench.start();
    const shown = await bench.show(0, 800, 600);
    const hidden = await bench.buffer(64, 64);
    const report = await bench.hibernate();
    expect(report).toMatchObject({ restored: 2, lost: [], outputs: 1 });
    bench.expectShown(0, shown);
    await bench.run(bench.gpu.output(0).show(hidden));
    bench.expectShown(0, hidden);
    bench.expectNoErrors();
  });

  it("keeps no timer while it has nothing to do", async () => {
    const bench = await DriverBench.start();
    const shown = await bench.show(0, 64, 48);
    await bench.machine.clock.advance(50);
    expect(bench.machine.clock.timers).toBe(0);
    await bench.hibernate();
    bench.expectShown(0, shown);
    await bench.machine.clock.advance(50);
    expect(bench.machine.clock.timers).toBe(0);
  });

  it("looks for changes of a polled device in the background alone", async () => {
    const bench = await DriverBench.start({ transport: "pci", pci: { interrupts: "polled" } });
    const shown = await bench.show(0, 64, 48);
    const { clock } = bench.machine;
    await clock.advance(250);
    expect([clock.timers, clock.awaitedTimers]).toEqual([1, 0]);
    await bench.hibernate();
    bench.expectShown(0, shown);
    await clock.advance(250);
    expect([clock.timers, clock.awaitedTimers]).toEqual([1, 0]);
  });

  it("moves a cursor that is hidden without waiting for a host that need not know", async () => {
    const bench = await DriverBench.start();
    await bench.run(bench.gpu.output(0).cursor.move(3, 4));
    expect(bench.gpu.output(0).cursor.state).toMatchObject({ object: 0, x: 3, y: 4 });
    const picture = await bench.buffer(64, 64);
    await bench.run(bench.gpu.output(0).cursor.set(picture));
    expect(bench.host.device.save().cursors[0]).toMatchObject({ visible: true, x: 3, y: 4 });
  });
});
