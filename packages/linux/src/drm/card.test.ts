import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Sys, SystemCallError } from "../native/index.ts";
import { CALL_DEADLINE_MS, DrmCard, modeOf } from "./card.ts";
import { decode, encode, type StructValue } from "./layout.ts";
import { type ArgumentOf, type RequestName, requestCode, requests } from "./requests.ts";

type Answers = { readonly [R in RequestName]?: (given: StructValue<ArgumentOf<R>>) => object | Promise<object> };

/** System calls of a kernel that answers only what a test says. */
class FakeSys {
  readonly asked: (readonly [RequestName, object])[] = [];
  readonly #answers: Answers;
  readonly #buffers: Uint8Array[] = [];

  constructor(answers: Answers) {
    this.#answers = answers;
  }

  readonly addressOf = (bytes: Uint8Array): bigint => BigInt(this.#buffers.push(bytes));

  /** The buffer at an address that was given before. */
  at(address: bigint): Uint8Array {
    const bytes = this.#buffers[Number(address) - 1];
    if (bytes === undefined) throw new Error(`nothing is at ${address}`);
    return bytes;
  }

  readonly ioctl = (_fd: number, code: number, argument: Uint8Array | null): number => {
    const { name, answer } = this.#ask(code, argument);
    this.#fill(name, argument, answer as object);
    return 0;
  };

  readonly ioctlLater = async (_fd: number, code: number, argument: Uint8Array | null): Promise<number> => {
    const { name, answer } = this.#ask(code, argument);
    this.#fill(name, argument, await answer);
    return 0;
  };

  #ask(code: number, argument: Uint8Array | null): { name: RequestName; answer: object | Promise<object> } {
    const name = (Object.keys(requests) as RequestName[]).find((known) => requestCode(known) === code);
    if (name === undefined || argument === null) throw new Error(`an unknown request 0x${code.toString(16)}`);
    const given = decode(requests[name].of, argument);
    this.asked.push([name, given]);
    const answer = this.#answers[name] as ((value: object) => object | Promise<object>) | undefined;
    return { name, answer: answer === undefined ? {} : answer(given) };
  }

  #fill(name: RequestName, argument: Uint8Array | null, answer: object): void {
    const { of } = requests[name];
    argument?.set(encode(of, { ...decode(of, argument), ...answer }));
  }
}

let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "virtgpu-card-"));
  writeFileSync(join(folder, "card0"), "");
});

afterEach(() => {
  vi.useRealTimers();
  rmSync(folder, { recursive: true, force: true });
});

function open(answers: Answers): { card: DrmCard; sys: FakeSys } {
  const sys = new FakeSys({
    VERSION: ({ name }) => {
      sys.at(name).set(Buffer.from("virtio_gpu"));
      return { name_len: 10n };
    },
    ...answers,
  });
  return { card: DrmCard.open(join(folder, "card0"), sys as unknown as Sys), sys };
}

const output = { name: "Virtual-1", connectorId: 31, crtcId: 35, connected: false, modes: [] };

describe("a DRM card", () => {
  it("tells its outputs with the CRTC that feeds each, connected or not", async () => {
    const { card, sys } = open({
      MODE_GETRESOURCES: ({ crtc_id_ptr, connector_id_ptr }) => {
        if (crtc_id_ptr !== 0n) new Uint32Array(sys.at(crtc_id_ptr).buffer).set([35, 38]);
        if (connector_id_ptr !== 0n) new Uint32Array(sys.at(connector_id_ptr).buffer).set([31, 32]);
        return { count_crtcs: 2, count_connectors: 2 };
      },
      MODE_GETCONNECTOR: ({ connector_id, encoders_ptr, modes_ptr }) => {
        if (encoders_ptr !== 0n) new Uint32Array(sys.at(encoders_ptr).buffer).set([connector_id + 2]);
        if (modes_ptr !== 0n) sys.at(modes_ptr).set(encode("drm_mode_modeinfo", modeOf(1024, 768)));
        const isFirst = connector_id === 31;
        return {
          count_encoders: 1,
          count_modes: isFirst ? 1 : 0,
          connection: isFirst ? 1 : 2,
          connector_type: 15,
          connector_type_id: isFirst ? 1 : 2,
        };
      },
      MODE_GETENCODER: ({ encoder_id }) => ({ possible_crtcs: encoder_id === 33 ? 1 : 2 }),
    });
    const modes = [{ width: 1024, height: 768 }];
    expect(card.driver).toBe("virtio_gpu");
    expect(await card.outputs()).toEqual([
      { name: "Virtual-1", connectorId: 31, crtcId: 35, connected: true, modes },
      { name: "Virtual-2", connectorId: 32, crtcId: 38, connected: false, modes: [] },
    ]);
    card.close();
  });

  it("shows a framebuffer in a mode of its own size, and switches off without any", async () => {
    const { card, sys } = open({});
    await card.setCrtc(output, { framebufferId: 40, width: 640, height: 480 });
    await card.setCrtc(output, null);
    const sets = sys.asked.filter(([name]) => name === "MODE_SETCRTC").map(([, given]) => given);
    expect(sets).toMatchObject([
      { crtc_id: 35, fb_id: 40, count_connectors: 1, mode_valid: 1, mode: { hdisplay: 640, vdisplay: 480 } },
      { crtc_id: 35, fb_id: 0, count_connectors: 0, mode_valid: 0 },
    ]);
    card.close();
  });

  it("asks again where a call was interrupted, and says what else was refused", async () => {
    const codes = ["EINTR", "EAGAIN", "ENOSPC"];
    const { card } = open({
      MODE_CREATE_DUMB: () => {
        throw new SystemCallError(codes.shift() ?? "EIO", "ioctl", "no space left on device");
      },
    });
    await expect(card.createDumb(4, 4)).rejects.toThrow("ENOSPC: MODE_CREATE_DUMB: no space left on device");
    card.close();
  });

  it("fails at once while a call hangs, tries again once that has returned", async () => {
    vi.useFakeTimers();
    let comeBack: (answer: object) => void = () => undefined;
    const { card } = open({
      MODE_DIRTYFB: () =>
        new Promise<object>((resolve) => {
          comeBack = resolve;
        }),
    });
    const first = card.dirty(40);
    const hung = expect(first).rejects.toThrow("ETIMEDOUT: MODE_DIRTYFB: has not come in 20 s: the driver hangs");
    await vi.advanceTimersByTimeAsync(CALL_DEADLINE_MS);
    await hung;
    await expect(card.createDumb(4, 4)).rejects.toThrow("was not tried, as MODE_DIRTYFB hangs in the driver");
    comeBack({});
    await vi.advanceTimersByTimeAsync(0);
    await expect(card.createDumb(4, 4)).resolves.toMatchObject({ handle: 0 });
    card.close();
  });

  it("believes no count beyond reason", async () => {
    const { card, sys } = open({
      MODE_GETRESOURCES: () => ({ count_crtcs: 0xffff_ffff, count_connectors: 0 }),
    });
    expect(await card.outputs()).toEqual([]);
    expect(sys.asked.at(-1)).toMatchObject(["MODE_GETRESOURCES", { count_crtcs: 4096 }]);
    card.close();
  });
});
