/**
 * What tests take from vitest, in one process and without vitest: for running the same tests thousands of times. `expect` is
 * vitest's own. Inline snapshots and spies are not here; files that need them are left out.
 */
import { ASYMMETRIC_MATCHERS_OBJECT, JestAsymmetricMatchers, JestChaiExpect, JestExtend } from "@vitest/expect";
import * as chai from "chai";

type Hook = () => unknown;
type Body = (...values: never[]) => unknown;

interface Suite {
  readonly title: string;
  readonly parent: Suite | null;
  readonly hooks: {
    readonly beforeAll: Hook[];
    readonly beforeEach: Hook[];
    readonly afterEach: Hook[];
    readonly afterAll: Hook[];
  };
}

/** A test that can be run, again and again. */
export interface HarnessTest {
  readonly name: string;
  run(): Promise<void>;
}

chai.use(JestExtend);
chai.use(JestChaiExpect);
chai.use(JestAsymmetricMatchers);

const newSuite = (title: string, parent: Suite | null): Suite => ({
  title,
  parent,
  hooks: { beforeAll: [], beforeEach: [], afterEach: [], afterAll: [] },
});

const tests: HarnessTest[] = [];
let suite = newSuite("", null);

/** All tests registered so far, by file. */
export function registered(): readonly HarnessTest[] {
  return tests;
}

/** Tests registered from now on are of this file. */
export function beginFile(file: string): void {
  suite = newSuite(file, null);
}

/** From the file inwards. */
function lineage(of: Suite): readonly Suite[] {
  return of.parent === null ? [of] : [...lineage(of.parent), of];
}

function register(title: string, body: () => unknown): void {
  const suites = lineage(suite);
  const outwards = suites.toReversed();
  const run = async (): Promise<void> => {
    try {
      for (const { hooks } of suites) for (const hook of hooks.beforeAll) await hook();
      for (const { hooks } of suites) for (const hook of hooks.beforeEach) await hook();
      await body();
    } finally {
      for (const { hooks } of outwards) for (const hook of hooks.afterEach) await hook();
      for (const { hooks } of outwards) for (const hook of hooks.afterAll) await hook();
    }
  };
  tests.push({ name: [...suites.map((each) => each.title), title].join(" > "), run });
}

const rowsOf = (row: unknown): readonly unknown[] => (Array.isArray(row) ? row : [row]);

function eachRow(
  table: readonly unknown[],
  use: (title: string, values: readonly unknown[]) => void,
  title: string,
): void {
  table.forEach((row, index) => use(`${title} [${String(index)}]`, rowsOf(row)));
}

/** A group of tests. */
export function describe(title: string, body: () => void): void {
  const outer = suite;
  suite = newSuite(title, outer);
  body();
  suite = outer;
}

describe.each =
  (table: readonly unknown[]) =>
  (title: string, body: Body): void =>
    eachRow(table, (name, values) => describe(name, () => void body(...(values as never[]))), title);

/** A test. */
export function it(title: string, body: () => unknown): void {
  register(title, body);
}

it.each =
  (table: readonly unknown[]) =>
  (title: string, body: Body): void =>
    eachRow(table, (name, values) => register(name, () => body(...(values as never[]))), title);

it.for =
  (table: readonly unknown[]) =>
  (title: string, body: (row: never) => unknown): void =>
    table.forEach((row, index) => register(`${title} [${String(index)}]`, () => body(row as never)));

export const test: typeof it = it;

export const beforeAll = (hook: Hook): void => void suite.hooks.beforeAll.push(hook);
export const beforeEach = (hook: Hook): void => void suite.hooks.beforeEach.push(hook);
export const afterEach = (hook: Hook): void => void suite.hooks.afterEach.push(hook);
export const afterAll = (hook: Hook): void => void suite.hooks.afterAll.push(hook);

const asymmetric: object = Reflect.get(globalThis, ASYMMETRIC_MATCHERS_OBJECT) ?? {};

/** Vitest's, as far as the tests here use it. */
export const expect: unknown = Object.assign(
  (value: unknown, message?: string) => chai.expect(value, message),
  asymmetric,
  Object.fromEntries(
    ["objectContaining", "arrayContaining", "stringContaining", "stringMatching", "any", "anything"].map((name) => [
      name,
      Reflect.get(chai.expect, name) ?? Reflect.get(asymmetric, name),
    ]),
  ),
  {
    fail: (message?: string): never => {
      throw new Error(message ?? "this must not be reached");
    },
    unreachable: (message?: string): never => {
      throw new Error(message ?? "this must not be reached");
    },
  },
);
