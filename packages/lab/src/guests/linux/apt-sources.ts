/**
 * The machine's own apt sources, as far as they are needed to derive one more from them: the same mirror's backports. Both
 * formats are read (sources.list(5)): one line an entry, and deb822 stanzas.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** An archive that the system gets packages from. */
export interface AptSource {
  readonly uri: string;
  readonly suite: string;
  /** The path of a key ring, or null. */
  readonly signedBy: string | null;
}

const FOLDER = "/etc/apt";

function fromLine(line: string): AptSource[] {
  const match = /^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+\S/.exec(line.trim());
  if (match?.[2] === undefined || match[3] === undefined) return [];
  const signedBy = /(?:^|\s)signed-by=(\S+)/.exec(match[1] ?? "")?.[1] ?? null;
  return [{ uri: match[2], suite: match[3], signedBy }];
}

function fromStanza(stanza: string): AptSource[] {
  const fields = new Map<string, string>();
  for (const line of stanza.split("\n").filter((text) => !text.startsWith("#"))) {
    const match = /^([A-Za-z-]+):\s*(.*)$/.exec(line);
    if (match?.[1] !== undefined) fields.set(match[1].toLowerCase(), (match[2] ?? "").trim());
  }
  const words = (name: string): string[] => (fields.get(name) ?? "").split(/\s+/).filter((word) => word !== "");
  if (!words("types").includes("deb") || fields.get("enabled") === "no") return [];
  const key = fields.get("signed-by") ?? "";
  const signedBy = key.startsWith("/") ? key : null;
  return words("uris").flatMap((uri) => words("suites").map((suite) => ({ uri, suite, signedBy })));
}

/** The entries of a file of either format. */
export function parseSources(name: string, text: string): AptSource[] {
  if (name.endsWith(".sources")) return text.split(/\n\s*\n/).flatMap(fromStanza);
  return text.split("\n").flatMap(fromLine);
}

/** All entries of this system. */
export function systemSources(): AptSource[] {
  const files = ["sources.list"];
  try {
    files.push(...readdirSync(join(FOLDER, "sources.list.d")).map((name) => join("sources.list.d", name)));
  } catch {
    // No such folder: one file is all there is.
  }
  return files.flatMap((name) => {
    try {
      return parseSources(name, readFileSync(join(FOLDER, name), "utf8"));
    } catch {
      return [];
    }
  });
}

/** The line that adds a release's backports from the mirror that its main part comes from, or null. */
export function backportsLine(sources: readonly AptSource[], codename: string): string | null {
  const source = sources.find(({ suite }) => suite === codename);
  if (source === undefined) return null;
  const options = source.signedBy === null ? "" : `[signed-by=${source.signedBy}] `;
  return `deb ${options}${source.uri} ${codename}-backports main`;
}

/** The system's release by its code name, e.g. "bookworm", or null. */
export function codenameOf(osRelease: string): string | null {
  return /^VERSION_CODENAME="?([a-z]+)"?$/m.exec(osRelease)?.[1] ?? null;
}
