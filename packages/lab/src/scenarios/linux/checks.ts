/**
 * From what was seen around a sleep to a list of checks. A check bears the ids of the requirements that it shows from outside
 * the driver; what can't be seen from there is not claimed.
 */
import type { SleepWay } from "@virtgpu/linux/agent";
import type { LinuxCheck } from "../../report/linux-record.ts";
import { countText, plural } from "../../report/quantities.ts";
import { type Observation, type OffscreenSeen, type OutputSeen, placeName } from "./observation.ts";
import { LINUX_SLEEP_WAYS } from "./ways.ts";

const LINES_SHOWN = 5;
const WRONG_SHOWN = 5;

/** All checks of one sleep. */
export function checksOf(seen: Observation): readonly LinuxCheck[] {
  if (seen.hung !== null) {
    return [check("the machine comes back and answers", ["R-06 (c)"], false, seen.hung), ...logChecks(seen)];
  }
  return [
    check("the machine comes back and answers", [], seen.stuck === null, seen.stuck ?? "it does"),
    ...sleepChecks(seen),
    ...seen.outputs.map((output) => outputCheck(seen, output)),
    ...twiceChecks(seen),
    drawingCheck(seen),
    ...offscreenChecks(seen),
    cursorCheck(seen),
    memoryCheck(seen),
    flipCheck(seen),
    hotplugCheck(seen),
    ...consoleChecks(seen),
    countCheck(seen),
    ...logChecks(seen),
  ];
}

function check(name: string, requirements: readonly string[], isWell: boolean, detail: string): LinuxCheck {
  return { name, requirements, result: isWell ? "pass" : "fail", detail };
}

function absent(name: string, requirements: readonly string[], detail: string): LinuxCheck {
  return { name, requirements, result: "not-offered", detail };
}

