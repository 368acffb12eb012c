/** The fate of commands: slots, arena, deadlines, quarantine, drain, end. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CommandBench, OwnerLog, okReply } from "../../../test/support/command-bench.ts";
import { GpuError } from "../../base/errors.ts";
import { Chain } from "../../virtio/queue.ts";
import { GpuCommand, GpuReply } from "../../wire/index.ts";

const gone = new GpuError("ESTALE", "the session is over");

/** What a promise came to so far. */
function outcomeOf(work: Promise<unknown>): { value: string } {
  const outcome = { value: "pending" };
  work.then(
    () => (outcome.value = "resolved"),
    (error: unknown) => (outcome.value = error instanceof GpuError ? error.code : String(error)),
  );
  return outcome;
}

describe.each([
  ["split, indirect", {}],
  ["split, direct", { indirect: false }],
  ["packed, indirect", { packed: true }],
  ["packed, direct", { packed: true, indirect: false }],
])("a command queue (%s)", (_, options) => {
  it("carries a request in place, and its reply to its owner, once", () => {
    const bench = new CommandBench(options);
    const owner = new OwnerLog();
    expect(bench.send(owner, { step: 7, object: 3, fill: 0xabcd })).toBe(true);
    expect(bench.told).toEqual(["kick"]);
    const chain = bench.take();
    expect(Array.from(bench.request(chain ?? (new Error("nothing") as never))).slice(6)).toEqual(Array(6).fill(0xabcd));
    bench.complete(chain, okReply());
    expect(owner.events).toEqual(["replied 7"]);
    expect(owner.replies[0]).toMatchObject({ type: GpuReply.OK_NODATA, byteLength: 24, error: null });
    bench.queue.process();
    expect(owner.events).toHaveLength(1);
    expect([bench.queue.outstanding, bench.queue.quiet]).toEqual([0, true]);
  });

  it("takes as many commands as it has slots, in any order of answers, for ever", () => {
    const bench = new CommandBench(options);
    const { slotCount } = bench.queue;
    for (let round = 0; round < 40; round += 1) {
      const owners = Array.from({ length: slotCount }, () => new OwnerLog());
      for (const [index, owner] of owners.entries()) expect(bench.submit(owner, { step: index })).toBe(true);
      expect(bench.queue.room).toBe(0);
      expect(bench.submit(new OwnerLog())).toBe(false);
      bench.queue.kick();
      const chains = bench.takeAll();
      expect(chains).toHaveLength(slotCount);
      if (round % 2 === 1) chains.reverse();
      for (const chain of chains) bench.answer(chain);
      bench.queue.process();
      for (const [index, owner] of owners.entries()) expect(owner.events).toEqual([`replied ${index}`]);
      expect(bench.queue.room).toBe(slotCount);
    }
  });

  it("matches each answer to its owner, whatever the order and the sizes", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ large: fc.boolean(), largeReply: fc.boolean(), pick: fc.nat() }), { maxLength: 60 }),
        (plan) => {
          const bench = new CommandBench({ ...options, arenaBytes: 2048 });
          const inFlight: { chain: Chain; owner: OwnerLog; mark: number }[] = [];
          const finish = (pick: number): void => {
            const [one] = inFlight.splice(pick % inFlight.length, 1);
            if (one === undefined) return;
            // The request is still what it was, and the reply lands with its owner alone.
            expect(bench.request(one.chain)[6]).toBe(one.mark);
            bench.complete(one.chain, okReply(GpuReply.OK_NODATA, { more: [one.mark] }));
            expect(one.owner.events).toEqual([`replied ${one.mark}`]);
            expect(one.owner.replies[0]?.words[6]).toBe(one.mark);
          };
          for (const [mark, { large, largeReply, pick }] of plan.entries()) {
            const owner = new OwnerLog();
            const requestBytes = large ? 600 : 48;
            const isSent = bench.send(owner, {
              requestBytes,
              replyBytes: largeReply ? 400 : 28,
              step: mark,
              fill: mark,
            });
            if (isSent) inFlight.push({ chain: bench.take(), owner, mark });
            else finish(pick);
            if (pick % 3 === 0 && inFlight.length > 0) finish(pick);
          }
          while (inFlight.length > 0) finish(0);
          expect([bench.queue.outstanding, bench.queue.room]).toEqual([0, bench.queue.slotCount]);
          // The arena is empty again: all of it can be had.
          expect(bench.send(new OwnerLog(), { requestBytes: 2048 })).toBe(true);
        },
      ),
      { numRuns: 15 },
    );
  });
});

