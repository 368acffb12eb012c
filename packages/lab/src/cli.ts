/**
 * The command `virtgpu`: one file a command below commands/, each loaded when it is asked for.
 *
 * Exit codes of all commands: 0 well, 1 something was lost (or is not as it must be), 2 a mistake in what was typed,
 * 3 the host or the machine failed.
 */
import { buildApplication, buildRouteMap, run, text_en } from "@stricli/core";
import type { LabContext } from "./commands/context.ts";
import { hibernateCommand } from "./commands/hibernate.ts";
import { imageRoutes } from "./commands/image.ts";
import { infoCommand } from "./commands/info.ts";
import { screenshotCommand } from "./commands/screenshot.ts";
import { traceRoutes } from "./commands/trace.ts";
import { UsageError } from "./usage-error.ts";

const FAILED = 3;
const USAGE = 2;

const sentence = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const application = buildApplication<LabContext>(
  buildRouteMap({
    routes: {
      hibernate: hibernateCommand,
      image: imageRoutes,
      info: infoCommand,
      screenshot: screenshotCommand,
      trace: traceRoutes,
    },
    docs: {
      brief: "A virtio-gpu that comes through suspend and hibernation: shown, tried, and held against a real QEMU",
    },
  }),
  {
    name: "virtgpu",
    scanner: { caseStyle: "allow-kebab-for-camel" },
    documentation: { caseStyle: "convert-camel-to-kebab" },
    determineExitCode: (error) => (error instanceof UsageError ? USAGE : FAILED),
    localization: {
      text: {
        ...text_en,
        formatException: sentence,
        exceptionWhileParsingArguments: (error) => `virtgpu: ${sentence(error)}`,
        exceptionWhileRunningCommand: (error) => `virtgpu: ${sentence(error)}`,
        exceptionWhileLoadingCommandFunction: (error) => `virtgpu: a part of it is missing: ${sentence(error)}`,
        commandErrorResult: (error) => `virtgpu: ${sentence(error)}`,
      },
    },
  },
);

/** The part of Node's process that a command sees. */
const seen: {
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly env: NodeJS.ProcessEnv;
  exitCode?: number;
} = { stdout: process.stdout, stderr: process.stderr, env: process.env };

// Whoever reads our output may stop reading, as `head` does: that is no failure of ours.
process.stdout.on("error", () => {});
await run(application, process.argv.slice(2), { process: seen });
// The library's own codes are negative: what was typed can't be understood, or a part can't be loaded.
const code = seen.exitCode ?? 0;
process.exitCode = code === -4 || code === -5 ? USAGE : code < 0 ? FAILED : code;
