import { Duplex } from "node:stream";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AgentChannel } from "./agent-channel.ts";

/** A serial port whose other end is the test. */
class Port extends Duplex {
  readonly sent: string[] = [];
  override _read(): void {}
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.sent.push(chunk.toString("utf8"));
    done();
  }
  /** As the guest says it; resolves once it was heard. */
  async says(text: string | Buffer): Promise<void> {
    this.push(text);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function channel() {
  const heard: string[] = [];
  const agent = new AgentChannel({
    alive: () => heard.push("alive"),
    failed: (reason) => heard.push(`failed: ${reason}`),
    noise: (line) => heard.push(`noise: ${line}`),
  });
  const port = new Port();
  agent.attach(port);
  return { agent, port, heard };
}

const SHA = "a".repeat(64);

describe("the agent's channel", () => {
  it("brings each answer to its call, in pieces and in any order", async () => {
    const { agent, port } = channel();
    const drawn = agent.call("draw", { object: 1, seed: 2 });
    const flips = agent.call("flips", { output: 0, on: true });
    await port.says('{"id":2,"result":{"flips":3,"fai');
    await port.says(`led":0,"reason":null}}\n{"id":1,"result":{"sha256":"${SHA}"}}\n`);
    expect(await flips).toEqual({ flips: 3, failed: 0, reason: null });
    expect(await drawn).toEqual({ sha256: SHA });
    expect(port.sent.map((line) => JSON.parse(line))).toEqual([
      { id: 1, call: "draw", with: { object: 1, seed: 2 } },
      { id: 2, call: "flips", with: { output: 0, on: true } },
    ]);
  });

  it("keeps a call open from one port to the next, and drops what the first left unfinished", async () => {
    const { agent, port, heard } = channel();
    const slept = agent.call("sleep", { way: "s4-platform" });
    await port.says('{"id":1,"resu');
    agent.detach();
    await expect(agent.call("hello", {})).rejects.toThrow("the machine does not run");
    const next = new Port();
    agent.attach(next);
    const reply = { error: null, picture: 1.5, complete: 2, restored: 3, lost: 0, problems: [] };
    await port.says(`${JSON.stringify({ id: 1, result: { ...reply, lost: 9 } })}\n`);
    await next.says(`${JSON.stringify({ id: 1, result: reply })}\n`);
    expect(await slept).toEqual(reply);
    expect(heard).toEqual(["alive"]);
  });

  it("tells the agent's own errors and events", async () => {
    const { agent, port, heard } = channel();
    const shown = agent.call("show", { object: 9, output: 0 });
    await port.says('{"event":"ready"}\n{"id":1,"error":"no object 9"}\n{"event":"failed","reason":"out of luck"}\n');
    await expect(shown).rejects.toMatchObject({ code: "EIO", message: expect.stringContaining("no object 9") });
    expect(heard).toEqual(["alive", "alive", "failed: out of luck"]);
  });

  it("takes no answer that is not of the call's form", async () => {
    const { agent, port } = channel();
    const hashes = agent.call("hashes", {});
    await port.says('{"id":1,"result":{"objects":[{"index":-1,"kind":"dumb","width":1,"height":1,"sha256":"x"}]}}\n');
    await expect(hashes).rejects.toMatchObject({ code: "EPROTO", message: expect.stringContaining("objects.0") });
  });

  it("takes no answer twice, and none to a call that nobody made", async () => {
    const { agent, port, heard } = channel();
    const cleared = agent.call("clear", {});
    await port.says('{"id":7,"result":{}}\n{"id":1,"result":{}}\n{"id":1,"result":{}}\n');
    await cleared;
    expect(heard.filter((line) => line.startsWith("noise"))).toHaveLength(2);
  });

  it("lives through any bytes, and still hears what comes after them", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 8 }), async (chunks) => {
        const { agent, port } = channel();
        const cleared = agent.call("clear", {});
        for (const chunk of chunks) await port.says(Buffer.from(chunk));
        await port.says('\n{"id":1,"result":{}}\n');
        expect(await cleared).toEqual({});
      }),
      { numRuns: 50 },
    );
  });

  it("ends its calls when a line has no end", async () => {
    const { agent, port } = channel();
    const hashes = agent.call("hashes", {});
    const piece = Buffer.alloc(1 << 20, 0x20);
    for (let count = 0; count < 34; count += 1) await port.says(piece);
    await expect(hashes).rejects.toMatchObject({ code: "EPROTO" });
  });

  it("ends its calls when the machine is given up", async () => {
    const { agent } = channel();
    const hello = agent.call("hello", {});
    const { GpuError } = await import("@virtgpu/core/base");
    agent.fail(new GpuError("ENODEV", "the machine was given up"));
    await expect(hello).rejects.toThrow("the machine was given up");
  });
});
