#!/usr/bin/env node
// What npm installs as the command `virtgpu`. A file of its own, so that it is there before the first build.
import { existsSync } from "node:fs";

const program = new URL("../dist/cli.js", import.meta.url);
if (existsSync(program)) {
  await import(program.href);
} else {
  console.error("virtgpu: not built yet; in a clone of the project run: npm run build");
  process.exitCode = 3;
}
