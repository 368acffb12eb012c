/**
 * Every way to sleep with every driver in a Linux guest, to docs/linux-matrix.md:
 *
 *   npm run linux-matrix [-- --shard i/n] [--only TEXT] [--times [--kernel FILE --modules DIR]] [--qemu PATH] [--again]
 *
 * Cells are kept in .cache/linux-matrix, one file a cell, and are not run twice unless `--again` says so; the table is written
 * of all that are there. Shards on several machines: put their files into one folder. With `--kernel` times are taken of that
 * kernel's own driver besides, left to itself.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { LinuxFlags } from "../src/commands/linux.ts";
import { type Lived, liveOnce, loadAgentParts } from "../src/commands/linux-one.ts";
import { makeLinuxPlan } from "../src/commands/linux-plan.ts";
import { DEBIAN_KERNELS, type KernelSource } from "../src/guests/linux/kernel.ts";
import { judgeSleep } from "../src/scenarios/linux/judge.ts";
import {
  cellOf,
  type GuestCell,
  MATRIX_GUESTS,
  matrixDocument,
  type MatrixGuest,
  type MatrixLife,
  matrixRows,
  planLives,
  type TimeRow,
} from "../src/scenarios/linux/matrix.ts";
import type { LifeWatcher } from "../src/scenarios/linux/life.ts";
import type { LifePlan } from "../src/scenarios/linux/plan.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const shelf = join(root, ".cache", "linux-matrix");
const document = join(root, "docs", "linux-matrix.md");

const { values } = parseArgs({
  options: {
    shard: { type: "string", default: "1/1" },
    only: { type: "string", default: "" },
    times: { type: "boolean", default: false },
    qemu: { type: "string" },
    kernel: { type: "string" },
    modules: { type: "string" },
    again: { type: "boolean", default: false },
  },
});
const [, index = 0, count = 0] = (/^(\d{1,4})\/(\d{1,4})$/.exec(values.shard) ?? []).map(Number);
if (!(index >= 1 && index <= count)) {
  console.error(`linux-matrix: --shard is i/n with 1 <= i <= n, for example 2/4, not ${values.shard}`);
  process.exit(2);
}

if ((values.kernel === undefined) !== (values.modules === undefined)) {
  console.error("linux-matrix: --kernel and --modules go together");
  process.exit(2);
}

const agent = await loadAgentParts();
const controller = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => controller.abort());

const clock = (): string => new Date().toISOString().slice(11, 19);
const watcher: LifeWatcher = {
  stage: (title) => console.log(`${clock()}    ${title}`),
  note: (text) => console.log(`${clock()}      ${text}`),
};

function flagsOf(guest: MatrixGuest, changes: Partial<LinuxFlags>): LinuxFlags {
  const { driver, way, remedy } = guest;
  return {
    driver,
    way,
    memory: "hugepages",
    sleep: ["s4-platform"],
    cycles: 1,
    case: "plain",
    objects: 16,
    size: { width: 640, height: 400 },
    gpus: 1,
    device: "virtio-gpu-pci",
    remedy,
    report: "",
    keep: false,
    json: false,
    quiet: true,
    ...(values.qemu === undefined ? {} : { qemu: values.qemu }),
    ...changes,
  };
}

async function live(
  guest: MatrixGuest & { readonly source?: KernelSource },
  changes: Partial<LinuxFlags>,
  plan: Partial<LifePlan> = {},
): Promise<Lived> {
  const planned = makeLinuxPlan(flagsOf(guest, changes), guest.source ?? DEBIAN_KERNELS[guest.kernel], agent);
  // What nobody answers within half a minute is not answered at all.
  const limits = { ...planned.plan.limits, call: 30_000 };
  return liveOnce({ ...planned, plan: { ...planned.plan, limits, ...plan } }, watcher, controller.signal);
}

const fileOf = (guest: string, row: string): string => join(shelf, `${guest}--${row}.json`.replaceAll(/[ ,/]+/g, "_"));

function keep(file: string, cell: GuestCell | TimeRow): void {
  writeFileSync(file, `${JSON.stringify(cell, null, 1)}\n`);
  const { guest, verdict } = cell;
  const what = "row" in cell ? cell.row : cell.objects;
  console.log(`${clock()}  ${guest}  ${what}: ${verdict}`);
}

/** Runs a life; where it ends before all of its ways have had their turn, the others get another one. */
async function runLives({ guest, chain, hard }: MatrixLife): Promise<void> {
  const words = hard === null ? chain.join(", ") : hard;
  console.log(`${clock()}  ${guest.name}: ${words}`);
  try {
    const lived = await live(guest, hard === null ? { sleep: chain } : { case: hard });
    const sleeps = lived.outcome.observations.map(judgeSleep);
    if (hard !== null) {
      keep(fileOf(guest.name, hard), cellOf(guest.name, hard, sleeps));
      return;
    }
    for (const sleep of sleeps) keep(fileOf(guest.name, sleep.way), cellOf(guest.name, sleep.way, [sleep]));
    const left = chain.slice(sleeps.length);
    if (left.length > 0 && sleeps.length > 0) await runLives({ guest, chain: left, hard });
  } catch (error) {
    if (controller.signal.aborted) throw error;
    console.log(`  no guest: ${error instanceof Error ? error.message.split("\n")[0] : String(error)}`);
  }
}