describe("the arena", () => {
  it("holds what does not fit a slot, until its last user is back", () => {
    const bench = new CommandBench({ arenaBytes: 1024 });
    const [first, second, third] = [new OwnerLog(), new OwnerLog(), new OwnerLog()];
    expect(bench.send(first, { requestBytes: 512 })).toBe(true);
    expect(bench.send(second, { replyBytes: 512, type: GpuCommand.GET_CAPSET })).toBe(true);
    expect(bench.send(third, { requestBytes: 168 })).toBe(false);
    // A small command finds its slot all the same.
    expect(bench.send(third)).toBe(true);
    const chains = bench.takeAll();
    bench.complete(chains[0]);
    expect(bench.submit(new OwnerLog(), { requestBytes: 168 })).toBe(false);
    bench.complete(chains[1], okReply(GpuReply.OK_CAPSET, { more: Array.from({ length: 122 }, () => 9) }));
    expect(second.replies[0]).toMatchObject({ byteLength: 512, error: null });
    expect(second.replies[0]?.words.at(-1)).toBe(9);
    expect(bench.submit(new OwnerLog(), { requestBytes: 1024 })).toBe(true);
  });

  it("gives back the request's part where there is none for the reply", () => {
    const bench = new CommandBench({ arenaBytes: 1024 });
    expect(bench.submit(new OwnerLog(), { requestBytes: 600, replyBytes: 600 })).toBe(false);
    expect(bench.queue.room).toBe(bench.queue.slotCount);
    expect(bench.submit(new OwnerLog(), { requestBytes: 1024 })).toBe(true);
  });

  it("is not there on every queue", () => {
    const bench = new CommandBench({ arenaBytes: 0 });
    expect(bench.queue.largestBytes).toBeLessThan(600);
    expect(bench.submit(new OwnerLog(), { requestBytes: 600 })).toBe(false);
    expect(bench.submit(new OwnerLog(), { replyBytes: 600 })).toBe(false);
    expect(bench.submit(new OwnerLog())).toBe(true);
  });

  it("keeps a reply for its owner, who may look at it later than the next one comes", () => {
    const bench = new CommandBench({ arenaBytes: 1024 });
    const owner = new OwnerLog();
    for (const value of [1, 2]) {
      bench.send(owner, { replyBytes: 200, type: GpuCommand.GET_CAPSET });
      bench.complete(bench.take(), okReply(GpuReply.OK_CAPSET, { more: Array.from({ length: 44 }, () => value) }));
    }
    expect(owner.replies.map(({ words }) => words.at(-1))).toEqual([1, 2]);
  });
});