/** A kernel that knows a way not at all says so at once, and nothing was tried. */
const NOT_OFFERED: ReadonlySet<string> = new Set(["EINVAL", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"]);

/** A kernel may know of a way, and still not have it: pm_test without PM_DEBUG, test_resume while its disk is in use. */
function isRefusal(error: string, way: SleepWay): boolean {
  const [code = ""] = error.split(/[: ]/);
  if (NOT_OFFERED.has(code) || error.includes("this kernel takes no")) return true;
  return way === "test-resume" && (code === "EBUSY" || code === "ETXTBSY");
}

function sleepChecks({ way, meant, reply, events, end, isNewProcess }: Observation): readonly LinuxCheck[] {
  const { events: wanted, endsProcess } = LINUX_SLEEP_WAYS[way];
  const error = reply?.error ?? null;
  const told = error === null ? "it slept" : `the kernel answered ${error}`;
  if (meant === "refused") {
    return [check("the sleep is turned back, as it was meant to be", [], error !== null && !isNewProcess, told)];
  }
  const name = "the kernel sleeps as it was asked to";
  if (error !== null && isRefusal(error, way)) {
    return [absent(name, [], `this kernel refuses this way: ${error}`)];
  }
  const slept = check(name, [], error === null, told);
  if (error !== null) return [slept];
  const missing = wanted.filter((event) => !events.includes(event));
  const process = isNewProcess
    ? `the QEMU process ended with ${end?.signal ?? `code ${end?.code ?? "unknown"}`}, and another one woke the guest`
    : "the same QEMU process";
  const isReal = missing.length === 0 && isNewProcess === endsProcess && (!endsProcess || end?.code === 0);
  const detail = `QMP told ${events.join(", ") || "nothing"}; ${process}${missing.length === 0 ? "" : `; no ${missing.join(", ")}`}`;
  return [slept, check("the sleep was what it says", [], isReal, detail)];
}

function outputCheck(seen: Observation, place: OutputSeen): LinuxCheck {
  const { isLit, wasRight, cameBack, shows } = place;
  const { requirements } = LINUX_SLEEP_WAYS[seen.way];
  if (!isLit) return check(`${placeName(place)} stays off`, ["R-39 (b)"], cameBack === "itself", shows);
  const ids = ["R-39 (a)", "R-16 (a)", ...requirements, ...(seen.refusedBefore > 0 ? ["R-37"] : [])];
  const name = `${placeName(place)} shows what it showed, by itself`;
  if (!wasRight) return check(name, ids, false, `before the sleep it did not show what it should: ${shows}`);
  const details = {
    itself: "every pixel is the same",
    redraw: "only after it was shown again",
    draw: "only after something new was drawn",
    never:
      seen.stuck === null
        ? `not even after something new was drawn: ${shows}`
        : `nothing can be drawn any more: ${shows}`,
  };
  return check(name, ids, cameBack === "itself", details[cameBack]);
}

function twiceChecks({ twice }: Observation): readonly LinuxCheck[] {
  if (twice === null) return [];
  const { live, first, detail } = twice;
  return [
    check("the machine that goes on after two images shows what it showed", ["R-15"], live, detail),
    check("the first of two images shows what it showed", ["R-15"], first, detail),
  ];
}

const STUCK = "the agent stopped answering before";

function drawingCheck({ newDrawing, stuck, outputs }: Observation): LinuxCheck {
  const name = "what is drawn afterwards is shown";
  if (newDrawing === null) {
    const reason = outputs.some(({ isLit }) => isLit) ? "nothing could be drawn" : "no output is lit";
    return absent(name, [], stuck === null ? reason : STUCK);
  }
  return check(name, [], newDrawing, newDrawing ? "every pixel is right" : "the output does not show it");
}

const OFFSCREEN_IDS: readonly (readonly [RegExp, string])[] = [
  [/^resource-2d/, "R-16 (c)"],
  [/^import/, "R-19 (b)"],
  [/./, "R-16 (b)"],
];

function offscreenChecks({ offscreen, offscreenReason, expectsLoss, reply }: Observation): readonly LinuxCheck[] {
  if (offscreenReason !== null)
    return [absent("off-screen objects hold what they held", ["R-16 (b)"], offscreenReason)];
  return offscreen.map(({ kind, total, shown, wrong }: OffscreenSeen) => {
    const ids = OFFSCREEN_IDS.filter(([pattern]) => pattern.test(kind)).slice(0, 1);
    const bad = wrong.slice(0, WRONG_SHOWN).map(({ index, detail }) => `object ${index}: ${detail}`);
    const more = wrong.length > bad.length ? ` and ${countText(wrong.length - bad.length)} more` : "";
    const extent =
      shown === total ? `all ${countText(total)}` : `${countText(shown)} of ${countText(total)}, spread evenly,`;
    const detail =
      wrong.length === 0 ? `${extent} shown one after the other, every pixel right` : `${bad.join("; ")}${more}`;
    if (expectsLoss) {
      const reported = reply?.lost ?? 0;
      const name = `off-screen objects (${kind}) hold what they held, but for those that are reported lost`;
      const about = `${countText(wrong.length)} of ${extent.replace(/^all /, "")} are not; ${countText(reported)} are reported`;
      return check(
        name,
        ids.map(([, id]) => id),
        wrong.length <= reported,
        about,
      );
    }
    return check(
      `off-screen objects (${kind}) hold what they held`,
      ids.map(([, id]) => id),
      wrong.length === 0,
      detail,
    );
  });
}

function cursorCheck({ cursor, stuck }: Observation): LinuxCheck {
  const name = "the cursor is what it was";
  if (cursor === null) return absent(name, ["R-17 (a)"], stuck === null ? "the scene has none" : STUCK);
  const { isSame, before, after } = cursor;
  return check(name, ["R-17 (a)"], isSame, isSame ? after : `before: ${before}; after: ${after}`);
}

function memoryCheck({ memory, stuck }: Observation): LinuxCheck {
  const name = "the guest's memory of every object is what it was";
  if (memory === null) return absent(name, [], stuck === null ? "the agent was not asked" : STUCK);
  const { objects, changed } = memory;
  const detail = changed.length === 0 ? plural(objects, "object") : `${changed.length} of ${objects} are not`;
  return check(name, [], changed.length === 0, detail);
}

function flipCheck({ flips, stuck }: Observation): LinuxCheck {
  const name = "an application that flips pages all the time meets no error";
  if (flips === null) return absent(name, ["R-25 (a)"], stuck === null ? "nobody flipped pages" : STUCK);
  const why = flips.reason === null ? "" : `, the first with "${flips.reason}"`;
  const detail = `${countText(flips.flips)} flips, ${countText(flips.failed)} failed${why}`;
  return check(name, ["R-25 (a)"], flips.failed === 0 && flips.flips > 0, detail);
}

function hotplugCheck({ hotplug, hotplugReason, stuck }: Observation): LinuxCheck {
  const name = "a display that changes while the machine sleeps is noticed";
  const ids = ["R-33 (a)", "R-34 (a)"];
  if (hotplug === null) return absent(name, ids, stuck === null ? (hotplugReason ?? "no display was changed") : STUCK);
  const { asked, seen } = hotplug;
  const isSeen = seen.some(({ width, height }) => width === asked.width && height === asked.height);
  const sizes = seen.slice(0, LINES_SHOWN).map(({ width, height }) => `${width}x${height}`);
  return check(
    name,
    ids,
    isSeen,
    `now ${asked.width}x${asked.height}; the guest sees ${sizes.join(", ") || "no mode"}`,
  );
}

const CONSOLE_SAYS = "the kernel's text console says what it said";
const CONSOLE_SHOWS = "the kernel's text console shows what it showed, where the output is given to it";

function consoleChecks({ textConsole, textConsoleReason }: Observation): readonly LinuxCheck[] {
  if (textConsole === null) {
    return textConsoleReason === null ? [] : [absent(CONSOLE_SAYS, [], textConsoleReason)];
  }
  const { text, picture } = textConsole;
  return [
    check(CONSOLE_SAYS, [], text.isSame, text.detail),
    picture === null
      ? absent(CONSOLE_SHOWS, [], "no framebuffer shows it")
      : check(CONSOLE_SHOWS, [], picture.isSame, picture.detail),
  ];
}

function countCheck({ reply, expectsLoss }: Observation): LinuxCheck {
  if (expectsLoss) return reportCheck(reply);
  const name = "the driver itself counts nothing as lost";
  const ids = ["R-26", "R-27 (c)"];
  if (reply === null || reply.lost === null) return absent(name, ids, "the driver does not tell");
  const { lost, restored, problems } = reply;
  const told = problems.length === 0 ? "" : `; it says: ${problems.slice(0, LINES_SHOWN).join("; ")}`;
  return check(name, ids, lost === 0 && problems.length === 0, `${restored ?? "?"} restored, ${lost} lost${told}`);
}

/** Where the host can't give back everything, what is lost has to be told. */
function reportCheck(reply: Observation["reply"]): LinuxCheck {
  const [lost, problems] = [reply?.lost ?? 0, reply?.problems ?? []];
  const told = `${lost} lost${problems.length === 0 ? "" : `; it says: ${problems.slice(0, LINES_SHOWN).join("; ")}`}`;
  return check(
    "the driver reports what this host can't give back",
    ["R-26", "R-27 (c)"],
    lost + problems.length > 0,
    told,
  );
}

function logChecks({ meant, expectsLoss, number, kernelLines, hostLines }: Observation): readonly LinuxCheck[] {
  const id = meant === "refused" ? "R-32 (b)" : number > 1 ? "R-32 (c)" : "R-32 (a)";
  return [
    check("the kernel's log has no complaint", [], kernelLines.length === 0, few(kernelLines)),
    expectsLoss
      ? absent("the host has no complaint", [id], "this host is meant to refuse something")
      : check("the host has no complaint", [id], hostLines.length === 0, few(hostLines)),
  ];
}

function few(lines: readonly string[]): string {
  const more = lines.length > LINES_SHOWN ? `\nand ${lines.length - LINES_SHOWN} more` : "";
  return lines.length === 0 ? "none" : `${lines.slice(0, LINES_SHOWN).join("\n")}${more}`;
}
