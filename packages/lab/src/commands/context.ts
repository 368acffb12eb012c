/** What a command is given of the process it runs in. */
import type { CommandContext } from "@stricli/core";

/** Commands that judge set the exit code themselves; see run-application.ts for what each means. */
export interface LabContext extends CommandContext {
  readonly process: CommandContext["process"] & {
    readonly env?: Readonly<Record<string, string | undefined>>;
    exitCode?: number | string | null;
  };
  /** Paths are of this folder; the process's own unless given. */
  readonly folder?: string;
}
