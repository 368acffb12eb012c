import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { Agent } from "./agent.ts";
import type { AgentGpu, AgentGpuDriver, Extra, GpuObject, WakeReport } from "./agent-gpu.ts";
import { pattern } from "./pattern.ts";
import type { SceneRequest, Size } from "./protocol.ts";
import { cursorPixels, Scene } from "./scene.ts";
import type { SleepEnd } from "./sleep/sleeper.ts";

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const [SMALL, LARGE]: readonly [Size, Size] = [
  { width: 4, height: 3 },
  { width: 8, height: 6 },
];

class FakeObject implements GpuObject {
  readonly kind: string;
  readonly width: number;
  readonly height: number;
  memory: Uint8Array;
  onHost: Uint8Array | null = null;
  isFree = false;

  constructor(kind: string, { width, height }: Size) {
    this.kind = kind;
    this.width = width;
    this.height = height;
    this.memory = new Uint8Array(width * height * 4);
  }

  write(pixels: Uint8Array): void {
    this.memory = pixels.slice();
  }

  read(): Uint8Array {
    return this.memory;
  }

  free(): Promise<void> {
    this.isFree = true;
    return Promise.resolve();
  }
}

/** A GPU that remembers what it shows. */
class FakeGpu implements AgentGpu {
  readonly address = "0000:00:01.0";
  objects: FakeObject[] = [];
  readonly shown = new Map<number, FakeObject>();
  cursorOn: number | null = null;
  flips = 0;
  refusesFlips = false;

  outputs(): Promise<readonly { name: string; connected: boolean; modes: readonly Size[] }[]> {
    return Promise.resolve([{ name: "Virtual-1", connected: true, modes: [] }]);
  }

  create(purpose: string, size: Size): Promise<GpuObject> {
    const object = new FakeObject(purpose === "offscreen" ? "dumb" : purpose, size);
    this.objects.push(object);
    return Promise.resolve(object);
  }

  async createExtras(size: Size): Promise<readonly Extra[]> {
    return [{ object: await this.create("import-vgem", size) }, { notOffered: "blob", reason: "ENOTSUP: no blobs" }];
  }

  show(output: number, object: GpuObject | null): Promise<void> {
    if (object === null) this.shown.delete(output);
    else this.shown.set(output, object as FakeObject);
    return Promise.resolve();
  }

  async flip(output: number, object: GpuObject): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    if (this.refusesFlips) throw new Error("EBUSY: no flip now");
    this.flips += 1;
    await this.show(output, object);
  }

  upload(object: GpuObject): Promise<void> {
    (object as FakeObject).onHost = (object as FakeObject).memory.slice();
    return Promise.resolve();
  }

  redraw(): Promise<void> {
    return Promise.resolve();
  }

  showCursor({ output }: { readonly output: number }): Promise<void> {
    this.cursorOn = output;
    return Promise.resolve();
  }

  hideCursor(): Promise<void> {
    this.cursorOn = null;
    return Promise.resolve();
  }

  picture(output: number): Uint8Array | null {
    return this.shown.get(output)?.onHost ?? null;
  }
}

const request: SceneRequest = {
  seed: 40,
  outputs: [LARGE, null, LARGE],
  offscreen: { count: 2, ...SMALL },
  cursor: true,
  extras: true,
};

