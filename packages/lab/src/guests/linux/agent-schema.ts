/**
 * The checks on what the agent says. It runs in a guest whose kernel and driver are under test, so nothing that comes from it
 * is taken on trust.
 */
import type { AgentCall, AgentCalls, SceneObject, Size } from "@virtgpu/linux/agent";
import * as v from "valibot";

const whole = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER));
const side = v.pipe(whole, v.minValue(1), v.maxValue(16_384));
const milliseconds = v.nullable(v.pipe(v.number(), v.finite(), v.minValue(0)));
const text = v.pipe(v.string(), v.maxLength(4096));
const few = <Item extends v.GenericSchema>(item: Item, most: number) => v.pipe(v.array(item), v.maxLength(most));

const OBJECTS_MAX = 100_000;
const OUTPUTS_MAX = 64;
const LINES_MAX = 100_000;

const size: v.GenericSchema<unknown, Size> = v.object({ width: side, height: side });
const sha256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));
const sceneObject: v.GenericSchema<unknown, SceneObject> = v.object({
  index: whole,
  kind: v.pipe(v.string(), v.maxLength(64)),
  width: side,
  height: side,
  sha256,
});
const objects = few(sceneObject, OBJECTS_MAX);
const nothing = v.object({});

type Results = { readonly [Call in AgentCall]: v.GenericSchema<unknown, AgentCalls[Call]["result"]> };

/** What each call's answer looks like. */
export const AGENT_RESULTS: Results = {
  hello: v.object({
    kernel: text,
    driver: v.picklist(["virtgpu", "kernel"]),
    way: text,
    gpus: few(text, OUTPUTS_MAX),
    outputs: few(v.object({ name: text, connected: v.boolean() }), OUTPUTS_MAX),
  }),
  scene: v.object({
    objects,
    shown: few(v.nullable(whole), OUTPUTS_MAX),
    notOffered: few(v.object({ kind: text, reason: text }), OUTPUTS_MAX),
  }),
  flips: v.object({ flips: whole, failed: whole, reason: v.nullable(text) }),
  show: nothing,
  redraw: nothing,
  draw: v.object({ sha256 }),
  hashes: v.object({ objects }),
  clear: nothing,
  outputs: v.object({
    outputs: few(v.object({ name: text, connected: v.boolean(), modes: few(size, 1024) }), OUTPUTS_MAX),
  }),
  sleep: v.object({
    error: v.nullable(text),
    picture: milliseconds,
    complete: milliseconds,
    restored: v.nullable(whole),
    lost: v.nullable(whole),
    problems: few(text, LINES_MAX),
  }),
  console: v.object({ lines: few(text, 1024), isShown: v.boolean() }),
  remedy: nothing,
  log: v.object({ lines: few(text, LINES_MAX) }),
  hang: nothing,
  finish: nothing,
};

/** A message of the agent, whatever it is about. */
export const agentMessage: v.GenericSchema<
  unknown,
  | { readonly event: "ready" }
  | { readonly event: "failed"; readonly reason: string }
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: string }
> = v.union([
  v.object({ event: v.literal("ready") }),
  v.object({ event: v.literal("failed"), reason: text }),
  v.object({ id: whole, error: text }),
  v.object({ id: whole, result: v.unknown() }),
]);