const TIMED: readonly { readonly name: string; readonly offscreen: LifePlan["offscreen"] }[] = [
  ...[10, 100, 1000, 10_000].map((objects) => {
    return { name: `${objects} of 64 KiB`, offscreen: { count: objects, width: 128, height: 128 } };
  }),
  { name: "16 of 1080p", offscreen: { count: 16, width: 1920, height: 1080 } },
];

/** Both on the kernel that has both drivers, and the one that is given. */
const TIMED_GUESTS: readonly (MatrixGuest & { readonly source?: KernelSource })[] = [
  { name: "ours, uio", driver: "virtgpu", way: "uio", kernel: "generic", remedy: false },
  { name: "kernel 6.1, unbound for the sleep", driver: "kernel", way: "uio", kernel: "generic", remedy: true },
  ...givenKernel(),
];

function givenKernel(): readonly (MatrixGuest & { readonly source: KernelSource })[] {
  const { kernel, modules } = values;
  if (kernel === undefined || modules === undefined) return [];
  const source = { kind: "files", kernel: resolve(kernel), modules: resolve(modules) } as const;
  return [
    { name: "the kernel that was given", driver: "kernel", way: "uio", kernel: "generic", remedy: false, source },
  ];
}

async function runTimes(): Promise<void> {
  for (const { name, offscreen } of TIMED) {
    for (const guest of TIMED_GUESTS) {
      const file = join(shelf, `time--${guest.name}--${name}.json`.replaceAll(/[ ,/]+/g, "_"));
      if (!values.again && isThere(file)) continue;
      const plain = { offscreen, cursor: false, extras: false, flips: false, hotplug: false, shownMax: 2 };
      const ram = Math.max(
        1024,
        Math.ceil((3 * offscreen.count * offscreen.width * offscreen.height * 4) / (1 << 20)) + 640,
      );
      try {
        const lived = await live(guest, { ram, objects: offscreen.count }, plain);
        const [sleep] = lived.outcome.observations.map(judgeSleep);
        const { guestPicture = null, guestComplete = null, picture = null } = sleep?.times ?? {};
        const verdict = sleep?.verdict ?? "failed";
        keep(file, {
          objects: name,
          guest: guest.name,
          pictureMs: guestPicture,
          completeMs: guestComplete,
          wakeMs: picture,
          verdict,
        });
      } catch (error) {
        if (controller.signal.aborted) throw error;
        console.log(`  no guest: ${error instanceof Error ? error.message.split("\n")[0] : String(error)}`);
      }
    }
  }
}

function isThere(file: string): boolean {
  try {
    readFileSync(file);
    return true;
  } catch {
    return false;
  }
}

/** All cells and times that are there. */
function readAll(): { cells: GuestCell[]; times: TimeRow[] } {
  const cells: GuestCell[] = [];
  const times: TimeRow[] = [];
  for (const name of readdirSync(shelf)
    .filter((entry) => entry.endsWith(".json"))
    .sort()) {
    const value: GuestCell & TimeRow = JSON.parse(readFileSync(join(shelf, name), "utf8"));
    if (name.startsWith("time--")) times.push(value);
    else cells.push(value);
  }
  const order = new Map(TIMED.map(({ name }, at) => [name, at]));
  times.sort((one, other) => (order.get(one.objects) ?? 0) - (order.get(other.objects) ?? 0));
  return { cells, times };
}

mkdirSync(shelf, { recursive: true });
const wanted = MATRIX_GUESTS.flatMap((guest) => matrixRows().map((row) => ({ guest, row })))
  .filter(({ guest, row }) => `${guest.name} ${row}`.includes(values.only))
  .filter((_, at) => at % count === index - 1)
  .filter(({ guest, row }) => values.again || !isThere(fileOf(guest.name, row)));
try {
  for (const guest of MATRIX_GUESTS) {
    const rows = wanted.filter((cell) => cell.guest.name === guest.name).map(({ row }) => row);
    for (const planned of planLives(guest, rows)) await runLives(planned);
  }
  if (values.times) await runTimes();
} catch (error) {
  if (!controller.signal.aborted) throw error;
  console.error("linux-matrix: interrupted; the table has the cells that are there");
  process.exitCode = 130;
}
const { cells, times } = readAll();
writeFileSync(document, matrixDocument(cells, times));
console.log(`${cells.length} cells and ${times.length} times in docs/linux-matrix.md`);
