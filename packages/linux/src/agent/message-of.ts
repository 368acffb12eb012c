/** What the lab reads of an error: one sentence, which begins with the errno's name where there is one. */
import { errnoName } from "../native/index.ts";

/** An error's message in one line. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = errnoName(error);
  const line = error.message.replaceAll(/\s+/g, " ").trim();
  return code === null || line.startsWith(code) ? line : `${code}: ${line}`;
}
