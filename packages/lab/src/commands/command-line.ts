/** What was typed, so that it can be typed again. */

const PLAIN = /^[\w./:=,@+-]+$/;

/** The command line of this process, quoted for a shell. */
export function commandLine(words: readonly string[] = process.argv.slice(2)): string {
  const quoted = (word: string): string => (PLAIN.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);
  return ["virtgpu", ...words].map(quoted).join(" ");
}
