/** What a command is given of the process it runs in. */
import type { CommandContext } from "@stricli/core";

/** Commands that judge set the exit code themselves; see cli.ts for what each means. */
export interface LabContext extends CommandContext {
  readonly process: CommandContext["process"] & { exitCode?: number | string | null };
}
