/** Commands through driver queue, ring, device and back: RESOURCE_FLUSH of an undisplayed image, against the codec alone. */
import type { BenchRow } from "../../../scripts/bench.ts";
import { silentTracer } from "../src/base/tracer.ts";
import { DesiredState } from "../src/driver/desired/desired-state.ts";
import { GpuCore } from "../src/driver/core.ts";
import type { VirtioGpuOptions } from "../src/driver/index.ts";
import type { CommandOwner } from "../src/driver/session/command-queue.ts";
import type { Session } from "../src/driver/session/session.ts";
import {
  Format,
  GpuCommand,
  HEADER_BYTES,
  RESOURCE_CREATE_2D_BYTES,
  RESOURCE_FLUSH_BYTES,
  readHeader,
  readResourceFlush,
  writeHeader,
  writeResourceCreate2d,
  writeResourceFlush,
} from "../src/wire/index.ts";
import { machine, median, row } from "./machine.ts";

const COMMANDS = 100_000;
const ROUNDS = 7;

/** A session with one image, 1, that nothing shows; on a machine of its own unless another one's driver is to have it. */
export async function session(
  ramBytes: number = 64 << 20,
  driver: VirtioGpuOptions = machine({ ramBytes }).driver,
): Promise<Session> {
  const deadlines = { commandMs: 5000, resetMs: 5000, freezeMs: 10_000, policyMs: 1000 };
  const { tracer = silentTracer } = driver;
  const core = new GpuCore(
    { ...driver, tracer, deadlines, withoutFeatures: 0n, queueSizeMax: 256 },
    new DesiredState(),
  );
  core.move("open");
  const opened = await core.openSession();
  core.move("opened");
  await opened.reconciler.allDone();
  await opened.sender.send(
    { requestBytes: RESOURCE_CREATE_2D_BYTES, replyBytes: HEADER_BYTES, object: 1 },
    (u32, at) => {
      writeHeader(u32, at, GpuCommand.RESOURCE_CREATE_2D, 0, 0, 0, 0, 0);
      writeResourceCreate2d(u32, at, 1, Format.B8G8R8X8, 64, 64);
    },
  );
  return opened;
}

/** Commands a second with `perKick` of them in each kick. */
export function commandRate({ control }: Session, perKick: number): number {
  let answered = 0;
  const owner: CommandOwner = {
    replied: (_step, reply) => {
      if (reply.error === null) answered += 1;
    },
    expired: () => {},
    ended: () => {},
  };
  const start = performance.now();
  for (let sent = 0; sent < COMMANDS; sent += perKick) {
    for (let index = 0; index < perKick; index += 1) {
      if (!control.begin(RESOURCE_FLUSH_BYTES, HEADER_BYTES)) throw new Error("no room");
      writeHeader(control.u32, control.at, GpuCommand.RESOURCE_FLUSH, 0, 0, 0, 0, 0);
      writeResourceFlush(control.u32, control.at, 0, 0, 16, 16, 1);
      control.submit(owner, 0, 1);
    }
    control.kick();
    control.process();
  }
  if (answered !== COMMANDS) throw new Error(`${answered} answers`);
  return COMMANDS / ((performance.now() - start) / 1000);
}

/** The same commands written and read, and nothing else. */
function codecRate(): number {
  const words = new Uint32Array(64);
  let sum = 0;
  const start = performance.now();
  for (let sent = 0; sent < COMMANDS; sent += 1) {
    writeHeader(words, 0, GpuCommand.RESOURCE_FLUSH, 0, 0, 0, 0, 0);
    writeResourceFlush(words, 0, 0, 0, 16, 16, sent);
    sum += readHeader(words, 0).type + readResourceFlush(words, 0).resourceId;
  }
  if (sum === 0) throw new Error("nothing read");
  return COMMANDS / ((performance.now() - start) / 1000);
}

/** See the file's head. */
export async function rows(): Promise<readonly BenchRow[]> {
  const opened = await session();
  const codec = await median(ROUNDS, codecRate);
  const result: BenchRow[] = [];
  for (const perKick of [32, 8, 1]) {
    const value = await median(ROUNDS, () => commandRate(opened, perKick));
    const target = perKick === 32 ? { valueAtLeast: 1_000_000 } : {};
    result.push(
      row(`commands in process, ${perKick} per kick (against the codec alone)`, "commands/s", value, codec, target),
    );
  }
  return result;
}
