/**
 * Phases and commands of a run over time, as SVG. What happened together is one panel, in its own scale: a restore of
 * milliseconds would vanish beside the start of a process.
 *
 * Lengths along the time are percentages, so that a panel can be made wider, and read closer, by its width alone.
 */
import { commandName, GpuReply, replyName } from "@virtgpu/core/wire";
import { type Html, html } from "./markup.ts";
import { countText, msText, plural } from "./quantities.ts";
import type { CommandRecord, PhaseRecord, RunRecord } from "./run-record.ts";

/** Between phases further apart than this a new panel begins. */
const GAP_MS = 100;
const PANELS_MAX = 12;
const BARS_MAX = 400;
/** Above so many commands in a lane they are drawn as how many there were. */
const SINGLE_MAX = 500;
const BUCKETS = 400;
const LANE = 22;
const QUEUE_LANE = 26;
const AXIS = 22;
/** Width of a character on a bar, and of a panel, in pixels; good enough to leave out what can't fit. */
const CHARACTER = 6.6;
const PANEL_WIDTH = 950;

interface Panel {
  readonly process: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly phases: readonly PhaseRecord[];
}

interface Lane {
  readonly name: string;
  readonly height: number;
  readonly marks: readonly Html[];
}

/** All panels; how many were left out is said. */
export function timeline(record: RunRecord): Html {
  const panels = panelsOf(record.phases);
  if (panels.length === 0) return html`<p class="faint">No phase was recorded.</p>`;
  const shown = panels.slice(0, PANELS_MAX).map((panel) => panelFigure(panel, record));
  const left = panels.length - shown.length;
  const rest = left === 0 ? null : html`<p class="faint">${plural(left, "further panel")} in trace.json.</p>`;
  return html`${shown}${rest}`;
}

function panelsOf(phases: readonly PhaseRecord[]): readonly Panel[] {
  const inOrder = [...phases].sort((one, other) => one.startMs - other.startMs || other.durationMs - one.durationMs);
  const panels: { process: number; startMs: number; endMs: number; phases: PhaseRecord[] }[] = [];
  for (const phase of inOrder) {
    const { process, startMs } = phase;
    const endMs = startMs + phase.durationMs;
    const open = panels.findLast((panel) => panel.process === process);
    if (open === undefined || startMs > open.endMs + GAP_MS) {
      panels.push({ process, startMs, endMs, phases: [phase] });
    } else {
      open.endMs = Math.max(open.endMs, endMs);
      open.phases.push(phase);
    }
  }
  return panels;
}

function panelFigure(panel: Panel, { commands, processes }: RunRecord): Html {
  const { process, startMs, endMs } = panel;
  const role = processes.find((row) => row.process === process)?.role ?? "";
  const inside = commands.filter(
    (command) =>
      command.process === process && command.startMs <= endMs && command.startMs + (command.durationMs ?? 0) >= startMs,
  );
  const scale = new Scale(startMs, endMs);
  const lanes = [...phaseLanes(panel.phases, scale), ...commandLanes(inside, scale)];
  const tops = lanes.map((_, at) => AXIS + lanes.slice(0, at).reduce((sum, { height }) => sum + height, 0));
  const height = AXIS + lanes.reduce((sum, lane) => sum + lane.height, 0);
  const names = lanes.map(({ name, height: own }, at) =>
    name === "" ? null : html`<text class="name" x="0" y="${(tops[at] ?? 0) + own / 2 + 4}">${name}</text>`,
  );
  const rows = lanes.map(
    ({ marks, height: own }, at) => html`<svg y="${tops[at] ?? 0}" height="${own}">${marks}</svg>`,
  );
  const about = `process ${process}${role === "" ? "" : `, ${role}`}`;
  const took = `${msText(startMs)} to ${msText(endMs)} of the run: ${msText(endMs - startMs)}, ${plural(inside.length, "command")}`;
  return html`<div class="panel">
<div class="panel-head"><h3>${about}</h3><span class="faint">${took}</span>
<span class="tools" hidden><button type="button" class="out" aria-label="zoom out">−</button><button type="button" class="in" aria-label="zoom in">+</button><button type="button" class="whole">whole</button></span></div>
<div class="lanes"><svg class="names" height="${height}" aria-hidden="true">${names}</svg>
<div class="view"><svg height="${height}" role="img" aria-label="timeline of ${about}">${axis(scale, height)}${rows}</svg></div></div>
</div>`;
}

/** From times to percentages. */
class Scale {
  readonly startMs: number;
  readonly lengthMs: number;

  constructor(startMs: number, endMs: number) {
    this.startMs = startMs;
    this.lengthMs = Math.max(endMs - startMs, 0.001);
  }

  at(ms: number): number {
    return Math.min(100, Math.max(0, ((ms - this.startMs) / this.lengthMs) * 100));
  }

  /** Never so narrow that nobody sees it. */
  width(ms: number, length: number): number {
    return Math.max(0.08, this.at(ms + length) - this.at(ms));
  }
}

const percent = (value: number): string => `${Number(value.toFixed(3))}%`;

