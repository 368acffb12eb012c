/**
 * The table of differences against a real QEMU: each row that QEMU 7.2 can be brought to is met, so that no row excuses
 * what is not there.
 */
import { DEVICE_DIFFERENCES } from "@virtgpu/core/device";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Judge } from "../src/oracle/judge.ts";
import { ModelSide } from "../src/oracle/model-side.ts";
import { type RawCommand, replyCapacity, requestBytes } from "../src/oracle/raw-commands.ts";
import { FREE_MEMORY, whole } from "../src/oracle/ring-guest.ts";
import type { Sequence, SequenceRequest } from "../src/oracle/sequence.ts";
import { ORACLE_RAM_BYTES, QemuSide } from "../src/oracle/side.ts";

let qemu: QemuSide;

beforeAll(async () => {
  qemu = await QemuSide.start();
});

afterAll(async () => {
  await qemu[Symbol.asyncDispose]();
});

function plain(command: RawCommand): SequenceRequest {
  return { name: command.command, ...whole(requestBytes(command), replyCapacity(command)) };
}

/** The request's first `byteLength` bytes. */
function cut(command: RawCommand, byteLength: number): SequenceRequest {
  return { name: command.command, ...whole(requestBytes(command).subarray(0, byteLength), replyCapacity(command)) };
}

/** The last piece of one part of the chain, of `pieces` bytes each, lies where no memory is. */
function outside(command: RawCommand, part: "readable" | "writable", pieces: readonly number[]): SequenceRequest {
  return { ...plain(command), [part]: pieces, outside: part };
}

const create: RawCommand = { command: "resource_create_2d", resource_id: 1, format: 2, width: 20, height: 20 };
const all = [0, 0, 20, 20] as const;

function attach(entries: readonly (readonly [number, number])[]): RawCommand {
  return { command: "resource_attach_backing", resource_id: 1, entries };
}

function transfer(offset: number): RawCommand {
  return { command: "transfer_to_host_2d", r: all, offset, resource_id: 1 };
}

const backed = [create, attach([[FREE_MEMORY, 1600]])].map(plain);

/** What meets each row. Of the others QEMU says nothing here: no blobs, no gigabytes, or a cursor (see below). */
const MEETINGS: Readonly<Record<string, readonly SequenceRequest[]>> = {
  "short-header": [cut(create, 23), cut({ command: "get_display_info" }, 1)],
  "short-request": [cut(create, 24), cut(create, 39), cut(transfer(0), 55)],
  "unreadable-request": [outside(create, "readable", [24, 16])],
  "unwritable-reply": [outside({ command: "get_display_info" }, "writable", [100, 308])],
  "entry-outside-memory": [plain(create), plain(attach([[ORACLE_RAM_BYTES, 1600]]))],
  "transfer-offset": [...backed, plain(transfer(2 ** 32))],
  "transfer-behind-backing": [...backed, plain(transfer(1601))],
  edid: [plain({ command: "get_edid", scanout: 0 })],
};

it.each(Object.entries(MEETINGS))("QEMU differs as the row %s says", async (id, requests) => {
  expect(DEVICE_DIFFERENCES.map((row) => row.id)).toContain(id);
  const judge = new Judge(qemu, new ModelSide());
  judge.spareQemu = false;
  const sequence: Sequence = { memorySeed: 1, steps: [{ kind: "batch", queue: 0, requests }] };
  const { divergence, known } = await judge.judge(sequence);
  expect({ divergence, known: known.map((row) => row.id) }).toEqual({ divergence: null, known: [id] });
});

it("a transfer from exactly the end of the backing is no difference", async () => {
  const requests = [...backed, plain(transfer(0)), plain({ ...transfer(1600), r: [0, 0, 20, 1] } as RawCommand)];
  const sequence: Sequence = { memorySeed: 1, steps: [{ kind: "batch", queue: 0, requests }] };
  const judge = new Judge(qemu, new ModelSide());
  judge.spareQemu = false;
  expect(await judge.judge(sequence)).toMatchObject({ divergence: null, known: [] });
});
