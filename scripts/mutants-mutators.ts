/**
 * All small changes that can be made to a source, put into it at once, each behind a switch: one bundle then stands for
 * every mutant. Works on the TypeScript tree, so that places are those of the file. The kinds are Stryker's, without texts
 * (which are for people) and with numbers and single statements.
 */
import ts from "typescript";

/** The global function that a mutated source asks whether a mutant is switched on. */
export const SWITCH = "__mutant";

/** One change. */
export interface SmallMutant {
  readonly file: string;
  readonly line: number;
  readonly kind: string;
  readonly before: string;
  readonly after: string;
}

interface Change {
  readonly kind: string;
  readonly after: string;
}

const S = ts.SyntaxKind;

const OPERATORS: ReadonlyMap<ts.SyntaxKind, readonly (readonly [kind: string, operator: string])[]> = new Map([
  [
    S.LessThanToken,
    [
      ["comparison", "<="],
      ["comparison", ">="],
    ],
  ],
  [
    S.LessThanEqualsToken,
    [
      ["comparison", "<"],
      ["comparison", ">"],
    ],
  ],
  [
    S.GreaterThanToken,
    [
      ["comparison", ">="],
      ["comparison", "<="],
    ],
  ],
  [
    S.GreaterThanEqualsToken,
    [
      ["comparison", ">"],
      ["comparison", "<"],
    ],
  ],
  [S.EqualsEqualsEqualsToken, [["comparison", "!=="]]],
  [S.ExclamationEqualsEqualsToken, [["comparison", "==="]]],
  [S.AmpersandAmpersandToken, [["logic", "||"]]],
  [S.BarBarToken, [["logic", "&&"]]],
  [S.QuestionQuestionToken, [["logic", "&&"]]],
  [S.PlusToken, [["arithmetic", "-"]]],
  [S.MinusToken, [["arithmetic", "+"]]],
  [S.AsteriskToken, [["arithmetic", "/"]]],
  [S.SlashToken, [["arithmetic", "*"]]],
  [S.PercentToken, [["arithmetic", "*"]]],
  [S.AmpersandToken, [["bits", "|"]]],
  [S.BarToken, [["bits", "&"]]],
  [S.LessThanLessThanToken, [["bits", ">>"]]],
  [S.GreaterThanGreaterThanToken, [["bits", "<<"]]],
  [S.GreaterThanGreaterThanGreaterThanToken, [["bits", "<<"]]],
  [S.PlusEqualsToken, [["assignment", "-="]]],
  [S.MinusEqualsToken, [["assignment", "+="]]],
  [S.BarEqualsToken, [["assignment", "&="]]],
  [S.AmpersandEqualsToken, [["assignment", "|="]]],
  [S.BarBarEqualsToken, [["assignment", "&&="]]],
] as const);

const METHODS: ReadonlyMap<string, string> = new Map([
  ["some", "every"],
  ["every", "some"],
  ["min", "max"],
  ["max", "min"],
]);

/** A source with every mutant in it. `first`: the number of the first one. */
export function plantAll(
  file: string,
  source: string,
  first: number,
): { code: string; mutants: readonly SmallMutant[] } {
  const tree = ts.createSourceFile(file, source, ts.ScriptTarget.Latest, true, ts.ScriptKind.TS);
  const mutants: SmallMutant[] = [];

  /** Notes a mutant of `node`, and gives the question whether it is on. */
  const ask = (node: ts.Node, { kind, after }: Change): string => {
    const line = tree.getLineAndCharacterOfPosition(node.getStart(tree)).line + 1;
    mutants.push({ file, line, kind, before: node.getText(tree), after });
    return `${SWITCH}(${String(first + mutants.length - 1)})`;
  };

  /** The node's text, with the mutants of everything in it. */
  const inside = (node: ts.Node): string => {
    let text = "";
    let at = node.getStart(tree);
    const children: ts.Node[] = [];
    ts.forEachChild(node, (child) => void children.push(child));
    for (const child of children.sort((one, other) => one.pos - other.pos)) {
      if (ts.isTypeNode(child) || ts.isTypeParameterDeclaration(child)) continue;
      const start = child.getStart(tree);
      if (start < at) continue;
      text += source.slice(at, start) + mutated(child);
      at = child.getEnd();
    }
    return text + source.slice(at, node.getEnd());
  };

  const mutated = (node: ts.Node): string => {
    if (ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node) || ts.isImportDeclaration(node)) {
      return node.getText(tree);
    }
    if (!isWithinFunction(node)) return inside(node);
    const statement = statementChange(node);
    if (statement !== null) {
      const question = ask(node, statement);
      return `{ if (!${question}) ${inside(node)} }`;
    }
    const changes = expressionChanges(node, tree);
    const questions = changes.map((change) => `${ask(node, change)} ? (${change.after}) : `);
    return questions.length === 0 ? inside(node) : `(${questions.join("")}${inside(node)})`;
  };

  return { code: mutated(tree), mutants };
}

