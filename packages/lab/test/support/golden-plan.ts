/**
 * What is asked of a real QEMU for the golden file: every 2D command, its error replies, fences, short requests and
 * short reply buffers, in one sequence, for the replies depend on what came before.
 *
 * Left out on purpose: a transfer whose source starts behind the backing (QEMU 7.2 aborts), sizes whose product wraps
 * 32 bits (7.2 then asks the machine for gigabytes), and requests shorter than a header (never answered).
 */
import { NO_FENCE, type RawCommand, type RawFence, replyCapacity } from "../../src/oracle/raw-commands.ts";
import { FREE_MEMORY } from "../../src/oracle/ring-guest.ts";

/** One exchange to make. */
export interface GoldenStep {
  readonly name: string;
  readonly command: RawCommand;
  readonly fence: RawFence;
  /** Bytes of the reply buffer. */
  readonly capacity: number;
}

/** Outputs of the device that the plan is for. */
export const GOLDEN_OUTPUTS = 2;

const FENCE: RawFence = { flags: 1, fenceId: 0x1122334455667788n, contextId: 0, ringIndex: 0 };
/** What the reply must not repeat: context, ring and unknown flags; the fence bit alone counts. */
const CROWDED: RawFence = { flags: 0xff, fenceId: 0xfedcba9876543210n, contextId: 7, ringIndex: 3 };
/** Fields filled in without the fence bit. */
const UNFENCED: RawFence = { flags: 0, fenceId: 5n, contextId: 7, ringIndex: 3 };

const full = [0, 0, 64, 64] as const;
const FORMATS = [1, 2, 3, 4, 67, 68, 121, 134] as const;

function step(name: string, command: RawCommand, options: { fence?: RawFence; capacity?: number } = {}): GoldenStep {
  return { name, command, fence: options.fence ?? NO_FENCE, capacity: options.capacity ?? replyCapacity(command) };
}

function create(resource_id: number, format: number, width: number, height: number): RawCommand {
  return { command: "resource_create_2d", resource_id, format, width, height };
}

function attach(resource_id: number, entries: readonly (readonly [number, number])[]): RawCommand {
  return { command: "resource_attach_backing", resource_id, entries };
}

function transfer(r: readonly [number, number, number, number], resource_id: number, offset: number = 0): RawCommand {
  return { command: "transfer_to_host_2d", r, offset, resource_id };
}

function scanout(r: readonly [number, number, number, number], scanout_id: number, resource_id: number): RawCommand {
  return { command: "set_scanout", r, scanout_id, resource_id };
}

function flush(r: readonly [number, number, number, number], resource_id: number): RawCommand {
  return { command: "resource_flush", r, resource_id };
}

function information(): readonly GoldenStep[] {
  return [
    step("display info of two outputs", { command: "get_display_info" }),
    step("EDID of output 0", { command: "get_edid", scanout: 0 }),
    step("EDID of output 1", { command: "get_edid", scanout: 1 }),
    step("EDID of an output that is not there", { command: "get_edid", scanout: GOLDEN_OUTPUTS }),
    step("display info into a reply buffer of a header", { command: "get_display_info" }, { capacity: 24 }),
    step(
      "display info into a reply buffer that is cut in the second output",
      { command: "get_display_info" },
      { capacity: 60 },
    ),
  ];
}

function creation(): readonly GoldenStep[] {
  return [
    step("create", create(1, 2, 64, 64)),
    step("create with an id in use", create(1, 2, 64, 64)),
    step("create with id 0", create(0, 2, 64, 64)),
    step("create with an unknown format", create(2, 77, 64, 64)),
    step("create with format 0", create(2, 0, 64, 64)),
    step("create larger than the host allows", create(2, 2, 16384, 16384)),
    step("create without width", create(3, 2, 0, 64)),
    step("create without height", create(4, 2, 64, 0)),
    ...FORMATS.map((format, index) => step(`create format ${format}`, create(100 + index, format, 16, 16))),
    step("create with the highest id", create(0xffffffff, 1, 16, 16)),
    step("unref the highest id", { command: "resource_unref", resource_id: 0xffffffff }),
    step("unref an unknown id", { command: "resource_unref", resource_id: 999 }),
    step("unref id 0", { command: "resource_unref", resource_id: 0 }),
  ];
}