describe("a scene", () => {
  it("shows each object's own pattern: outputs first, then off-screen ones, then extras", async () => {
    const gpu = new FakeGpu();
    const reply = await new Scene(gpu).draw(request);
    expect(reply.shown).toEqual([0, null, 1]);
    expect(reply.objects.map(({ kind }) => kind)).toEqual([
      "framebuffer",
      "framebuffer",
      "dumb",
      "dumb",
      "import-vgem",
    ]);
    for (const { index, width, height, sha256: hash } of reply.objects) {
      expect(hash).toBe(sha256(pattern(40 + index, width, height)));
    }
    expect(reply.notOffered).toEqual([{ kind: "blob", reason: "ENOTSUP: no blobs" }]);
    expect(gpu.picture(2)).toEqual(pattern(41, 8, 6));
    expect(gpu.cursorOn).toBe(0);
  });

  it("takes the place of the one before, of which nothing stays", async () => {
    const gpu = new FakeGpu();
    const scene = new Scene(gpu);
    await scene.draw(request);
    const before = gpu.objects;
    gpu.objects = [];
    await scene.draw({ ...request, outputs: [null], offscreen: { ...request.offscreen, count: 0 }, extras: false });
    expect(before.every(({ isFree }) => isFree)).toBe(true);
    expect([gpu.shown.size, gpu.cursorOn, scene.hashes()]).toEqual([0, null, []]);
  });

  it("shows an object elsewhere, draws into it, and refuses one that isn't there", async () => {
    const gpu = new FakeGpu();
    const scene = new Scene(gpu);
    await scene.draw(request);
    await scene.show(1, 4);
    expect(gpu.picture(1)).toEqual(pattern(44, 8, 6));
    expect(await scene.paint(4, 99)).toBe(sha256(pattern(99, 8, 6)));
    expect(gpu.picture(1)).toEqual(pattern(99, 8, 6));
    await expect(scene.show(0, 5)).rejects.toThrow("EINVAL: there is no object 5, only 5");
  });

  it("flips between two objects of one look, and ends on the first", async () => {
    const gpu = new FakeGpu();
    const scene = new Scene(gpu);
    await scene.draw(request);
    const [first] = gpu.objects;
    await scene.setFlips(0, true);
    await expect.poll(() => gpu.flips).toBeGreaterThan(5);
    expect(gpu.picture(0)).toEqual(pattern(40, 8, 6));
    const { flips, failed } = await scene.setFlips(0, false);
    expect([flips > 5, failed, gpu.shown.get(0) === first]).toEqual([true, 0, true]);
    await expect(scene.setFlips(1, true)).rejects.toThrow("EINVAL: output 1 shows nothing");
  });

  it("counts flips that fail, and says why the first did", async () => {
    const gpu = new FakeGpu();
    const scene = new Scene(gpu);
    await scene.draw(request);
    gpu.refusesFlips = true;
    await scene.setFlips(0, true);
    const ended = await scene.setFlips(0, false);
    expect(ended).toEqual({ flips: 0, failed: expect.any(Number), reason: "EBUSY: no flip now" });
    expect(ended.failed).toBeGreaterThan(0);
  });

  it("is made anew with what it showed last, its pictures first", async () => {
    const gpu = new FakeGpu();
    const scene = new Scene(gpu);
    await scene.draw(request);
    await scene.paint(2, 77);
    await scene.show(2, 3);
    const hashes = scene.hashes();
    gpu.objects = [];
    gpu.shown.clear();
    const rest = await scene.showAnew();
    expect([gpu.picture(0), gpu.picture(2)]).toEqual([pattern(40, 8, 6), pattern(43, 4, 3)]);
    await rest();
    expect(scene.hashes()).toEqual(hashes);
    expect(gpu.objects.length).toBe(5);
  });

  it("has a cursor that is opaque inside and clear around", () => {
    const pixels = cursorPixels();
    const alpha = (x: number, y: number): number | undefined => pixels[(y * 64 + x) * 4 + 3];
    expect([alpha(0, 0), alpha(7, 32), alpha(8, 8), alpha(55, 55), alpha(56, 8)]).toEqual([0, 0, 255, 255, 0]);
  });
});

