/** A text console over sleeps, with the real driver: nothing of a deleted ring is touched, and no text is lost. */
import { describe, expect, it } from "vitest";
import { DriverBench } from "../support/driver-bench.ts";

const device = { outputs: [{ width: 320, height: 200 }] };

async function start() {
  const bench = await DriverBench.start({ device, watchRings: true });
  const terminal = await bench.run(bench.gpu.createConsole(bench.gpu.output(0)));
  terminal.write("before\n");
  await bench.run(terminal.buffer.flush());
  return { bench, terminal };
}

describe("a text console", () => {
  it("shows text, and the last words of a panic without waiting", async () => {
    const { bench, terminal } = await start();
    bench.expectShown(0, terminal.buffer);
    terminal.panic("panic: out of tea\n");
    bench.expectShown(0, terminal.buffer);
    expect(terminal.text()).toContain("panic: out of tea");
    await bench.run(terminal.buffer.flush());
    bench.expectNoErrors();
  });

  it("R-38 (a) console and panic output while frozen touches no ring", async () => {
    const { bench, terminal } = await start();
    await bench.freeze();
    const commands = bench.host.commands.count;
    bench.machine.rings?.arm();
    terminal.write("written while frozen\n");
    terminal.panic("panicked while frozen\n");
    await bench.machine.clock.advance(20_000);
    // Pixels are copied into guest memory; rings are reached through windows of their own.
    const rings = bench.machine.rings?.accesses.filter(({ by }) => by !== "copy");
    expect(rings).toEqual([]);
    expect(bench.host.commands.count).toBe(commands);
  });

  it("R-38 (a) panic output neither blocks nor submits while the host hangs with a full queue", async () => {
    const { bench, terminal } = await start();
    bench.host.transport.faults.swallowKicks = true;
    const waiting = Array.from({ length: 200 }, () =>
      bench.gpu.createBuffer({ width: 16, height: 16 }).catch(() => null),
    );
    await bench.machine.clock.advance(6000);
    expect(bench.gpu.isHung).toBe(true);
    terminal.panic("nobody hears\n");
    expect(terminal.text()).toContain("nobody hears");
    await bench.run(Promise.all(waiting));
    bench.host.resume();
    await bench.machine.clock.advance(1000);
    await bench.run(terminal.buffer.flush());
    bench.expectShown(0, terminal.buffer);
  });

  it("R-38 (b) text written while frozen appears after the thaw by itself", async () => {
    const { bench, terminal } = await start();
    await bench.freeze();
    terminal.write("written while frozen\n");
    terminal.panic("panicked while frozen\n");
    bench.replaceHost();
    await bench.restore();
    bench.expectShown(0, terminal.buffer);
    expect(terminal.text()).toMatch(/before\s+written while frozen\s+panicked while frozen/);
    bench.expectNoErrors();
  });
});