describe("deadlines", () => {
  it("count from the batch's first command, and hang the queue", async () => {
    const bench = new CommandBench({ deadlineMs: 100 });
    const [early, late] = [new OwnerLog(), new OwnerLog()];
    bench.send(early, { step: 1 });
    await bench.clock.advance(60);
    bench.send(late, { step: 2 });
    await bench.clock.advance(39);
    expect(early.events).toEqual([]);
    await bench.clock.advance(1);
    expect([early.events, late.events]).toEqual([["expired 1: ETIMEDOUT"], []]);
    expect(bench.told.slice(2)).toEqual(["hung: ETIMEDOUT"]);
    expect([bench.queue.hung, bench.queue.room]).toEqual([true, 0]);
    expect(bench.submit(new OwnerLog())).toBe(false);
    await bench.clock.advance(60);
    // The second to be late is no second hang.
    expect(late.events).toEqual(["expired 2: ETIMEDOUT"]);
    expect(bench.told.slice(2)).toEqual(["hung: ETIMEDOUT"]);
    await bench.clock.advance(10_000);
    expect([early.events.length, late.events.length]).toEqual([1, 1]);
    expect(bench.clock.timers).toBe(0);
  });

  it("look at the ring before they give up: the interrupt may have been lost", async () => {
    const bench = new CommandBench({ deadlineMs: 100 });
    const owner = new OwnerLog();
    bench.send(owner, { step: 4 });
    bench.answer(bench.take());
    await bench.clock.advance(100);
    expect(owner.events).toEqual(["replied 4"]);
    expect(bench.queue.hung).toBe(false);
  });

  it("R-01 (a) leave the ring of a drained queue alone", async () => {
    const bench = new CommandBench({ deadlineMs: 100 });
    bench.send(new OwnerLog());
    // So late that the watchdog goes off before it is taken off.
    await bench.clock.advance(95);
    bench.complete(bench.take());
    let looks = 0;
    const { ring } = bench;
    const pop = ring.pop.bind(ring);
    ring.pop = () => {
      looks += 1;
      return pop();
    };
    await bench.clock.advance(1000);
    expect([looks, bench.clock.timers]).toEqual([0, 0]);
  });

  it("are watched by no timer once all are answered, nor by one timer each", async () => {
    const bench = new CommandBench({ deadlineMs: 5000 });
    let timers = 0;
    const after = bench.clock.after.bind(bench.clock);
    bench.clock.after = (delayMs, callback) => {
      timers += 1;
      return after(delayMs, callback);
    };
    for (let round = 0; round < 1000; round += 1) {
      bench.send(new OwnerLog());
      bench.complete(bench.take());
    }
    expect(timers).toBeLessThanOrEqual(2);
    expect(bench.clock.timers).toBeGreaterThan(0);
    await bench.clock.advance(50);
    expect(bench.clock.timers).toBe(0);
    // The watch begins anew with the next one, and lasts as long as it needs it.
    const owner = new OwnerLog();
    bench.send(owner);
    await bench.clock.advance(4999);
    expect(owner.events).toEqual([]);
    await bench.clock.advance(1);
    expect(owner.events).toEqual(["expired 0: ETIMEDOUT"]);
  });

  it("stay watched while others come and go", async () => {
    const bench = new CommandBench({ deadlineMs: 100 });
    bench.send(new OwnerLog());
    bench.complete(bench.take());
    await bench.clock.advance(5);
    const owner = new OwnerLog();
    bench.send(owner);
    await bench.clock.advance(99);
    expect(owner.events).toEqual([]);
    await bench.clock.advance(1);
    expect(owner.events).toEqual(["expired 0: ETIMEDOUT"]);
  });

  it("R-08 (a) do not lose a late answer: its owner hears it, and the queue is alive again", async () => {
    const bench = new CommandBench({ deadlineMs: 100 });
    const owner = new OwnerLog();
    bench.send(owner, { step: 5 });
    const chain = bench.take();
    await bench.clock.advance(5000);
    expect(owner.events).toEqual(["expired 5: ETIMEDOUT"]);
    // In quarantine until then: request and place of the reply are untouched, whatever is asked meanwhile.
    expect(bench.request(chain)[0]).toBe(GpuCommand.RESOURCE_FLUSH);
    bench.complete(chain);
    expect(owner.events).toEqual(["expired 5: ETIMEDOUT", "replied 5"]);
    expect(bench.told.slice(-2)).toEqual(["alive", "room"]);
    expect([bench.queue.hung, bench.queue.room]).toEqual([false, bench.queue.slotCount]);
  });

  it("keep a slot in quarantine while others come and go", async () => {
    const bench = new CommandBench({ size: 2, deadlineMs: 100 });
    const stuck = new OwnerLog();
    bench.send(stuck, { step: 1, fill: 0x5a5a });
    const chain = bench.take();
    await bench.clock.advance(100);
    const other = new OwnerLog();
    expect(bench.send(other)).toBe(false);
    // Another buffer comes back: the host lives, but owes us one.
    const bench2 = new CommandBench({ size: 2, deadlineMs: 100 });
    const [lost, found] = [new OwnerLog(), new OwnerLog()];
    bench2.send(lost, { step: 1, fill: 0x5a5a });
    bench2.send(found, { step: 2 });
    const [first, second] = bench2.takeAll();
    await bench2.clock.advance(100);
    bench2.complete(second);
    expect([bench2.queue.hung, bench2.queue.room]).toEqual([false, 1]);
    for (let round = 0; round < 20; round += 1) {
      bench2.send(found, { step: round, fill: round });
      bench2.complete(bench2.take());
    }
    expect(bench2.request(first ?? new Chain())[6]).toBe(0x5a5a);
    expect(lost.events).toEqual(["expired 1: ETIMEDOUT"]);
    expect(bench.request(chain)[6]).toBe(0x5a5a);
  });
});

