/**
 * JUnit XML, read by a strict parser that is not ours.
 */
import fc from "fast-check";
import { SaxesParser } from "saxes";
import { describe, expect, it } from "vitest";
import { matrixJunit, runJunit } from "../src/report/junit.ts";
import { HOSTILE, lostRun, sampleMatrix, sampleRun } from "./support/report-samples.ts";

interface Element {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: Element[];
  text: string;
}

/** The tree; throws where the text is not well-formed. */
function parse(xml: string): Element {
  const top: Element = { name: "", attributes: {}, children: [], text: "" };
  const open: Element[] = [top];
  const parser = new SaxesParser();
  parser.on("error", (error) => {
    throw error;
  });
  parser.on("opentag", ({ name, attributes }) => {
    const element: Element = { name, attributes: { ...attributes }, children: [], text: "" };
    open.at(-1)?.children.push(element);
    open.push(element);
  });
  parser.on("text", (text) => {
    const element = open.at(-1);
    if (element !== undefined) element.text += text;
  });
  parser.on("closetag", () => open.pop());
  parser.write(xml).close();
  const [root] = top.children;
  if (root === undefined) throw new Error("no element");
  return root;
}

const below = (element: Element, name: string): readonly Element[] =>
  element.children.flatMap((child) => [...(child.name === name ? [child] : []), ...below(child, name)]);

describe("JUnit XML of a matrix", () => {
  it("has a suite for each host and a case for each cell, with its outcome", () => {
    const matrix = sampleMatrix();
    const cells = matrix.cells.map((cell, at) =>
      at === 0 ? { ...cell, result: "fail" as const, reason: "dark\nand more" } : cell,
    );
    const root = parse(matrixJunit({ ...matrix, cells }));
    expect(root).toMatchObject({ name: "testsuites", attributes: { tests: "193", failures: "1", skipped: "64" } });
    const suites = below(root, "testsuite");
    expect(suites.map(({ attributes }) => attributes["name"])).toEqual([
      ...matrix.hosts.map(({ name }) => name),
      "matrix",
    ]);
    const cases = below(root, "testcase");
    expect(cases).toHaveLength(193);
    expect(cases[0]).toMatchObject({
      attributes: { classname: "virtgpu.matrix.embedded", name: "s4", time: "0.813" },
      children: [{ name: "failure", attributes: { message: "dark" }, text: "dark\nand more" }],
    });
    const skipped = below(root, "skipped").map(({ attributes }) => attributes["message"]);
    expect(new Set(skipped)).toEqual(new Set(["not offered: a real QEMU can't be made to refuse a command"]));
  });

  it("fails a cell that must pass and is not offered, and a matrix with cells missing", () => {
    const matrix = sampleMatrix();
    const cells = matrix.cells.slice(1).map((cell) => ({ ...cell, mustPass: true }));
    const root = parse(matrixJunit({ ...matrix, cells }));
    const messages = below(root, "failure").map(({ attributes }) => attributes["message"]);
    expect(messages).toContain("192 cells were planned, 191 are here");
    expect(messages.filter((message) => message?.startsWith("must pass, but is not offered: "))).toHaveLength(64);
    expect(below(root, "skipped")).toHaveLength(0);
  });
});

describe("JUnit XML of a run", () => {
  it("has a case for each thing that was checked, all passed where nothing was lost", () => {
    const root = parse(runJunit(sampleRun()));
    expect(root.attributes).toMatchObject({ failures: "0", errors: "0", skipped: "0" });
    const names = below(root, "testcase").map(({ attributes }) => attributes["name"]);
    expect(names).toEqual(
      expect.arrayContaining(["output 1 shows what it showed", "the cursor of output 0 is what it was"]),
    );
    expect(names).toHaveLength(2 + 1 + 7 + 1);
  });

  it("fails for an output, a cursor, a kind and each object, and has an error where the machine failed", () => {
    const lost = parse(runJunit(lostRun()));
    expect(lost.attributes).toMatchObject({ failures: String(1 + 1 + 7 + 7), errors: "0" });
    const failed = parse(
      runJunit(sampleRun({ verdict: "failed", errors: [{ code: "EIO", message: "gone", where: "QEMU" }] })),
    );
    expect(failed.attributes).toMatchObject({ errors: "1" });
    expect(below(failed, "error")).toMatchObject([{ attributes: { message: "QEMU: gone (EIO)" } }]);
  });
});

describe("hostile text in XML", () => {
  it("is well-formed whatever there is in it, and none of it is markup", () => {
    const units = fc.oneof(
      fc.integer({ min: 0, max: 0xffff }),
      fc.nat({ max: HOSTILE.length - 1 }).map((at) => HOSTILE.charCodeAt(at)),
    );
    const texts = fc.array(units).map((codes) => String.fromCharCode(...codes));
    fc.assert(
      fc.property(texts, texts, (key, message) => {
        const [object] = lostRun().objects;
        if (object === undefined) throw new Error("a run has objects");
        const record = sampleRun({
          objects: [{ ...object, key, kind: key, reason: message }],
          errors: [{ code: "EIO", message, where: key }],
          verdict: "failed",
          commandLine: message,
        });
        const root = parse(runJunit(record));
        expect(below(root, "failure")).toHaveLength(2);
        expect(below(root, "error")).toHaveLength(1);
      }),
    );
  });

  it("comes through as it is where XML can have it: line ends, tabs, quotes, ends of CDATA", () => {
    const text = "a\tb\"c' <d> & ]]> é 😀";
    const record = sampleRun({
      verdict: "failed",
      errors: [{ code: "E", message: text, where: "here" }],
      commandLine: text,
    });
    const root = parse(runJunit(record));
    expect(below(root, "error")[0]?.attributes["message"]).toBe(`here: ${text} (E)`);
    expect(below(root, "error")[0]?.text).toBe(`here: ${text} (E)`);
    const property = below(root, "property").find(({ attributes }) => attributes["name"] === "commandLine");
    expect(property?.attributes["value"]).toBe(text);
  });
});
