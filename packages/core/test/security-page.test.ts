/** The table of the security page and the tests that it names are the same rows. */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), "utf8");
const rows = (text: string): readonly number[] =>
  [...text.matchAll(/CVE row (\d+)/g)].map(([, number]) => Number(number)).sort((one, other) => one - other);

it("each row of the security page has its test, and each test its row", () => {
  const page = rows(read("../../../docs/security.md"));
  expect(page).toEqual(rows(read("../src/device/cve.test.ts")));
  expect(page.length).toBeGreaterThanOrEqual(35);
});
