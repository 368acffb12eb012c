import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FakeDrm, type Answers } from "../../test/support/fake-drm.ts";
import { type Sys, SystemCallError } from "../native/index.ts";
import { CALL_DEADLINE_MS, DrmCard, modeOf } from "./card.ts";
import { encode } from "./layout.ts";

let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "virtgpu-card-"));
  writeFileSync(join(folder, "card0"), "");
});

afterEach(() => {
  vi.useRealTimers();
  rmSync(folder, { recursive: true, force: true });
});

function open(answers: Answers): { card: DrmCard; sys: FakeDrm } {
  const sys = new FakeDrm("virtio_gpu", answers);
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

  it("gives up to say what outputs show, and asks for it again", async () => {
    const { card, sys } = open({});
    await card.setMaster(false);
    await card.setMaster(true);
    expect(sys.plain).toEqual([0x641f, 0x641e]);
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