function axis(scale: Scale, height: number): readonly Html[] {
  const step = niceStep(scale.lengthMs / 8);
  const ticks = Math.floor(scale.lengthMs / step) + 1;
  return Array.from({ length: ticks }, (_, tick) => {
    const x = scale.at(scale.startMs + tick * step);
    const label =
      x > 96 ? null : html`<text class="axis" x="${percent(x)}" dx="3" y="13">${msLabel(tick * step)}</text>`;
    return html`<line class="grid" x1="${percent(x)}" x2="${percent(x)}" y1="0" y2="${height}"/>${label}`;
  });
}

/** 1, 2 or 5 times a power of ten. */
function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return ([1, 2, 5].find((factor) => factor * power >= least) ?? 10) * power;
}

function msLabel(ms: number): string {
  return `${Number(ms.toPrecision(6))} ms`;
}

/** A lane for each depth of each device; the system first. */
function phaseLanes(phases: readonly PhaseRecord[], scale: Scale): readonly Lane[] {
  const devices = [...new Set(phases.map(({ device }) => device))];
  devices.sort((one, other) => Number(other === "system") - Number(one === "system"));
  return devices.flatMap((device) => {
    const ends: number[] = [];
    const lanes: PhaseRecord[][] = [];
    for (const phase of phases.filter((candidate) => candidate.device === device)) {
      const free = ends.findIndex((endMs) => endMs <= phase.startMs);
      const at = free < 0 ? ends.length : free;
      ends[at] = phase.startMs + phase.durationMs;
      (lanes[at] ??= []).push(phase);
    }
    return lanes.map((lane, depth): Lane => {
      const marks = lane.slice(0, BARS_MAX).map((phase) => phaseBar(phase, scale));
      return { name: depth === 0 ? device : "", height: LANE, marks };
    });
  });
}

function phaseBar({ device, phase, startMs, durationMs, outcome, detail }: PhaseRecord, scale: Scale): Html {
  const width = scale.width(startMs, durationMs);
  const look = outcome === "done" ? (device === "system" ? "system" : "device") : outcome;
  const title = `${phase}: ${msText(durationMs)}, ${outcome}${detail === null ? "" : `: ${detail}`}`;
  const fits = phase.length * CHARACTER + 10 <= (width / 100) * PANEL_WIDTH;
  return html`<svg x="${percent(scale.at(startMs))}" width="${percent(width)}" height="${LANE}"><title>${title}</title><rect class="bar ${look}" width="100%" height="${LANE - 2}" rx="3"/><text class="on-bar${fits ? "" : " tight"}" x="5" y="14">${phase}</text></svg>`;
}

/** A lane for each queue of each device. */
function commandLanes(commands: readonly CommandRecord[], scale: Scale): readonly Lane[] {
  const lanes = new Map<string, CommandRecord[]>();
  for (const command of commands) {
    const name = `${command.device} ${command.queue}`;
    const lane = lanes.get(name);
    if (lane === undefined) lanes.set(name, [command]);
    else lane.push(command);
  }
  return [...lanes].map(([name, lane]): Lane => {
    const marks = lane.length <= SINGLE_MAX ? lane.map((command) => commandBar(command, scale)) : density(lane, scale);
    return { name, height: QUEUE_LANE, marks };
  });
}

const isRefused = ({ reply }: CommandRecord): boolean => reply !== null && reply >= GpuReply.ERR_UNSPEC;

function commandBar(command: CommandRecord, scale: Scale): Html {
  const { type, object, startMs, durationMs, reply } = command;
  const took = durationMs === null ? "no answer" : msText(durationMs);
  const answer = reply === null ? "" : `, ${replyName(reply)}`;
  const of = object === 0 ? "" : ` of ${object}`;
  const look = isRefused(command) || durationMs === null ? "command refused" : "command";
  return html`<rect class="${look}" x="${percent(scale.at(startMs))}" y="6" width="${percent(scale.width(startMs, durationMs ?? 0))}" height="14" fill-opacity="0.55"><title>${commandName(type)}${of}: ${took}${answer}</title></rect>`;
}

/** How many commands began when: the higher, the more. */
function density(commands: readonly CommandRecord[], scale: Scale): readonly Html[] {
  const buckets = Array.from({ length: BUCKETS }, () => ({ count: 0, refused: 0 }));
  for (const command of commands) {
    const bucket = buckets[Math.min(BUCKETS - 1, Math.floor((scale.at(command.startMs) / 100) * BUCKETS))];
    if (bucket === undefined) continue;
    bucket.count += 1;
    if (isRefused(command) || command.durationMs === null) bucket.refused += 1;
  }
  const most = Math.max(...buckets.map(({ count }) => count));
  return buckets.flatMap(({ count, refused }, at) => {
    if (count === 0) return [];
    const height = 2 + (20 * count) / most;
    const title = `${plural(count, "command")}${refused === 0 ? "" : `, ${countText(refused)} without success`}`;
    const look = refused === 0 ? "command" : "command refused";
    const place = { x: percent((at * 100) / BUCKETS), width: percent(100 / BUCKETS) };
    return [
      html`<rect class="${look}" x="${place.x}" y="${(24 - height).toFixed(1)}" width="${place.width}" height="${height.toFixed(1)}"><title>${title}</title></rect>`,
    ];
  });
}
