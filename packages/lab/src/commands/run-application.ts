/**
 * Runs commands of the lab: errors as one sentence, and one meaning of exit codes.
 *
 * 0 well, 1 something was lost (or is not as it must be), 2 a mistake in what was typed, 3 the host or the machine failed.
 */
import { buildApplication, type RouteMap, run, text_en } from "@stricli/core";
import { UsageError } from "../usage-error.ts";
import type { LabContext } from "./context.ts";

const FAILED = 3;
const USAGE = 2;
/** The library's own codes for what can't be understood; its others are of parts that can't be loaded. */
const NOT_UNDERSTOOD: ReadonlySet<number> = new Set([-4, -5]);

const sentence = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Resolves to the exit code. */
export async function runApplication(
  root: RouteMap<LabContext>,
  args: readonly string[],
  context: LabContext,
): Promise<number> {
  const application = buildApplication<LabContext>(root, {
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
  });
  await run(application, args, context);
  const code = Number(context.process.exitCode ?? 0);
  if (NOT_UNDERSTOOD.has(code)) return USAGE;
  return code < 0 ? FAILED : code;
}
