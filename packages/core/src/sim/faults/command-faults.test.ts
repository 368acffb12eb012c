import { describe, expect, it } from "vitest";
import { GpuCommand } from "../../wire/gpu.ts";
import { COMMAND_TYPES, type Command, encodeCommand } from "../../wire/gpu.gen.ts";
import { VirtualClock } from "../virtual-clock.ts";
import { CommandFaults } from "./command-faults.ts";

const see = (faults: CommandFaults, command: Command, queue: number = 0) => {
  const request = encodeCommand(command, { flags: 1, fenceLow: 9 });
  return faults.see(queue, request, request.byteLength);
};
const unref = (resourceId: number): Command => ({ op: "resourceUnref", resourceId });

describe("a plan of command faults", () => {
  it("counts and logs what the host saw, with resources and fences", async () => {
    const clock = new VirtualClock();
    const faults = new CommandFaults(clock);
    see(faults, { op: "getDisplayInfo" });
    await clock.advance(5);
    see(faults, unref(7), 1);
    const [first, second] = faults.log();
    expect(first).toMatchObject({ sequence: 1, queue: 0, type: GpuCommand.GET_DISPLAY_INFO, resourceId: 0, atMs: 0 });
    expect(second).toMatchObject({ sequence: 2, queue: 1, resourceId: 7, fenceId: 9, atMs: 5 });
    expect(faults.render()).toBe("GET_DISPLAY_INFO\nRESOURCE_UNREF 7");
    expect(faults.render(1)).toBe("RESOURCE_UNREF 7");
    expect(faults.count).toBe(2);
  });

  it("finds the resource in every command that names one", () => {
    const rect = { x: 1, y: 2, width: 3, height: 4 };
    const common = { resourceId: 7, scanoutId: 1, ...rect, format: 1 };
    const blob = { blobMemory: 1, blobFlags: 1, blobIdLow: 2, blobIdHigh: 3, size: 4096 };
    const framebuffer = { framebufferWidth: 3, framebufferHeight: 4 };
    const at = { hotX: 0, hotY: 0 };
    const box = { x: 1, y: 2, z: 3, width: 4, height: 5, depth: 6 };
    const transfer = { ...box, offset: 8, resourceId: 7, level: 1, stride: 2, layerStride: 3 };
    const commands: readonly Command[] = [
      { op: "resourceCreate2d", ...common },
      unref(7),
      { op: "setScanout", ...common },
      { op: "resourceFlush", ...common },
      { op: "transferToHost2d", ...common, offset: 5 },
      { op: "resourceAttachBacking", resourceId: 7, entries: [{ address: 4096, byteLength: 4096 }] },
      { op: "resourceDetachBacking", resourceId: 7 },
      { op: "resourceAssignUuid", resourceId: 7 },
      { op: "resourceCreateBlob", resourceId: 7, ...blob, entries: [] },
      { op: "setScanoutBlob", ...common, ...framebuffer, strides: [1, 2, 3, 4], offsets: [5, 6, 7, 8] },
      { op: "ctxAttachResource", resourceId: 7 },
      { op: "ctxDetachResource", resourceId: 7 },
      { op: "transferToHost3d", ...transfer },
      { op: "transferFromHost3d", ...transfer },
      { op: "resourceMapBlob", resourceId: 7, offset: 4096 },
      { op: "resourceUnmapBlob", resourceId: 7 },
      { op: "updateCursor", ...common, ...at },
      { op: "moveCursor", ...common, ...at },
    ];
    const faults = new CommandFaults();
    for (const command of commands) see(faults, command);
    expect(faults.log().map(({ type, resourceId }) => [type, resourceId])).toEqual(
      commands.map((command) => [COMMAND_TYPES[command.op], 7]),
    );
  });

  it("strikes the k-th command from the injection on", () => {
    const faults = new CommandFaults();
    see(faults, unref(1));
    faults.inject({ at: 3, effect: { kind: "drop" } });
    const struck = [2, 3, 4, 5].map((id) => see(faults, unref(id)).effect !== null);
    expect(struck).toEqual([false, false, true, false]);
    expect(faults.struck).toBe(1);
  });

  it("counts only commands that meet the conditions, and strikes as many as told", () => {
    const faults = new CommandFaults();
    faults.inject({ type: GpuCommand.RESOURCE_UNREF, queue: 0, at: 2, times: 2, effect: { kind: "hang" } });
    faults.inject({ resourceId: 9, times: Infinity, effect: { kind: "drop" } });
    const kinds = [
      see(faults, { op: "getDisplayInfo" }),
      see(faults, unref(1)),
      see(faults, unref(1), 1),
      see(faults, unref(9)),
      see(faults, unref(1)),
      see(faults, unref(1)),
      see(faults, unref(9)),
    ].map(({ effect }) => effect?.kind ?? null);
    expect(kinds).toEqual([null, null, null, "hang", "hang", null, "drop"]);
    faults.clear();
    expect(see(faults, unref(9)).effect).toBeNull();
  });

  it("takes a request without a header for what it is", () => {
    const faults = new CommandFaults();
    expect(faults.see(0, new Uint32Array(24), 8).command).toMatchObject({ type: 0, resourceId: 0, fenceId: null });
  });
});
