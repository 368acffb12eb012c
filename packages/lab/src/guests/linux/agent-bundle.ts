/**
 * The agent's modules in two files, where esbuild is installed: an emulated machine takes longer to find and read two hundred
 * files than to run them. Without it the agent runs from its files as they are.
 */
import { basename } from "node:path";

/** What makes one file of many. */
export interface AgentBundler {
  readonly version: string;
  /** For each module that is started by itself: what to start, by its file's name. */
  bundle(entries: readonly string[]): Promise<ReadonlyMap<string, Uint8Array>>;
}

/** Null where there is no esbuild. */
export async function findBundler(): Promise<AgentBundler | null> {
  const esbuild = await import("esbuild").catch(() => null);
  if (esbuild === null) return null;
  return {
    version: esbuild.version,
    bundle: async (entries) => {
      const { outputFiles } = await esbuild.build({
        entryPoints: [...entries],
        bundle: true,
        platform: "node",
        target: `node${process.versions.node}`,
        format: "esm",
        outdir: "agent",
        write: false,
        logLevel: "silent",
      });
      return new Map(outputFiles.map(({ path, contents }) => [basename(path), contents]));
    },
  };
}