describe("a drain", () => {
  it("R-02 is over when the last buffer is back and the worker rests, not before", async () => {
    const bench = new CommandBench();
    const owner = new OwnerLog();
    bench.send(owner);
    const drained = outcomeOf(bench.queue.drain(1000));
    const seen: [number, boolean, string][] = [];
    owner.onReplied = () => {
      // The worker stands right behind the last buffer.
      const asked = outcomeOf(bench.queue.drain(1000));
      seen.push([bench.queue.outstanding, bench.queue.quiet, asked.value]);
    };
    await bench.clock.settle();
    expect(drained.value).toBe("pending");
    bench.answer(bench.take());
    await bench.clock.settle();
    // The host is done, the worker has not run yet.
    expect(drained.value).toBe("pending");
    bench.queue.process();
    expect(seen).toEqual([[0, false, "pending"]]);
    await bench.clock.settle();
    expect(drained.value).toBe("resolved");
    expect(bench.queue.quiet).toBe(true);
  });

  it("R-02 asked for in the middle of the worker waits for it", async () => {
    const bench = new CommandBench();
    const [first, second] = [new OwnerLog(), new OwnerLog()];
    let asked: { value: string } | null = null;
    bench.send(first);
    const chain = bench.take();
    first.onReplied = () => {
      asked = outcomeOf(bench.queue.drain(1000));
      // What a completion brings with it belongs to what is waited for.
      bench.send(second);
    };
    bench.complete(chain);
    await bench.clock.settle();
    expect(asked).toEqual({ value: "pending" });
    bench.complete(bench.take());
    await bench.clock.settle();
    expect(asked).toEqual({ value: "resolved" });
  });

  it("R-04 asks for nothing outstanding, not for free slots", async () => {
    for (const slotCount of [1, 2, 3]) {
      const bench = new CommandBench({ size: 8, slotCount });
      const owner = new OwnerLog();
      while (bench.submit(owner));
      bench.queue.kick();
      const drained = outcomeOf(bench.queue.drain(1000));
      for (const chain of bench.takeAll()) bench.complete(chain);
      await bench.clock.settle();
      expect(drained.value).toBe("resolved");
    }
  });

  it("R-06 (a) gives up after its time, and then waits no more", async () => {
    const bench = new CommandBench({ deadlineMs: 100 });
    bench.send(new OwnerLog());
    const drained = outcomeOf(bench.queue.drain(500));
    await bench.clock.advance(499);
    expect(drained.value).toBe("pending");
    await bench.clock.advance(1);
    expect(drained.value).toBe("ETIMEDOUT");
    bench.complete(bench.take());
    await expect(bench.queue.drain(0)).resolves.toBeUndefined();
    expect(bench.clock.timers).toBe(0);
  });
});

