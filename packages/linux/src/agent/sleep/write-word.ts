/** Files of the kernel's that take one word at a time. */
import { open } from "node:fs/promises";

/** Writes a word in one write(2). Rejects with the kernel's errno. */
export async function writeWord(file: string, word: string): Promise<void> {
  const handle = await open(file, "w");
  try {
    await handle.write(word);
  } finally {
    await handle.close();
  }
}
