import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { ConsoleLog } from "./console-log.ts";

async function heard(...chunks: readonly (string | Buffer)[]): Promise<readonly string[]> {
  const log = new ConsoleLog();
  const stream = new PassThrough();
  log.attach(stream);
  for (const chunk of chunks) stream.write(chunk);
  stream.end();
  await new Promise((resolve) => stream.once("close", resolve));
  return log.lines;
}

describe("the console's lines", () => {
  it("are put together from pieces, without the terminal's controls", async () => {
    expect(await heard("\u001b[2J[    0.1] he", "llo\tyou\r\n\u0007bell", "\u009b\n")).toEqual([
      "[    0.1] hello\tyou",
      "bell",
    ]);
  });

  it("include the last one, which a power cut left without an end", async () => {
    expect(await heard("one\ntw")).toEqual(["one", "tw"]);
  });

  it("are cut where a guest writes without end", async () => {
    const lines = await heard(...Array.from({ length: 50 }, () => "x".repeat(1000)), "\nafter\n");
    expect(lines).toHaveLength(2);
    expect(lines[0]?.length).toBe(2000);
    expect(lines[1]).toBe("after");
  });

  it("can be waited for, past and future", async () => {
    const log = new ConsoleLog();
    log.note("first light");
    const later = log.said("second");
    expect(await log.said("light")).toBe("first light");
    log.note("the second one");
    expect(await later).toBe("the second one");
  });
});
