import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openTrace } from "../../src/trace/trace-file.ts";
import type { FuzzTarget } from "../engine/program.ts";
import { refusingLater } from "./expected.ts";

const folder = mkdtempSync(join(tmpdir(), "virtgpu-fuzz-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const file = join(folder, "run.trace");

export const target: FuzzTarget = {
  about: "trace files",
  seeds: () => [
    new TextEncoder().encode(
      [
        { kind: "virtgpu-trace", version: 1, host: "embedded", outputs: [{ width: 64, height: 48 }] },
        { kind: "power", atMs: 0, process: 1, fromImage: false },
        { kind: "session", device: "gpu0", atMs: 1, features: "0x100000000" },
        { kind: "page", address: 4096, data: "" },
        { kind: "command", device: "gpu0", queue: "control", sequence: 1, atMs: 2, capacity: 24, request: "00010000" },
        { kind: "reply", device: "gpu0", queue: "control", sequence: 1, atMs: 3, reply: "00110000" },
        { kind: "picture", device: "gpu0", output: 0, hash: null },
      ]
        .map((entry) => `${JSON.stringify(entry)}\n`)
        .join(""),
    ),
  ],
  fuzz: async (input) => {
    writeFileSync(file, input);
    await refusingLater(async () => {
      const { entries } = await openTrace(file);
      for await (const entry of entries) if (String(entry.kind) === "") throw new Error("an entry without a kind");
    });
  },
};
