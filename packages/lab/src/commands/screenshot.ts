/** `virtgpu screenshot`: its options. What it does is in screenshot-run.ts, loaded when it is asked for. */
import { buildCommand, type Command } from "@stricli/core";
import type { LabContext } from "./context.ts";
import { whole } from "./numbers.ts";

/** What was typed. */
export interface ScreenshotFlags {
  readonly qmp?: string;
  readonly vnc?: string;
  readonly device?: string;
  readonly output: number;
}

const text = (value: string): string => value;

/** See the file's head. */
export const screenshotCommand: Command<LabContext> = buildCommand<ScreenshotFlags, [string], LabContext>({
  loader: async () => (await import("./screenshot-run.ts")).runScreenshotCommand,
  parameters: {
    positional: {
      kind: "tuple",
      parameters: [{ brief: "The PNG to write", parse: text, placeholder: "FILE.png" }],
    },
    flags: {
      qmp: { kind: "parsed", parse: text, optional: true, brief: "QEMU's control socket", placeholder: "SOCKET" },
      vnc: { kind: "parsed", parse: text, optional: true, brief: "An output's VNC server", placeholder: "SOCKET" },
      device: { kind: "parsed", parse: text, optional: true, brief: "With --qmp: the device's id", placeholder: "ID" },
      output: {
        kind: "parsed",
        parse: whole("--output", 0, 15),
        default: "0",
        brief: "With --device: which output",
        placeholder: "N",
      },
    },
  },
  docs: {
    brief: "Takes a picture of a QEMU that runs",
    fullDescription: `SOCKET is a Unix socket's path, or localhost:PORT. By --qmp the picture is the host's own, without the cursor (start QEMU
with -qmp unix:PATH,server=on,wait=off); by --vnc it is what a viewer sees (-vnc unix:PATH,display=ID,head=N).`,
  },
});
