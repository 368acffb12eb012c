/** The checks on what comes in by the serial port: a line is a request, or a sentence that says why it is none. */
import type { AgentCall, AgentCalls, SceneRequest, Size, SleepWay } from "./protocol.ts";
import { sleepPlans } from "./sleep/ways.ts";

/** A request, checked. */
export type AgentRequest = {
  readonly [Call in AgentCall]: { readonly id: number; readonly call: Call; readonly with: AgentCalls[Call]["with"] };
}[AgentCall];

/** What is wrong with a line; `id` is the request's, where it said one. */
export class RequestError extends Error {
  override readonly name: string = "RequestError";
  readonly id: number | null;

  constructor(id: number | null, reason: string) {
    super(`EINVAL: ${reason}`);
    this.id = id;
  }
}

/** Longest line: a scene on 64 outputs has some thousands of characters. */
export const LINE_MAX = 65_536;

const SIDE_MAX = 16_384;
const OUTPUTS_MAX = 64;
const OFFSCREEN_MAX = 50_000;
const SEED_MAX = 0xffff_ffff;
const HANG_MAX_MS = 600_000;
/** A console without a framebuffer has no more. */
const CONSOLE_LINES_MAX = 24;
const WAYS = new Set<string>([...Object.keys(sleepPlans), "uswsusp", "uswsusp-twice"]);

/** Reads a value, or throws a sentence that names it. */
type Check<T> = (value: unknown, name: string) => T;

const refuse = (reason: string): never => {
  throw new Error(reason);
};

const whole =
  (most: number, least = 0): Check<number> =>
  (value, name) =>
    typeof value === "number" && Number.isSafeInteger(value) && value >= least && value <= most
      ? value
      : refuse(`${name} is no whole number from ${least} to ${most}`);

const flag: Check<boolean> = (value, name) =>
  typeof value === "boolean" ? value : refuse(`${name} is neither true nor false`);

const record: Check<Readonly<Record<string, unknown>>> = (value, name) =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : refuse(`${name} is no object`);

const orNull =
  <T>(check: Check<T>): Check<T | null> =>
  (value, name) =>
    value === null ? null : check(value, name);

const list =
  <T>(check: Check<T>, most: number): Check<readonly T[]> =>
  (value, name) =>
    Array.isArray(value) && value.length <= most
      ? value.map((item: unknown, index) => check(item, `${name}[${index}]`))
      : refuse(`${name} is no list of at most ${most}`);

const size: Check<Size> = (value, name) => {
  const { width, height } = record(value, name);
  const side = whole(SIDE_MAX, 1);
  return { width: side(width, `${name}.width`), height: side(height, `${name}.height`) };
};

/** Printable ASCII: a console takes other characters for orders. */
const consoleLine: Check<string> = (value, name) =>
  typeof value === "string" && /^[ -~]{0,80}$/.test(value) ? value : refuse(`${name} is no line of plain text`);

const way: Check<SleepWay> = (value, name) =>
  typeof value === "string" && WAYS.has(value) ? (value as SleepWay) : refuse(`${name} is no way to sleep`);

const gpu = ({ gpu: index }: Readonly<Record<string, unknown>>): { readonly gpu?: number } =>
  index === undefined ? {} : { gpu: whole(OUTPUTS_MAX)(index, "gpu") };

const [objectIndex, outputIndex, seed] = [whole(OFFSCREEN_MAX * 2), whole(OUTPUTS_MAX), whole(SEED_MAX)];

function scene(given: Readonly<Record<string, unknown>>): SceneRequest {
  const offscreen = record(given["offscreen"], "offscreen");
  return {
    seed: seed(given["seed"], "seed"),
    outputs: list(orNull(size), OUTPUTS_MAX)(given["outputs"], "outputs"),
    offscreen: { ...size(offscreen, "offscreen"), count: whole(OFFSCREEN_MAX)(offscreen["count"], "offscreen.count") },
    cursor: flag(given["cursor"], "cursor"),
    extras: flag(given["extras"], "extras"),
  };
}

type Given = Readonly<Record<string, unknown>>;

const parameters: { readonly [Call in AgentCall]: (given: Given) => AgentCalls[Call]["with"] } = {
  hello: () => ({}),
  scene: (given) => ({ ...scene(given), ...gpu(given) }),
  flips: (given) => ({ output: outputIndex(given["output"], "output"), on: flag(given["on"], "on"), ...gpu(given) }),
  show: (given) => ({
    object: orNull(objectIndex)(given["object"], "object"),
    output: outputIndex(given["output"], "output"),
    ...gpu(given),
  }),
  redraw: gpu,
  draw: (given) => ({
    object: objectIndex(given["object"], "object"),
    seed: seed(given["seed"], "seed"),
    ...gpu(given),
  }),
  hashes: gpu,
  clear: gpu,
  outputs: gpu,
  sleep: (given) => ({ way: way(given["way"], "way") }),
  console: (given) => ({
    isGiven: flag(given["isGiven"], "isGiven"),
    ...(given["write"] === undefined ? {} : { write: list(consoleLine, CONSOLE_LINES_MAX)(given["write"], "write") }),
  }),
  remedy: (given) => ({ on: flag(given["on"], "on") }),
  log: () => ({}),
  hang: (given) => ({ milliseconds: whole(HANG_MAX_MS)(given["milliseconds"], "milliseconds") }),
  finish: () => ({}),
};

const isCall = (call: unknown): call is AgentCall => typeof call === "string" && Object.hasOwn(parameters, call);

/** Reads a line. Throws {@link RequestError}. */
export function parseRequest(line: string): AgentRequest {
  const message = parseObject(line);
  const { id, call } = message;
  if (typeof id !== "number" || !Number.isSafeInteger(id) || id < 0)
    throw new RequestError(null, "id is no whole number");
  if (!isCall(call)) throw new RequestError(id, "there is no such call");
  try {
    const given = record(message["with"], "with");
    return { id, call, with: parameters[call](given) } as AgentRequest;
  } catch (error) {
    throw new RequestError(id, error instanceof Error ? error.message : String(error));
  }
}

function parseObject(line: string): Readonly<Record<string, unknown>> {
  if (line.length > LINE_MAX) throw new RequestError(null, `a line has more than ${LINE_MAX} characters`);
  try {
    return record(JSON.parse(line), "the request");
  } catch {
    throw new RequestError(null, "a line is no JSON object");
  }
}
