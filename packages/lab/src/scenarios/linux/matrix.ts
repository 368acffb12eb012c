/**
 * Every way to sleep, and every hard case, with every driver: which cells there are, how they are put into few guest lives,
 * and the table that comes of them.
 */
import type { SleepWay } from "@virtgpu/linux/agent";
import type { LinuxSleep, LinuxVerdict } from "../../report/linux-record.ts";
import { shortened } from "../../report/markup.ts";
import { msText } from "../../report/quantities.ts";
import { LINUX_CASES } from "./cases.ts";
import { exitCodeOf } from "./judge.ts";
import { isSleepWay, LINUX_SLEEP_WAYS } from "./ways.ts";

/** A driver on a kernel. */
export interface MatrixGuest {
  readonly name: string;
  readonly driver: "virtgpu" | "kernel";
  readonly way: "uio" | "vfio" | "pci-cfg";
  readonly kernel: "cloud" | "generic" | "backports-cloud" | "backports-generic";
  readonly remedy: boolean;
}

const ours = { driver: "virtgpu", kernel: "cloud", remedy: false } as const;
const theirs = { driver: "kernel", way: "uio", remedy: false } as const;

/** The columns. */
export const MATRIX_GUESTS: readonly MatrixGuest[] = [
  { ...ours, name: "ours, uio", way: "uio" },
  { ...ours, name: "ours, vfio", way: "vfio" },
  { ...ours, name: "ours, PCI_CFG", way: "pci-cfg" },
  { ...theirs, name: "kernel 6.1", kernel: "generic" },
  { ...theirs, name: "kernel 6.12", kernel: "backports-generic" },
];

/** A cell that was run. */
export interface GuestCell {
  readonly guest: string;
  /** A way to sleep, or a case. */
  readonly row: string;
  readonly verdict: LinuxVerdict | "failed";
  /** The checks that failed, with what was seen. */
  readonly failed: readonly string[];
  /** Why the kernel did not even try; null: it did. */
  readonly notOffered: string | null;
  readonly reason: string | null;
  readonly pictureMs: number | null;
  readonly completeMs: number | null;
}

/** Cases that are no cell: the plain one is what the ways are run with, and no driver has a say in the other. */
const NO_CELLS = ["plain", "other-memory"];

/** Cases in the matrix. */
export const MATRIX_CASES: readonly string[] = Object.keys(LINUX_CASES).filter((name) => !NO_CELLS.includes(name));

/** All rows. */
export function matrixRows(): readonly string[] {
  return [...Object.keys(LINUX_SLEEP_WAYS), ...MATRIX_CASES];
}

/** A guest life of the matrix: some ways in one life, or a case in one of its own. */
export interface MatrixLife {
  readonly guest: MatrixGuest;
  readonly chain: readonly SleepWay[];
  /** Null: plain. */
  readonly hard: string | null;
}

/** A life that is ended from outside loses no more than these. */
const WAYS_A_LIFE = 5;

/**
 * Lives for these rows of a guest: ways that come through share one, the ACPI S3 last (QEMU's q35 reaches no S4 behind it),
 * those that leave something behind and cases have their own. A driver that is lost by most of them has a life for each.
 */
export function planLives(guest: MatrixGuest, rows: readonly string[]): readonly MatrixLife[] {
  const ways = rows.filter(isSleepWay);
  const alone = ways.filter((way) => ALONE.includes(way) || (guest.driver === "kernel" && way !== "pm-test-freezer"));
  const shared = ways.filter((way) => !alone.includes(way));
  shared.sort((one, other) => Number(LINUX_SLEEP_WAYS[one].isS3) - Number(LINUX_SLEEP_WAYS[other].isS3));
  const cases = rows.filter((row) => MATRIX_CASES.includes(row));
  const fitting = cases.filter((name) => guest.driver === "virtgpu" || LINUX_CASES[name]?.onlyOurs !== true);
  const [trials, sleeps] = [true, false].map((isTrial) =>
    shared.filter((way) => way.startsWith("pm-test") === isTrial),
  );
  return [
    ...inLives(sleeps ?? []).map((chain) => ({ guest, chain, hard: null })),
    ...inLives(trials ?? []).map((chain) => ({ guest: withTrials(guest), chain, hard: null })),
    ...alone.map((way) => ({ guest, chain: [way], hard: null })),
    ...fitting.map((hard) => ({ guest, chain: [], hard })),
  ];
}

/**
 * A hybrid sleep may be the last of a q35, two images of one disk leave nothing of it to others, and a test_resume that the
 * kernel breaks off leaves swap space taken, so that no later swapoff(2) ends (Linux 6.1, kernel/power/hibernate.c).
 */
const ALONE: readonly SleepWay[] = ["hybrid", "uswsusp-twice", "test-resume"];

function inLives(ways: readonly SleepWay[]): readonly (readonly SleepWay[])[] {
  return Array.from({ length: Math.ceil(ways.length / WAYS_A_LIFE) }, (_, at) => {
    return ways.slice(at * WAYS_A_LIFE, (at + 1) * WAYS_A_LIFE);
  });
}

/** Debian's cloud kernel has no pm_test. */
function withTrials(guest: MatrixGuest): MatrixGuest {
  return guest.kernel === "cloud" ? { ...guest, kernel: "generic" } : guest;
}