describe("the end", () => {
  it("tells every owner once, and every drain", async () => {
    const bench = new CommandBench({ deadlineMs: 100 });
    const owners = [new OwnerLog(), new OwnerLog(), new OwnerLog()];
    for (const owner of owners) bench.send(owner);
    const [first] = bench.takeAll();
    bench.complete(first);
    const drained = outcomeOf(bench.queue.drain(1000));
    bench.queue.close(gone);
    bench.queue.close(new GpuError("EIO", "again"));
    await bench.clock.settle();
    expect(owners.map(({ events }) => events)).toEqual([["replied 0"], ["ended 0: ESTALE"], ["ended 0: ESTALE"]]);
    expect(drained.value).toBe("ESTALE");
    await expect(bench.queue.drain(10)).rejects.toBe(gone);
    expect(bench.clock.timers).toBe(0);
  });

  it("R-01 (a) is the end of every access to the ring", async () => {
    const bench = new CommandBench({ deadlineMs: 100 });
    const owner = new OwnerLog();
    bench.send(owner);
    const chain = bench.take();
    bench.queue.close(gone);
    bench.answer(chain);
    const before = bench.ram.view(0, 0x3_0000).slice();
    bench.queue.process();
    expect(bench.queue.kick()).toBe(false);
    expect(bench.submit(new OwnerLog())).toBe(false);
    await bench.clock.advance(1000);
    expect(owner.events).toEqual(["ended 0: ESTALE"]);
    expect(Buffer.compare(before, bench.ram.view(0, 0x3_0000))).toBe(0);
  });

  it("R-01 (a) may come from within a completion: nothing more is taken", () => {
    const bench = new CommandBench();
    const owners = [new OwnerLog(), new OwnerLog()];
    for (const owner of owners) bench.send(owner);
    for (const chain of bench.takeAll()) bench.answer(chain);
    const [first, second] = owners;
    if (first !== undefined) first.onReplied = () => bench.queue.close(gone);
    let pops = 0;
    const pop = bench.ring.pop.bind(bench.ring);
    bench.ring.pop = () => {
      pops += 1;
      return pop();
    };
    bench.queue.process();
    expect([pops, first?.events, second?.events]).toEqual([1, ["replied 0"], ["ended 0: ESTALE"]]);
    expect(bench.told.filter((what) => what !== "kick")).toEqual([]);
  });

  it("does not come of an owner that throws: the others are heard", () => {
    const bench = new CommandBench();
    const [bad, good] = [new OwnerLog(), new OwnerLog()];
    bench.send(bad);
    bench.send(good);
    bad.onReplied = () => {
      throw new Error("a bug of the owner's");
    };
    for (const chain of bench.takeAll()) bench.answer(chain);
    expect(() => bench.queue.process()).toThrow("a bug");
    bench.queue.process();
    expect(good.events).toEqual(["replied 0"]);
    expect(bench.queue.quiet).toBe(true);
  });
});

describe("a device that breaks the ring's rules", () => {
  it.each([
    ["returns a buffer twice", [0, 0], 24],
    ["returns a buffer that is not with it", [5], 24],
    ["returns a buffer that can't be", [77], 24],
    ["claims to have written more than there was room for", [0], 25],
  ])("ends the session when it %s", (_, ids, byteLength) => {
    const bench = new CommandBench();
    const owner = new OwnerLog();
    // Another one is outstanding, so that the number of used buffers alone gives nothing away.
    bench.send(owner);
    bench.send(new OwnerLog());
    for (const id of ids) bench.forgeUsed(id, byteLength);
    bench.queue.process();
    expect(bench.told.at(-1)).toMatch(/^broken: /);
    expect(owner.events).toHaveLength(ids.length - 1);
    // Whoever is told ends the session; until then nothing of the ring is believed.
    bench.forgeUsed(1, 24);
    bench.queue.process();
    expect(bench.queue.outstanding).toBe(3 - ids.length);
  });
});

describe("a reply", () => {
  it("is cut to what there was room for and to what was claimed, and stale words are not its", () => {
    const bench = new CommandBench();
    const owner = new OwnerLog();
    const uuid = { type: GpuCommand.RESOURCE_ASSIGN_UUID, replyBytes: 40 };
    bench.send(owner, uuid);
    bench.complete(bench.take(), okReply(GpuReply.OK_RESOURCE_UUID, { more: [1, 2, 3, 4] }));
    // The next one claims a header alone; the words of the last one are not to be taken for its.
    bench.send(owner, uuid);
    bench.complete(bench.take(), okReply(GpuReply.OK_RESOURCE_UUID), 24);
    expect(owner.replies.map(({ error, byteLength }) => [error?.code, byteLength])).toEqual([
      [undefined, 40],
      ["EPROTO", 24],
    ]);
  });

  it("is no success where there is less than a header", () => {
    for (const byteLength of [0, 1, 23]) {
      const bench = new CommandBench();
      const owner = new OwnerLog();
      bench.send(owner);
      bench.complete(bench.take(), okReply(), byteLength);
      expect(owner.replies[0]).toMatchObject({ type: 0, error: { code: "EPROTO" } });
    }
  });

  it("is not asked for where there is no place for one", () => {
    const bench = new CommandBench();
    const owner = new OwnerLog();
    bench.send(owner, { replyBytes: 0, type: GpuCommand.UPDATE_CURSOR });
    const chain = bench.take();
    expect(chain.writableBytes).toBe(0);
    bench.complete(chain, [], 0);
    expect(owner.replies[0]).toMatchObject({ type: 0, byteLength: 0, error: null });
  });
});
