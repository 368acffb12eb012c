/**
 * A scene as plain data: what its application has in memory and needs again when it wakes up in another process.
 */
import type { PagesRecord } from "@virtgpu/core/memory";
import * as v from "valibot";

/** What kinds of objects a scene has; each is recoverable. */
export const SCENE_KINDS: readonly ["image", "detached image", "blob", "detached blob", "import", "cursor", "context"] =
  ["image", "detached image", "blob", "detached blob", "import", "cursor", "context"];

/** One of {@link SCENE_KINDS}. */
export type SceneKind = (typeof SCENE_KINDS)[number];

const count = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER));
const key = v.pipe(v.string(), v.minLength(1), v.maxLength(200));

/** See the file's head. */
export interface SceneState {
  readonly frames: number;
  readonly outputs: readonly { readonly buffers: readonly [string, string]; readonly hasClock: boolean }[];
  readonly items: readonly { readonly key: string; readonly kind: SceneKind }[];
  /** Whoever lent memory to imported buffers, and which pages. */
  readonly exporters: readonly { readonly key: string; readonly pages: PagesRecord }[];
}

const schema: v.GenericSchema<unknown, SceneState> = v.strictObject({
  frames: count,
  outputs: v.array(v.strictObject({ buffers: v.tuple([key, key]), hasClock: v.boolean() })),
  items: v.array(v.strictObject({ key, kind: v.picklist(SCENE_KINDS) })),
  exporters: v.array(
    v.strictObject({
      key,
      pages: v.strictObject({ key: count, byteLength: count, contiguous: v.boolean(), frames: v.array(count) }),
    }),
  ),
});

/** Checks what came out of an image. Throws valibot's ValiError. */
export function parseSceneState(value: unknown): SceneState {
  return v.parse(schema, value);
}
