/**
 * `virtgpu image`: looks at hibernation images. What it does is in image-run.ts, loaded when it is asked for.
 */
import { buildCommand, buildRouteMap, type Command, type RouteMap } from "@stricli/core";
import type { LabContext } from "./context.ts";

/** What was typed. */
export interface ImageFlags {
  readonly json: boolean;
}

const parameters = {
  positional: {
    kind: "tuple",
    parameters: [{ brief: "A hibernation image", parse: (value: string): string => value, placeholder: "FILE" }],
  },
  flags: {
    json: { kind: "boolean", default: false, withNegated: false, brief: "One JSON object on standard output" },
  },
} as const;

const inspectCommand: Command<LabContext> = buildCommand<ImageFlags, [string], LabContext>({
  loader: async () => (await import("./image-run.ts")).runImageInspect,
  parameters,
  docs: {
    brief: "Says what an image holds, and whether it was used",
    fullDescription: "Reads header and directory. Exit code 0, or 1 when the file is no whole image.",
  },
});

const verifyCommand: Command<LabContext> = buildCommand<ImageFlags, [string], LabContext>({
  loader: async () => (await import("./image-run.ts")).runImageVerify,
  parameters,
  docs: {
    brief: "Reads all of an image and checks every byte",
    fullDescription: "Changes nothing. Exit code 0 when the image is whole, used or not; 1 when it is not.",
  },
});

/** See the file's head. */
export const imageRoutes: RouteMap<LabContext> = buildRouteMap({
  routes: { inspect: inspectCommand, verify: verifyCommand },
  docs: { brief: "Looks at hibernation images" },
});
