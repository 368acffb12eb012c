/** Commands as promises: each is settled once, whatever happens to the queue. */
import { describe, expect, it } from "vitest";
import { CommandBench, okReply } from "../../../test/support/command-bench.ts";
import { GpuError } from "../../base/errors.ts";
import { GpuCommand, GpuReply, writeHeader } from "../../wire/index.ts";
import { type Answer, CommandSender, type CommandShape } from "./command-sender.ts";

const small: CommandShape = { requestBytes: 32, replyBytes: 24, object: 4 };
const gone = new GpuError("ESTALE", "over");

class SenderBench extends CommandBench {
  pumps: number = 0;
  readonly sender: CommandSender = new CommandSender(this.queue, () => {
    this.pumps += 1;
  });

  /** Sends, and has the session's pump do its part. */
  ask(shape: CommandShape = small, type: number = GpuCommand.RESOURCE_UNREF): Promise<Answer> {
    const answer = this.sender.send(shape, (u32, at) => {
      writeHeader(u32, at, type, shape.fence === undefined ? 0 : 1, shape.fence ?? 0, 0, 0, 0);
    });
    answer.catch(() => {});
    this.pump();
    return answer;
  }

  pump(): void {
    this.sender.pump();
    this.queue.kick();
  }
}

describe("a sender", () => {
  it("leaves the ring alone until it is pumped, and asks for that", () => {
    const bench = new SenderBench();
    void bench.sender.send(small, () => {});
    expect([bench.pumps, bench.queue.outstanding]).toEqual([1, 0]);
    bench.pump();
    expect(bench.queue.outstanding).toBe(1);
  });

  it("gives each its own answer, copied", async () => {
    const bench = new SenderBench();
    const asked = [1, 2].map(() =>
      bench.ask({ requestBytes: 32, replyBytes: 40, object: 4 }, GpuCommand.RESOURCE_ASSIGN_UUID),
    );
    const chains = bench.takeAll();
    bench.complete(chains[1], okReply(GpuReply.OK_RESOURCE_UUID, { more: [22, 0, 0, 0] }));
    bench.complete(chains[0], okReply(GpuReply.OK_RESOURCE_UUID, { more: [11, 0, 0, 0] }));
    const answers = await Promise.all(asked);
    expect(answers.map(({ words, byteLength }) => [words[6], byteLength])).toEqual([
      [11, 40],
      [22, 40],
    ]);
  });

  it("rejects with the host's refusal, a cut answer, a missing fence", async () => {
    const bench = new SenderBench();
    const asked = bench.ask();
    bench.complete(bench.take(), okReply(GpuReply.ERR_INVALID_RESOURCE_ID));
    await expect(asked).rejects.toMatchObject({ code: "EIO", reply: 0x1203, object: "resource 4" });
    const cut = bench.ask();
    bench.complete(bench.take(), okReply(), 20);
    await expect(cut).rejects.toMatchObject({ code: "EPROTO" });
    const fenced = bench.ask({ ...small, fence: 9 });
    bench.complete(bench.take(), okReply(GpuReply.OK_NODATA, { fence: 8 }));
    await expect(fenced).rejects.toMatchObject({ code: "EPROTO" });
    const good = bench.ask({ ...small, fence: 9 });
    bench.complete(bench.take(), okReply(GpuReply.OK_NODATA, { fence: 9 }));
    await expect(good).resolves.toMatchObject({ type: GpuReply.OK_NODATA });
  });

  it("keeps the order of those that find no room", async () => {
    const bench = new SenderBench({ size: 2 });
    const order: number[] = [];
    const asked = [0, 1, 2, 3, 4].map((index) =>
      bench.ask({ ...small, object: index + 1 }).then(() => order.push(index)),
    );
    for (let index = 0; index < 5; index += 1) {
      bench.complete(bench.take());
      bench.pump();
    }
    await Promise.all(asked);
    expect(order).toEqual([0, 1, 2, 3, 4]);
    expect(bench.queue.outstanding).toBe(0);
  });

  it("refuses what no queue can carry, and does not let it block the others", async () => {
    const bench = new SenderBench({ arenaBytes: 1024 });
    await expect(bench.ask({ requestBytes: 1032, replyBytes: 24, object: 0 })).rejects.toMatchObject({
      code: "EINVAL",
    });
    await expect(bench.ask({ requestBytes: 24, replyBytes: 1032, object: 0 })).rejects.toMatchObject({
      code: "EINVAL",
    });
    const asked = bench.ask();
    bench.complete(bench.take());
    await expect(asked).resolves.toBeDefined();
  });

  it("R-07 (a) fails what waits, and what comes, on a queue that hangs", async () => {
    const bench = new SenderBench({ size: 2, deadlineMs: 100 });
    const asked = [bench.ask(), bench.ask(), bench.ask()];
    const chains = bench.takeAll();
    expect(chains).toHaveLength(2);
    await bench.clock.advance(100);
    bench.sender.failWaiting(new GpuError("ETIMEDOUT", "it hangs"));
    for (const one of [...asked, bench.ask()]) await expect(one).rejects.toMatchObject({ code: "ETIMEDOUT" });
    // The late answers are nobody's, and the next is one again.
    for (const chain of chains) bench.complete(chain);
    const next = bench.ask();
    bench.complete(bench.take());
    await expect(next).resolves.toBeDefined();
  });

  it("R-10 (a) fails everything with its session", async () => {
    const bench = new SenderBench({ size: 2 });
    const asked = [bench.ask(), bench.ask(), bench.ask()];
    bench.queue.close(gone);
    bench.sender.close(gone);
    for (const one of [...asked, bench.ask()]) await expect(one).rejects.toBe(gone);
    bench.pump();
    expect(bench.takeAll()).toHaveLength(2);
  });
});
