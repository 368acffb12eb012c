/** What of a host's answer is believed. */
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GpuError } from "../../base/errors.ts";
import { COMMANDS, GpuReply, HeaderFlag, REPLIES } from "../../wire/index.ts";
import { waitBeforeRetry } from "./reply-policy.ts";
import { checkReply } from "./reply.ts";

const controlCommands = [...COMMANDS].filter(([, { queue }]) => queue === 0);
const expected = { device: "gpu0", command: 0, object: 7, fence: 0 };
const reply = (type: number, more: readonly number[] = []): Uint32Array =>
  Uint32Array.of(type, ...more, ...new Array<number>(300).fill(0));

describe("an answer", () => {
  it.each(controlCommands)(
    "to command 0x%s is good with its own type and in its full length only",
    (command, facts) => {
      const about = { ...expected, command };
      expect(checkReply(about, reply(facts.reply), facts.replyBytes)).toBeNull();
      expect(checkReply(about, reply(facts.reply), facts.replyBytes + 8)).toBeNull();
      for (let byteLength = 0; byteLength < facts.replyBytes; byteLength += 1) {
        expect(checkReply(about, reply(facts.reply), byteLength)?.code, `${byteLength} bytes`).toBe("EPROTO");
      }
      for (const type of [...REPLIES.keys(), 0, 1, command, 0x11ff, 0x10ff]) {
        const error = checkReply(about, reply(type), 2000);
        if (type === facts.reply) expect(error).toBeNull();
        else if (type < GpuReply.ERR_UNSPEC)
          expect(error).toMatchObject({ code: "EPROTO", device: "gpu0", object: "resource 7" });
        else expect(error).toMatchObject({ code: type === GpuReply.ERR_OUT_OF_MEMORY ? "ENOMEM" : "EIO", reply: type });
      }
    },
  );

  it("that refuses may be short, and may be one that nobody knows", () => {
    const about = { ...expected, command: 0x100 };
    expect(checkReply(about, reply(GpuReply.ERR_UNSPEC), 24)).toMatchObject({ code: "EIO", reply: 0x1200 });
    expect(checkReply(about, reply(0x1234), 24)).toMatchObject({ code: "EIO", reply: 0x1234 });
    expect(checkReply(about, reply(GpuReply.ERR_UNSPEC), 23)).toMatchObject({ code: "EPROTO" });
  });

  it("to a fenced command has to repeat the fence: flag and number, in refusals too", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
        fc.integer({ min: 0, max: 2 ** 32 - 1 }),
        fc.integer({ min: 0, max: 3 }),
        (fence, noise, flags) => {
          const low = fence % 2 ** 32;
          const high = Math.floor(fence / 2 ** 32);
          const about = { ...expected, command: 0x104, fence };
          const isEchoed = (flags & HeaderFlag.FENCE) !== 0;
          expect(checkReply(about, reply(0x1100, [flags, low, high]), 24) === null).toBe(isEchoed);
          expect(checkReply(about, reply(0x1200, [flags, low, high]), 24)?.code).toBe(isEchoed ? "EIO" : "EPROTO");
          if (noise !== low) expect(checkReply(about, reply(0x1100, [flags, noise, high]), 24)?.code).toBe("EPROTO");
          if (noise !== high) expect(checkReply(about, reply(0x1100, [flags, low, noise]), 24)?.code).toBe("EPROTO");
        },
      ),
    );
  });

  it("with a fence that nobody asked for does no harm", () => {
    expect(checkReply({ ...expected, command: 0x104 }, reply(0x1100, [1, 5, 0]), 24)).toBeNull();
  });

  it("of any words at all is judged without an exception", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 0x400 }),
        fc.uint32Array({ minLength: 0, maxLength: 20 }),
        fc.nat(3000),
        fc.nat(),
        (command, words, byteLength, fence) => {
          const error = checkReply({ ...expected, command, fence }, words, byteLength);
          if (error === null) expect(words[0]).toBe(COMMANDS.get(command)?.reply ?? GpuReply.OK_NODATA);
        },
      ),
    );
  });
});

describe("after a refusal", () => {
  it("a command is tried again a few times, never without end", () => {
    for (const type of [...REPLIES.keys(), 0x1234, undefined]) {
      const error = new GpuError("EIO", "refused", { reply: type });
      const waits: number[] = [];
      for (let attempts = 1; attempts < 50; attempts += 1) {
        const wait = waitBeforeRetry(error, attempts);
        if (wait === null) break;
        waits.push(wait);
      }
      expect(waits.length).toBeGreaterThan(0);
      expect(waits.length).toBeLessThan(5);
      expect(waits).toEqual([...waits].sort((a, b) => a - b));
      // Memory comes when somebody gives it: never asked for again at once.
      if (type === GpuReply.ERR_OUT_OF_MEMORY) expect(waits[0]).toBeGreaterThan(0);
    }
  });
});
