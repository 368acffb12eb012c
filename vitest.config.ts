import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

// Tests run on the sources: package names resolve to src, so no build stands between an edit and its test.
export default defineConfig({
  resolve: {
    alias: [
      { find: /^@virtgpu\/core\/(.+)$/, replacement: source("./packages/core/src/$1/index.ts") },
      { find: /^@virtgpu\/linux\/(.+)$/, replacement: source("./packages/linux/src/$1/index.ts") },
      { find: /^@virtgpu\/linux$/, replacement: source("./packages/linux/src/index.ts") },
      { find: /^@virtgpu\/v86$/, replacement: source("./packages/v86/src/index.ts") },
      { find: /^@virtgpu\/core$/, replacement: source("./packages/core/src/index.ts") },
    ],
  },
  test: {
    include: ["packages/*/src/**/*.test.ts", "packages/*/test/**/*.test.ts", "examples/**/*.test.ts"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
});