/** Code that runs when its file is loaded can't be switched later. */
function isWithinFunction(node: ts.Node): boolean {
  for (let above: ts.Node | undefined = node.parent; above !== undefined; above = above.parent) {
    if (ts.isFunctionLike(above)) return true;
    if (ts.isPropertyDeclaration(above)) {
      return above.modifiers?.some(({ kind }) => kind === S.StaticKeyword) !== true;
    }
  }
  return false;
}

/** The statement is left out. */
function statementChange(node: ts.Node): Change | null {
  const isEnd = ts.isThrowStatement(node) || (ts.isReturnStatement(node) && node.expression === undefined);
  if (!isEnd && !ts.isExpressionStatement(node)) return null;
  // Without its parent's constructor an object is none.
  if (ts.isExpressionStatement(node) && ts.isCallExpression(node.expression)) {
    if (node.expression.expression.kind === S.SuperKeyword) return null;
  }
  return { kind: "statement", after: "" };
}

function expressionChanges(node: ts.Node, tree: ts.SourceFile): readonly Change[] {
  const changes: Change[] = [];
  const text = (part: ts.Node): string => part.getText(tree);
  if (isCondition(node)) {
    if (node.kind !== S.TrueKeyword) {
      if (!ts.isWhileStatement(node.parent) && !ts.isForStatement(node.parent) && !ts.isDoStatement(node.parent)) {
        changes.push({ kind: "condition", after: "true" });
      }
      changes.push({ kind: "condition", after: "false" });
    }
  }
  if (ts.isBinaryExpression(node)) {
    const isText = [node.left, node.right].some(
      (side) => ts.isStringLiteralLike(side) || ts.isTemplateExpression(side),
    );
    for (const [kind, operator] of isText ? [] : (OPERATORS.get(node.operatorToken.kind) ?? [])) {
      const mix = kind === "logic" ? ([`(${text(node.left)})`, `(${text(node.right)})`] as const) : null;
      changes.push({ kind, after: `${mix?.[0] ?? text(node.left)} ${operator} ${mix?.[1] ?? text(node.right)}` });
    }
  }
  if (ts.isPrefixUnaryExpression(node)) {
    const { operator, operand } = node;
    if ([S.ExclamationToken, S.MinusToken, S.TildeToken].includes(operator)) {
      changes.push({ kind: "sign", after: text(operand) });
    } else if (operator === S.PlusPlusToken) changes.push({ kind: "assignment", after: `--${text(operand)}` });
  }
  if (node.kind === S.TrueKeyword) changes.push({ kind: "literal", after: "false" });
  if (node.kind === S.FalseKeyword) changes.push({ kind: "literal", after: "true" });
  if (ts.isNumericLiteral(node) && !isName(node)) changes.push({ kind: "literal", after: `${node.text} + 1` });
  if (ts.isCallExpression(node) && ts.isPropertyAccessExpression(node.expression)) {
    const other = METHODS.get(node.expression.name.text);
    const whole = text(node);
    const at = node.expression.name.getStart(tree) - node.getStart(tree);
    if (other !== undefined) {
      const after = whole.slice(0, at) + other + whole.slice(at + node.expression.name.text.length);
      changes.push({ kind: "method", after });
    }
  }
  return changes;
}

function isCondition(node: ts.Node): boolean {
  const { parent } = node;
  if (ts.isIfStatement(parent) || ts.isWhileStatement(parent) || ts.isDoStatement(parent)) {
    return parent.expression === node;
  }
  return (ts.isConditionalExpression(parent) || ts.isForStatement(parent)) && parent.condition === node;
}

/** A number as the name of a property. */
function isName(node: ts.NumericLiteral): boolean {
  const { parent } = node;
  return (ts.isPropertyAssignment(parent) || ts.isMethodDeclaration(parent)) && parent.name === node;
}