/** The cell of a life's sleeps: of one way, or of a whole case. */
export function cellOf(guest: string, row: string, sleeps: readonly LinuxSleep[]): GuestCell {
  const worst = sleeps.find(({ verdict }) => verdict !== "came-back") ?? sleeps.at(-1);
  const checks = sleeps.flatMap((sleep) => sleep.checks);
  const refused = checks.find(({ name, result }) => name.startsWith("the kernel sleeps") && result === "not-offered");
  return {
    guest,
    row,
    verdict: worst?.verdict ?? "failed",
    failed: checks
      .filter(({ result }) => result === "fail")
      .map(({ name, detail }) => `${name} (${firstLine(detail)})`),
    notOffered: refused?.detail ?? null,
    reason: worst?.reason ?? null,
    pictureMs: worst?.times.guestPicture ?? null,
    completeMs: worst?.times.guestComplete ?? null,
  };
}

function firstLine(text: string): string {
  const [first = ""] = text.split("\n");
  return shortened(first.replaceAll("|", "/"), 160);
}

/** Whether a cell is as good as can be. */
export function isGreen({ verdict, failed }: GuestCell): boolean {
  return verdict === "came-back" && failed.length === 0;
}

const WORDS: Readonly<Record<GuestCell["verdict"], string>> = {
  "came-back": "came back",
  "came-back-after-redraw": "after a redraw",
  never: "**never**",
  hung: "**hung**",
  failed: "no guest",
};

/** A time of one scene in two guests of the same kernel. */
export interface TimeRow {
  readonly objects: string;
  readonly guest: string;
  readonly pictureMs: number | null;
  readonly completeMs: number | null;
  readonly wakeMs: number | null;
  readonly verdict: string;
}

/** The document: a table of cells, why cells are red, and times. */
export function matrixDocument(cells: readonly GuestCell[], times: readonly TimeRow[]): string {
  const guests = MATRIX_GUESTS.map(({ name }) => name);
  const notes: string[] = [];
  const head = `| sleep, or case | ${guests.join(" | ")} |\n| --- |${guests.map(() => " --- |").join("")}\n`;
  const rows = matrixRows().map((row) => {
    const texts = guests.map((guest) => {
      const cell = cells.find((one) => one.guest === guest && one.row === row);
      return cell === undefined ? "" : cellText(cell, notes);
    });
    return `| ${row} | ${texts.join(" | ")} |\n`;
  });
  const about = [...Object.entries(LINUX_SLEEP_WAYS), ...Object.entries(LINUX_CASES)]
    .filter(([name]) => !NO_CELLS.includes(name))
    .map(([name, facts]) => `* \`${name}\`: ${facts.about}\n`);
  const why = notes.map((note, at) => `${at + 1}. ${note}\n`);
  return `${HEAD}\n${head}${rows.join("")}\n${LEGEND}\n## Why\n\n${why.join("")}\n## Ways and cases\n\n${about.join("")}${timeTable(times)}`;
}

const HEAD = `# Drivers in Linux guests, asleep and awake again

Written by \`npm run linux-matrix\`; each cell is what \`virtgpu linux\` says of a real kernel in a QEMU under software emulation.
Two outputs with different pictures, off-screen objects shown one after the other, a cursor, an application that flips
pages until the freeze, a display that changes meanwhile.
`;

const LEGEND = `✓: it came back by itself and every check passed. A number leads to the reason below. Empty: not run, or not for this driver.
`;

function cellText(cell: GuestCell, notes: string[]): string {
  const { verdict, failed, notOffered, reason } = cell;
  const marker = (note: string): string => {
    if (!notes.includes(note)) notes.push(note);
    return `${notes.indexOf(note) + 1}`;
  };
  const refused = notOffered === null ? "" : ` (${marker(notOffered)})`;
  if (isGreen(cell)) return notOffered === null ? "✓" : `✓ refused${refused}`;
  if (verdict === "came-back") return `came back, but (${marker(`not so: ${failed.join("; ")}`)})`;
  return `${WORDS[verdict]}${reason === null ? "" : ` (${marker(causeOf(reason))})`}`;
}

/** A reason without the line that it quotes, and without what came after. */
function causeOf(reason: string): string {
  const [cause = ""] = reason.replace(/ ?\("[^"]*"\)/g, "").split("; ");
  return cause.replaceAll("|", "/");
}

function timeTable(times: readonly TimeRow[]): string {
  if (times.length === 0) return "";
  const time = (ms: number | null): string => (ms === null ? "–" : msText(ms));
  const rows = times.map(({ objects, guest, wakeMs, pictureMs, completeMs, verdict }) => {
    return `| ${objects} | ${guest} | ${verdict} | ${time(pictureMs)} | ${time(completeMs)} | ${time(wakeMs)} |\n`;
  });
  return `
## Times

In the same VM (Debian's generic kernel, s4-platform), by the guest's clock from the return of the sleep: to the picture, and to all
objects. The last column is the host's: from the start of the new QEMU to the picture, the boot and the reading of the image
included. Software emulation, on a machine that may have had other work: compare rows with one another.

| objects | driver | verdict | picture | all objects | with the boot |
| --- | --- | --- | ---: | ---: | ---: |
${rows.join("")}${AGAINST_THE_SERIES}`;
}

/** Measured once with the series on Linux 6.12, in a machine like this one. */
const AGAINST_THE_SERIES = `
A kernel with the "Virtio-GPU S4 support" series walks over 10, 100, 1,000 and 10,000 such objects in 1 ms, 35 ms, 130 ms and
2.4 s, and its picture waits for all of them. It creates and attaches them, and uploads nothing that is not shown; ours also
brings back what they hold. The driver in user space does not reach these times here: it is JavaScript on an emulated processor,
and after each wake QEMU translates it anew. Its picture does not wait for the number of objects.
`;

/** Whether all sleeps of a life are well. */
export function isWell(sleeps: readonly LinuxSleep[]): boolean {
  return exitCodeOf(sleeps) === 0;
}