function backing(): readonly GoldenStep[] {
  return [
    step("set scanout without backing", scanout(full, 0, 1)),
    step("transfer without backing", transfer(full, 1)),
    step("detach nothing", { command: "resource_detach_backing", resource_id: 1 }),
    step("attach to an unknown id", attach(999, [[FREE_MEMORY, 4096]])),
    step("attach an entry of length 0", attach(1, [[FREE_MEMORY, 0]])),
    step("attach no entries", attach(1, [])),
    step("transfer after no entries were attached", transfer(full, 1)),
    step(
      "attach four scattered pages",
      attach(
        1,
        [3, 1, 0, 2].map((page) => [FREE_MEMORY + page * 8192, 4096] as const),
      ),
    ),
    step("attach again", attach(1, [[FREE_MEMORY, 4096]])),
    step("attach fewer entries than announced", { command: "raw", type: 0x106, body: [100, 0, 0, 0, 2, 0, 0, 0] }),
    step("attach more entries than allowed", { command: "raw", type: 0x106, body: [100, 0, 0, 0, 1, 64, 0, 0] }),
    step("detach an unknown id", { command: "resource_detach_backing", resource_id: 999 }),
    step("attach less than the image", attach(101, [[FREE_MEMORY, 512]])),
    step("transfer from a backing that is too short", transfer([0, 0, 16, 16], 101)),
  ];
}

function transfers(): readonly GoldenStep[] {
  return [
    step("transfer", transfer(full, 1)),
    step("transfer a rectangle", transfer([8, 8, 16, 16], 1, 8 * 256 + 32)),
    step("transfer an empty rectangle", transfer([0, 0, 0, 0], 1)),
    step("transfer an unknown id", transfer(full, 999)),
    step("transfer one column too many", transfer([0, 0, 65, 64], 1)),
    step("transfer one row too many", transfer([0, 1, 64, 64], 1)),
    step("transfer a rectangle that wraps", transfer([0xffffffff, 0, 2, 1], 1)),
    step("transfer from the end of the backing", transfer([0, 0, 16, 1], 1, 4 * 4096)),
  ];
}

function display(): readonly GoldenStep[] {
  return [
    step("set scanout", scanout(full, 0, 1)),
    step("set scanout of a part on output 1", scanout([16, 16, 32, 32], 1, 1)),
    step("set scanout of an output that is not there", scanout(full, GOLDEN_OUTPUTS, 1)),
    step("set scanout off on an output that is not there", scanout(full, 16, 0)),
    step("set scanout to an unknown id", scanout(full, 0, 999)),
    step("set scanout outside the image", scanout([1, 0, 64, 64], 0, 1)),
    step("set scanout of 15 columns", scanout([0, 0, 15, 64], 0, 1)),
    step("set scanout of 15 rows", scanout([0, 0, 64, 15], 0, 1)),
    step("set scanout that wraps", scanout([0xfffffff0, 0, 64, 64], 0, 1)),
    step("flush", flush(full, 1)),
    step("flush a rectangle", flush([5, 6, 7, 8], 1)),
    step("flush an empty rectangle", flush([0, 0, 0, 0], 1)),
    step("flush outside the image", flush([0, 0, 65, 64], 1)),
    step("flush a rectangle that wraps", flush([1, 0, 0xffffffff, 1], 1)),
    step("flush an unknown id", flush(full, 999)),
    step("flush what is not shown", flush([0, 0, 16, 16], 100)),
    step("set scanout off", scanout([0, 0, 0, 0], 1, 0)),
  ];
}

