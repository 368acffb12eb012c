import { generateEdid, parseEdid } from "@virtgpu/core/wire";
import type { FuzzTarget } from "../engine/program.ts";

export const target: FuzzTarget = {
  about: "EDID blocks, as a device gives them",
  bytesMax: 1024,
  seeds: () => [
    generateEdid({ width: 1280, height: 800 }),
    generateEdid({ width: 7680, height: 4320 }),
    new Uint8Array(128),
  ],
  fuzz: (input) => {
    const result = parseEdid(input);
    if (!result.ok && result.reason === "") throw new Error("refused without a reason");
  },
};
