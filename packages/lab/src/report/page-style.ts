/**
 * The style sheet of a report. Colours are named once, for light and for dark; paper is always light.
 */

const LIGHT = `
  --paper: #ffffff; --ground: #f5f6f8; --ink: #1c2128; --faint: #59636e; --line: #d9dee4;
  --good: #17753a; --good-ground: #e6f5ea; --bad: #b3261e; --bad-ground: #fdecea;
  --broken: #8a5300; --broken-ground: #fff3dc;
  --system: #7a8594; --device: #2f6fd0; --command: #0f8b8d; --bar-ink: #ffffff; --grid: #e4e8ec;`;

const DARK = `
  --paper: #1b1f25; --ground: #12151a; --ink: #e4e8ed; --faint: #9aa5b1; --line: #343b44;
  --good: #63d18a; --good-ground: #15301f; --bad: #ff8a80; --bad-ground: #3a1a19;
  --broken: #f5bd5f; --broken-ground: #352711;
  --system: #66717f; --device: #4279c9; --command: #2aa7a4; --bar-ink: #ffffff; --grid: #2a3038;`;

/** See the file's head. */
export const STYLE: string = `
:root { color-scheme: light dark; ${LIGHT} }
@media (prefers-color-scheme: dark) { :root { ${DARK} } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1160px; margin: 0 auto; padding: 24px 24px 64px; }
h1, h2, h3 { line-height: 1.25; margin: 0; }
h1 { font-size: 24px; } h2 { font-size: 18px; } h3 { font-size: 15px; }
p { margin: 4px 0; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px; margin-top: 18px; }
section > h2 { margin-bottom: 10px; }
section > h3 { margin: 18px 0 8px; }
code, pre, .hash { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 13px; }
code { unicode-bidi: isolate; overflow-wrap: anywhere; }
pre { background: var(--ground); border: 1px solid var(--line); border-radius: 6px; padding: 10px 12px; margin: 8px 0; white-space: pre-wrap; overflow-wrap: anywhere; }
a { color: var(--device); }
small, .faint { color: var(--faint); font-size: 13px; }
.banner { display: flex; gap: 18px; align-items: center; border-radius: 10px; padding: 18px 22px; border: 1px solid; }
.banner .mark { flex: none; width: 52px; height: 52px; border-radius: 50%; display: grid; place-items: center; font-size: 30px; font-weight: 700; color: var(--paper); }
.banner p { overflow-wrap: anywhere; }
.banner .context { color: var(--faint); font-size: 13px; }
.good { color: var(--good); } .bad { color: var(--bad); } .broken { color: var(--broken); }
.banner p { color: var(--ink); }
.banner.good { background: var(--good-ground); border-color: var(--good); } .banner.good .mark { background: var(--good); }
.banner.bad { background: var(--bad-ground); border-color: var(--bad); } .banner.bad .mark { background: var(--bad); }
.banner.broken { background: var(--broken-ground); border-color: var(--broken); } .banner.broken .mark { background: var(--broken); }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 18px 0 0; }
.facts > div { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 10px 14px; }
.facts dt { color: var(--faint); font-size: 13px; }
.facts dd { margin: 0; font-size: 19px; font-weight: 600; font-variant-numeric: tabular-nums; }
.facts dd small { display: block; font-weight: 400; }
.facts .bad { border-color: var(--bad); color: inherit; } .facts .bad dd { color: var(--bad); }
.errors { margin: 0; padding-left: 20px; } .errors li { margin: 4px 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 5px 20px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; color: var(--faint); font-size: 13px; }
td.number, th.number { text-align: right; white-space: nowrap; }
tbody tr:last-child td { border-bottom: 0; } th:last-child, td:last-child { padding-right: 0; }
tfoot td { border-top: 1px solid var(--line); border-bottom: 0; font-weight: 600; }
.values { width: auto; } .values th { white-space: nowrap; padding-right: 24px; } .values td { overflow-wrap: anywhere; }
.values tr:last-child th { border-bottom: 0; }
details { margin-top: 12px; } summary { cursor: pointer; color: var(--faint); } details[open] > summary { margin-bottom: 8px; }
.output { margin-top: 16px; } .output > .panel-head { margin-bottom: 8px; min-height: 28px; align-items: center; }
.pictures { display: grid; grid-template-columns: repeat(3, 1fr); gap: 14px; }
figure { margin: 0; min-width: 0; }
figure img, .stage img { display: block; width: 100%; height: auto; border: 1px solid var(--line); border-radius: 4px; background: #000; }
figcaption { font-size: 13px; color: var(--faint); margin-top: 4px; display: flex; justify-content: space-between; gap: 8px; flex-wrap: wrap; }
figure { display: flex; flex-direction: column; }
.nothing { flex: 1; display: grid; place-items: center; text-align: center; min-height: 120px; border: 1px dashed var(--line); border-radius: 4px; color: var(--faint); padding: 12px; }
.nothing.good { color: var(--good); }
.hash { color: var(--faint); overflow-wrap: anywhere; }
button { font: inherit; font-size: 13px; color: var(--ink); background: var(--ground); border: 1px solid var(--line); border-radius: 6px; padding: 2px 12px; cursor: pointer; }
.tools { display: flex; gap: 6px; align-items: center; } .tools[hidden] { display: none; }
.stage { position: relative; margin-top: 12px; } .stage[hidden] { display: none; }
.stage .upper { position: absolute; inset: 0; height: auto; }
.stage-range { width: 100%; margin: 6px 0 0; accent-color: var(--device); }
.panel { margin-top: 14px; } .panel-head { display: flex; justify-content: space-between; align-items: baseline; gap: 12px; flex-wrap: wrap; }
.lanes { display: flex; margin-top: 6px; } .lanes .names { flex: none; width: 150px; display: block; }
.lanes .view { flex: 1; overflow-x: auto; min-width: 0; } .lanes .view svg { display: block; width: 100%; }
svg text { font: 12px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: var(--ink); }
svg .axis, svg .name { fill: var(--faint); } svg .grid { stroke: var(--grid); }
svg .bar { stroke: var(--paper); stroke-width: 1; } svg .on-bar { fill: var(--bar-ink); } svg .tight { visibility: hidden; }
svg .system { fill: var(--system); } svg .device { fill: var(--device); } svg .failed { fill: var(--bad); }
svg .unfinished { fill: none; stroke: var(--broken); stroke-dasharray: 4 3; } svg .unfinished + .on-bar { fill: var(--ink); }
svg .failed + .on-bar { fill: var(--paper); }
svg .command { fill: var(--command); stroke: var(--command); stroke-width: 0.5; } svg .command.refused { fill: var(--bad); stroke: var(--bad); }
.matrix td, .matrix th { padding: 4px 10px 4px 0; } .matrix td.cell, .matrix th.column { text-align: center; padding: 4px 8px; }
.matrix tbody code { white-space: nowrap; overflow-wrap: normal; }
.matrix th.column { color: var(--ink); overflow-wrap: normal; } .matrix thead th { position: sticky; top: 0; background: var(--paper); }
.matrix td.cell { font-weight: 700; } .matrix td.pass { color: var(--good); } .matrix td.fail { color: var(--paper); background: var(--bad); }
.matrix td.absent { color: var(--faint); font-weight: 400; } .matrix .must { font-size: 11px; font-weight: 400; color: var(--faint); margin-left: 2px; } .matrix td.fail .must { color: var(--paper); }
.matrix tr.first td { border-top: 2px solid var(--line); }
.legend { display: flex; gap: 18px; flex-wrap: wrap; font-size: 13px; color: var(--faint); margin: 8px 0 0; }
@media screen and (max-width: 760px) { .pictures { grid-template-columns: 1fr; } main { padding: 12px; } .lanes .names { width: 96px; } }
@media print {
  :root { color-scheme: light; ${LIGHT} }
  body { background: #fff; font-size: 11pt; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  main { max-width: none; padding: 0; } h2, h3, .panel-head { break-after: avoid; } .facts { grid-template-columns: repeat(3, 1fr); }
  section { border: 0; padding: 0; } section, figure, tr, .panel, .output { break-inside: avoid; } section.long { break-inside: auto; }
  .tools, .stage, .stage-range { display: none; } .lanes .view svg { width: 100% !important; } .matrix thead th { position: static; }
}
`;
