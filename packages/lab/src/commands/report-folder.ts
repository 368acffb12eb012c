/** The folder of a report, before anything is run for it. */
import { accessSync, constants } from "node:fs";
import { makeFolder } from "../make-folder.ts";
import { UsageError } from "../usage-error.ts";

/** Makes it if there is none. Throws UsageError where nothing can be written there. */
export function prepareFolder(folder: string): void {
  try {
    makeFolder(folder);
    accessSync(folder, constants.W_OK);
  } catch (error) {
    const why = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new UsageError(`the folder ${folder} can't be written (${why}); name another one with --report`);
  }
}
