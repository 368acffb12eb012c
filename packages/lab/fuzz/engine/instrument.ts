/**
 * Puts counters into a program, one at each place where its way can fork, and collects the constants that it compares with: what a
 * coverage-guided fuzzer steers by. Works on one bundled script, so that code under test and its libraries are seen alike.
 */
import { type AnyNode, parse } from "acorn";
import { full } from "acorn-walk";
import MagicString from "magic-string";

/** The global array of counters that an instrumented program counts in. */
export const COUNTERS = "__fuzzCounters";

/** A program with counters. */
export interface Instrumented {
  readonly code: string;
  /** How many counters it has. */
  readonly places: number;
  /** Numbers and texts that stand in it: the magic numbers, keywords and limits that random bytes would never hit. */
  readonly numbers: readonly number[];
  readonly texts: readonly string[];
}

const TEXT_BYTES_MAX = 32;

/** Instruments a script (not a module). */
export function instrument(source: string): Instrumented {
  const text = new MagicString(source);
  const numbers = new Set<number>();
  const texts = new Set<string>();
  let places = 0;
  const next = (): string => {
    places += 1;
    return `${COUNTERS}[${String(places - 1)}]++`;
  };
  const statement = (node: AnyNode): void => {
    // A directive ("use strict") has to stay the first statement, so the counter goes in front of a block's own first one.
    if (node.type !== "BlockStatement") {
      text.appendRight(node.start, `{${next()};`);
      text.prependLeft(node.end, "}");
    } else text.appendRight(node.start + 1, `${next()};`);
  };
  const expression = (node: AnyNode): void => {
    text.appendRight(node.start, `(${next()},`);
    text.prependLeft(node.end, ")");
  };

  full(parse(source, { ecmaVersion: "latest", sourceType: "script" }), (visited) => {
    const node = visited as AnyNode;
    switch (node.type) {
      case "FunctionDeclaration":
      case "FunctionExpression":
        statement(node.body);
        break;
      case "ArrowFunctionExpression":
        if (node.body.type === "BlockStatement") statement(node.body);
        break;
      case "IfStatement":
        statement(node.consequent);
        if (node.alternate?.type === "BlockStatement") statement(node.alternate);
        break;
      case "ForStatement":
      case "ForOfStatement":
      case "ForInStatement":
      case "WhileStatement":
        statement(node.body);
        break;
      case "ConditionalExpression":
        expression(node.consequent);
        expression(node.alternate);
        break;
      case "LogicalExpression":
        expression(node.right);
        break;
      case "SwitchCase": {
        const colon = node.consequent[0];
        if (colon !== undefined) text.appendRight(colon.start, `${next()};`);
        break;
      }
      case "CatchClause":
        statement(node.body);
        break;
      case "Literal":
        if (typeof node.value === "number") numbers.add(node.value);
        if (typeof node.value === "string" && node.value.length <= TEXT_BYTES_MAX) texts.add(node.value);
        break;
      default:
    }
  });
  return { code: text.toString(), places, numbers: [...numbers], texts: [...texts] };
}