describe("the agent", () => {
  const woken: WakeReport = { picture: 130, complete: 150, restored: 3, lost: 0, problems: [], anew: false };

  function agentWith(parts: {
    readonly report?: Partial<WakeReport>;
    readonly end?: SleepEnd;
    readonly before?: () => Promise<void>;
    readonly gpu?: FakeGpu;
  }) {
    const steps: string[] = [];
    const step = (name: string): void => void steps.push(name);
    const driver: AgentGpuDriver = {
      way: "fake",
      gpus: [parts.gpu ?? new FakeGpu()],
      beforeSleep: () => {
        steps.push("before");
        return parts.before?.() ?? Promise.resolve();
      },
      afterSleep: () => {
        steps.push("after");
        return Promise.resolve({ ...woken, ...parts.report });
      },
      close: () => Promise.resolve(),
    };
    let now = 100;
    const agent = new Agent({
      driver: "kernel",
      gpus: driver,
      log: { next: () => ["a line"] },
      textConsole: {
        write: (lines) => step(`write ${lines.join()}`),
        read: () => ["said"],
        isShown: async () => true,
        enter: async () => step("enter"),
        leave: () => step("leave"),
      },
      fallAsleep: async (way, whileLive) => {
        steps.push(way);
        if (way === "uswsusp-twice") await whileLive();
        return parts.end ?? { error: null, isSecondLife: false };
      },
      beLooked: () => {
        steps.push("looked");
        return Promise.resolve();
      },
      now: () => {
        now += 20;
        return now;
      },
    });
    return { agent, steps };
  }

  it("tells times from the return of the call, and what the driver counts", async () => {
    const { agent, steps } = agentWith({});
    const answer = await agent.answer({ id: 1, call: "sleep", with: { way: "s3" } });
    expect(answer).toEqual({ result: { error: null, picture: 10, complete: 30, restored: 3, lost: 0, problems: [] } });
    expect(steps).toEqual(["before", "s3", "after"]);
  });

  it("draws its scene anew after a driver was taken away, and tells that time", async () => {
    const { agent } = agentWith({ report: { anew: true, picture: null, complete: null } });
    await agent.answer({ id: 1, call: "scene", with: request });
    const answer = await agent.answer({ id: 2, call: "sleep", with: { way: "s4-platform" } });
    expect(answer).toMatchObject({ result: { picture: 20, complete: 40 } });
  });

  it("does not sleep when the driver refuses, and has it thaw all the same", async () => {
    const { agent, steps } = agentWith({ before: () => Promise.reject(new Error("EBUSY: a frame is under way")) });
    const answer = await agent.answer({ id: 1, call: "sleep", with: { way: "s4-platform" } });
    expect(answer).toMatchObject({ result: { error: "EBUSY: a frame is under way" } });
    expect(steps).toEqual(["before", "after"]);
  });

  it("goes on, is looked at and sleeps for good where its images have been made", async () => {
    const { agent, steps } = agentWith({});
    await agent.answer({ id: 1, call: "sleep", with: { way: "uswsusp-twice" } });
    expect(steps).toEqual(["before", "uswsusp-twice", "after", "looked", "before", "after"]);
  });

  it("answers nobody in an image that another one has outlived, and calls after it again", async () => {
    const { agent } = agentWith({ end: { error: null, isSecondLife: true } });
    expect(await agent.answer({ id: 1, call: "sleep", with: { way: "uswsusp-twice" } })).toBe("nobody");
    expect(await agent.answer({ id: 2, call: "log", with: {} })).toEqual({ result: { lines: ["a line"] } });
  });

  it("gives outputs to the text console once nobody else may draw, and takes them back with what they showed", async () => {
    const gpu = new FakeGpu();
    const { agent, steps } = agentWith({ gpu });
    const console = { id: 1, call: "console" } as const;
    await expect(agent.answer({ ...console, with: { isGiven: true } })).rejects.toThrow("ENOTSUP");
    Object.assign(gpu, {
      setMaster: async (isMaster: boolean) => void steps.push(isMaster ? "master" : "no master"),
      redraw: async () => void steps.push("redraw"),
    });
    const given = await agent.answer({ ...console, with: { isGiven: true, write: ["a", "b"] } });
    expect(given).toEqual({ result: { lines: ["said"], isShown: true } });
    await agent.answer({ ...console, with: { isGiven: false } });
    expect(steps).toEqual(["write a,b", "leave", "no master", "enter", "leave", "master", "redraw"]);
  });

  it("refuses what its driver doesn't offer, and a GPU that isn't there", async () => {
    const { agent } = agentWith({});
    await expect(agent.answer({ id: 1, call: "hang", with: { milliseconds: 5 } })).rejects.toThrow("ENOTSUP");
    await expect(agent.answer({ id: 2, call: "remedy", with: { on: true } })).rejects.toThrow("ENOTSUP");
    await expect(agent.answer({ id: 3, call: "hashes", with: { gpu: 1 } })).rejects.toThrow(
      "EINVAL: there is no GPU 1",
    );
  });
});
