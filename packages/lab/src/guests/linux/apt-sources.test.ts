import { describe, expect, it } from "vitest";
import { backportsLine, codenameOf, parseSources } from "./apt-sources.ts";

const STANZAS = `Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/archive.gpg

Types: deb-src
URIs: http://mirror.example/debian
Suites: bookworm

Enabled: no
Types: deb
URIs: http://other.example/debian
Suites: bookworm
`;

describe("the system's package sources", () => {
  it("are read from stanzas: those of binaries that are enabled", () => {
    const uri = "http://mirror.example/debian";
    const signedBy = "/usr/share/keyrings/archive.gpg";
    expect(parseSources("debian.sources", STANZAS)).toEqual([
      { uri, suite: "bookworm", signedBy },
      { uri, suite: "bookworm-updates", signedBy },
    ]);
  });

  it("are read from lines", () => {
    const text = [
      "# deb http://no.example/debian bookworm main",
      "deb [arch=amd64 signed-by=/k.gpg] http://a.example/debian bookworm main contrib",
      "deb http://b.example/debian bookworm-updates main",
      "deb-src http://b.example/debian bookworm main",
      "nonsense",
    ].join("\n");
    expect(parseSources("sources.list", text)).toEqual([
      { uri: "http://a.example/debian", suite: "bookworm", signedBy: "/k.gpg" },
      { uri: "http://b.example/debian", suite: "bookworm-updates", signedBy: null },
    ]);
  });

  it("name the mirror that the release's backports come from", () => {
    const sources = parseSources("debian.sources", STANZAS);
    expect(backportsLine(sources, "bookworm")).toBe(
      "deb [signed-by=/usr/share/keyrings/archive.gpg] http://mirror.example/debian bookworm-backports main",
    );
    expect(backportsLine(sources, "trixie")).toBeNull();
  });

  it("are those of a release that the system tells", () => {
    expect(codenameOf('NAME="Debian"\nVERSION_CODENAME=bookworm\n')).toBe("bookworm");
    expect(codenameOf("NAME=other\n")).toBeNull();
  });
});