function headers(): readonly GoldenStep[] {
  return [
    step("fenced", flush(full, 1), { fence: FENCE }),
    step("fenced display info", { command: "get_display_info" }, { fence: FENCE }),
    step("fenced error", flush(full, 999), { fence: FENCE }),
    step("fenced, with context, ring and unknown flags", flush(full, 1), { fence: CROWDED }),
    step("not fenced, with a fence id all the same", flush(full, 1), { fence: UNFENCED }),
    step("unknown command", { command: "raw", type: 0x1234, body: [] }),
    step("unknown command, fenced", { command: "raw", type: 0x1234, body: [] }, { fence: FENCE }),
    step("command 0", { command: "raw", type: 0, body: [] }),
    step("3D command", { command: "raw", type: 0x200, body: Array.from({ length: 72 }, () => 0) }),
    step("blob", { command: "raw", type: 0x10c, body: Array.from({ length: 32 }, () => 0) }),
    step("set scanout blob", { command: "raw", type: 0x10d, body: Array.from({ length: 72 }, () => 0) }),
    step("capset", { command: "raw", type: 0x109, body: Array.from({ length: 8 }, () => 0) }),
    step("capset info", { command: "raw", type: 0x108, body: [0, 0, 0, 0, 0, 0, 0, 0] }),
    step("resource uuid", { command: "raw", type: 0x10b, body: [1, 0, 0, 0, 0, 0, 0, 0] }),
    step("cursor command on the control queue", {
      command: "raw",
      type: 0x300,
      body: Array.from({ length: 32 }, () => 0),
    }),
    step("create that is cut short", { command: "raw", type: 0x101, body: [50, 0, 0, 0, 2, 0, 0, 0] }),
    step("flush of what that create did not make", flush(full, 50)),
    step("flush with bytes to spare", {
      command: "raw",
      type: 0x104,
      body: [...Array.from({ length: 16 }, () => 0), 1, ...Array.from({ length: 19 }, () => 0)],
    }),
    step("a reply buffer of nothing but the type", flush(full, 999), { capacity: 4 }),
    step("no reply buffer", flush(full, 1), { capacity: 0 }),
  ];
}

function cursors(): readonly GoldenStep[] {
  const cursor = { scanout_id: 0, x: 100, y: 50, resource_id: 1, hot_x: 3, hot_y: 4 };
  return [
    step("update cursor", { command: "update_cursor", cursor }),
    step("move cursor", { command: "move_cursor", cursor: { ...cursor, x: 200 } }),
    step("update cursor to an unknown id", { command: "update_cursor", cursor: { ...cursor, resource_id: 999 } }),
    step("update cursor on an output that is not there", {
      command: "update_cursor",
      cursor: { ...cursor, scanout_id: 9 },
    }),
    step("hide cursor", { command: "update_cursor", cursor: { ...cursor, resource_id: 0 } }),
    step("update cursor, fenced", { command: "update_cursor", cursor }, { fence: FENCE }),
    step("move cursor without a reply buffer", { command: "move_cursor", cursor }, { capacity: 0 }),
  ];
}

function farewell(): readonly GoldenStep[] {
  return [
    step("detach from what is shown", { command: "resource_detach_backing", resource_id: 1 }),
    step("flush after that", flush(full, 1)),
    step("attach in one piece", attach(1, [[FREE_MEMORY, 16384]])),
    step("unref what is shown and has backing", { command: "resource_unref", resource_id: 1 }),
    step("flush what is gone", flush(full, 1)),
    step("create its id anew", create(1, 2, 32, 32)),
  ];
}

/** The whole sequence, with a fence of its own for each step that has none if `fenced`. */
export function goldenPlan(fenced: boolean = false): readonly GoldenStep[] {
  const steps = plainPlan();
  if (!fenced) return steps;
  return steps.map((given, index) => {
    const fence = { flags: 1, fenceId: 0xabcdef0100000000n + BigInt(index), contextId: 0, ringIndex: 0 };
    return given.fence === NO_FENCE ? { ...given, fence } : given;
  });
}

function plainPlan(): readonly GoldenStep[] {
  return [
    ...information(),
    ...creation(),
    ...backing(),
    ...transfers(),
    ...display(),
    ...headers(),
    ...cursors(),
    ...farewell(),
  ];
}
