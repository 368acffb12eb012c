/** A fuzz target as a program that counts: bundled with all that it tests, instrumented, loaded. */
import { createRequire } from "node:module";
import { Script } from "node:vm";
import { build } from "esbuild";
import { COUNTERS, type Instrumented, instrument } from "./instrument.ts";

/** What a file in `targets/` exports. */
export interface FuzzTarget {
  /** What is under test, in a sentence. */
  readonly about: string;
  /** Valid inputs to begin from. */
  seeds(): readonly Uint8Array[] | Promise<readonly Uint8Array[]>;
  /** Must return for every input, and throw only where something is wrong. */
  fuzz(input: Uint8Array): void | Promise<void>;
  /** Inputs are at most so many bytes; 4,096 unless given. */
  readonly bytesMax?: number;
}

/** A target that counts which ways it goes. */
export interface FuzzProgram extends Instrumented {
  readonly target: FuzzTarget;
  readonly counters: Uint8Array;
}

/** Loads a target's TypeScript file. The counters are a global of this thread: one program a thread. */
export async function loadProgram(file: string): Promise<FuzzProgram> {
  const bundled = await build({
    entryPoints: [file],
    bundle: true,
    platform: "node",
    format: "cjs",
    target: "node20",
    write: false,
    logLevel: "silent",
    // A name in a message is part of what a finding is told by.
    keepNames: false,
  });
  const instrumented = instrument(bundled.outputFiles[0]?.text ?? "");
  const counters = new Uint8Array(instrumented.places);
  Reflect.set(globalThis, COUNTERS, counters);
  const module = { exports: {} };
  const run = new Script(`(function (module, exports, require) {${instrumented.code}\n})`, { filename: `${file}.js` });
  run.runInThisContext()(module, module.exports, createRequire(file));
  const { target } = module.exports as { target?: FuzzTarget };
  if (target === undefined) throw new Error(`${file} exports no target`);
  return { ...instrumented, target, counters };
}
