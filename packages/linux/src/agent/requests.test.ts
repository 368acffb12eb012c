import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LineSplitter } from "./line-splitter.ts";
import { parseRequest, RequestError } from "./requests.ts";
import { Server } from "./serve.ts";

const line = (message: unknown): string => JSON.stringify(message);

function refusal(text: string): RequestError {
  try {
    parseRequest(text);
  } catch (error) {
    if (error instanceof RequestError) return error;
    throw error;
  }
  throw new Error("it was taken");
}

const scene = {
  seed: 7,
  outputs: [{ width: 1024, height: 768 }, null],
  offscreen: { count: 3, width: 128, height: 128 },
  cursor: true,
  extras: false,
};

describe("a request", () => {
  it("is read with all that goes with it, and nothing else", () => {
    const request = parseRequest(line({ id: 3, call: "scene", with: { ...scene, gpu: 1, more: "?" }, other: 1 }));
    expect(request).toEqual({ id: 3, call: "scene", with: { ...scene, gpu: 1 } });
  });

  it.each([
    ["hello", {}],
    ["sleep", { way: "s4-platform" }],
    ["sleep", { way: "uswsusp-twice" }],
    ["show", { object: null, output: 0 }],
    ["flips", { output: 1, on: true }],
    ["draw", { object: 2, seed: 9 }],
    ["hang", { milliseconds: 8000 }],
    ["console", { isGiven: true, write: ["a line", "another"] }],
    ["console", { isGiven: false }],
  ])("to %s is read", (call, parameters) => {
    expect(parseRequest(line({ id: 0, call, with: parameters }))).toEqual({ id: 0, call, with: parameters });
  });

  it.each([
    ["no JSON", "{", null, "a line is no JSON object"],
    ["a list", "[]", null, "a line is no JSON object"],
    ["a request without a number", line({ call: "hello", with: {} }), null, "id is no whole number"],
    ["an unknown call", line({ id: 1, call: "reboot", with: {} }), 1, "there is no such call"],
    ["a call by the name of a method", line({ id: 1, call: "constructor", with: {} }), 1, "there is no such call"],
    [
      "a console's line that is an order",
      line({ id: 1, call: "console", with: { isGiven: true, write: ["\u001bc"] } }),
      1,
      "write[0] is no line of plain text",
    ],
    ["an unknown way", line({ id: 1, call: "sleep", with: { way: "toString" } }), 1, "way is no way to sleep"],
    ["no parameters", line({ id: 1, call: "hello" }), 1, "with is no object"],
    [
      "an endless list of outputs",
      line({ id: 1, call: "scene", with: { ...scene, outputs: Array(65).fill(null) } }),
      1,
      "outputs is no list of at most 64",
    ],
    [
      "a picture of no width",
      line({ id: 1, call: "scene", with: { ...scene, outputs: [{ width: 0, height: 1 }] } }),
      1,
      "outputs[0].width is no whole number from 1 to 16384",
    ],
  ])("that is %s is refused with its reason", (_, text, id, reason) => {
    expect(refusal(text)).toMatchObject({ id, message: `EINVAL: ${reason}` });
  });

  it("of any kind is taken or refused, and nothing else happens", () => {
    const calls = fc.constantFrom("hello", "scene", "sleep", "show", "draw", "flips", "hang", "finish", "x");
    const whatever = fc.oneof(
      fc.string().map((text) => text),
      fc.json(),
      fc.record({ id: fc.oneof(fc.nat(), fc.anything()), call: calls, with: fc.anything() }).map(line),
      fc.record({ id: fc.nat(), call: calls, with: fc.dictionary(fc.string(), fc.jsonValue()) }).map(line),
    );
    fc.assert(
      fc.property(whatever, (text) => {
        try {
          const { id, call } = parseRequest(text ?? "");
          expect(Number.isSafeInteger(id) && call.length > 0).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(RequestError);
        }
      }),
    );
  });
});

describe("the server", () => {
  const serve = (answer: (call: string) => Promise<{ result: unknown } | "nobody">) => {
    const said: unknown[] = [];
    let finished = 0;
    const server = new Server({
      say: (message) => void said.push(message),
      answer: (request) => answer(request.call),
      onFinish: () => {
        finished += 1;
      },
    });
    return { server, said, finished: () => finished };
  };

  it("answers one request after another, also when they come at once", async () => {
    let open = 0;
    const { server, said } = serve(async (call) => {
      open += 1;
      expect(open).toBe(1);
      await Promise.resolve();
      open -= 1;
      return { result: call };
    });
    await Promise.all(["hello", "log", "redraw"].map((call, id) => server.take(line({ id, call, with: {} }))));
    expect(said).toEqual([
      { id: 0, result: "hello" },
      { id: 1, result: "log" },
      { id: 2, result: "redraw" },
    ]);
  });

  it("goes on after an error, a line that is too long, and a line that is none", async () => {
    const { server, said } = serve((call) =>
      call === "log" ? Promise.reject(new Error("it\nbroke")) : Promise.resolve({ result: {} }),
    );
    for (const text of [line({ id: 1, call: "log", with: {} }), null, "???", ""]) await server.take(text);
    await server.take(line({ id: 2, call: "hello", with: {} }));
    expect(said).toEqual([
      { id: 1, error: "it broke" },
      { id: 2, result: {} },
    ]);
  });

  it("says that it is ready in a life in which nobody waits for the answer", async () => {
    const { server, said } = serve(() => Promise.resolve("nobody"));
    await server.take(line({ id: 1, call: "sleep", with: { way: "uswsusp-twice" } }));
    expect(said).toEqual([{ event: "ready" }]);
  });

  it("switches off after the answer to finish, and only then", async () => {
    const { server, said, finished } = serve(() => Promise.resolve({ result: {} }));
    await server.take(line({ id: 1, call: "hello", with: {} }));
    expect(finished()).toBe(0);
    await server.take(line({ id: 2, call: "finish", with: {} }));
    expect([finished(), said.length]).toEqual([1, 2]);
  });
});

describe("lines out of pieces", () => {
  it("are the same however the bytes are cut", () => {
    const lines = fc.array(fc.string({ maxLength: 12 }).filter((text) => !/[\n\r]/.test(text) && text === text.trim()));
    fc.assert(
      fc.property(lines, fc.array(fc.nat(40)), (texts, cuts) => {
        const bytes = Buffer.from(texts.map((text) => `${text}\n`).join(""));
        const splitter = new LineSplitter(100);
        const got: (string | null)[] = [];
        let start = 0;
        for (const cut of [...cuts, bytes.length]) {
          const end = Math.min(bytes.length, start + cut);
          got.push(...splitter.take(bytes.subarray(start, end)));
          start = end;
        }
        got.push(...splitter.take(bytes.subarray(start)));
        expect(got).toEqual(texts);
      }),
    );
  });

  it("that are too long are told as such, and the next one is whole", () => {
    const splitter = new LineSplitter(4);
    expect(splitter.take(Buffer.from("12345"))).toEqual([]);
    expect(splitter.take(Buffer.from("678\nabcd\n"))).toEqual([null, "abcd"]);
  });
});
