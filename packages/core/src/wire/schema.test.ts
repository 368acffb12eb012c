/** The table is complete and sound, and gpu.gen.ts is what it prints. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { constantName, generatedPath, generateWire } from "../../scripts/generate-wire.ts";
import { GpuCommand, GpuReply } from "./gpu.ts";
import {
  commands,
  configSpace,
  displayMode,
  fieldOffsets,
  header,
  memoryEntry,
  replies,
  structBytes,
} from "./schema.ts";

const structs = [
  header,
  memoryEntry,
  displayMode,
  configSpace,
  ...new Set([...commands.map(({ body }) => body), ...replies.map(({ body }) => body)]),
];

describe("the schema", () => {
  it("has every command and every reply once, in the order of their numbers", () => {
    expect(commands.map(({ key }) => key)).toEqual(Object.keys(GpuCommand));
    expect(replies.map(({ key }) => key)).toEqual(Object.keys(GpuReply));
    expect(new Set(commands.map(({ op }) => op)).size).toBe(commands.length);
    expect(new Set(replies.map(({ code }) => code)).size).toBe(replies.length);
  });

  it("names the object face after the specification", () => {
    expect(commands.map(({ op }) => constantName(op))).toEqual(commands.map(({ key }) => key));
  });

  it.each(structs.map((struct) => [struct.name, struct] as const))("%s is made of aligned words", (_, struct) => {
    expect(structBytes(struct) % 4).toBe(0);
    for (const { field, offset } of fieldOffsets(struct)) {
      expect(offset % (field.type === "u64" || field.type === "opaque64" ? 8 : 4)).toBe(0);
    }
  });

  it("has the sizes that the specification's tables have", () => {
    const size = Object.fromEntries(commands.map(({ key, body }) => [key, structBytes(body)]));
    expect(size).toEqual({
      GET_DISPLAY_INFO: 24,
      RESOURCE_CREATE_2D: 40,
      RESOURCE_UNREF: 32,
      SET_SCANOUT: 48,
      RESOURCE_FLUSH: 48,
      TRANSFER_TO_HOST_2D: 56,
      RESOURCE_ATTACH_BACKING: 32,
      RESOURCE_DETACH_BACKING: 32,
      GET_CAPSET_INFO: 32,
      GET_CAPSET: 32,
      GET_EDID: 32,
      RESOURCE_ASSIGN_UUID: 32,
      RESOURCE_CREATE_BLOB: 56,
      SET_SCANOUT_BLOB: 96,
      CTX_CREATE: 96,
      CTX_DESTROY: 24,
      CTX_ATTACH_RESOURCE: 32,
      CTX_DETACH_RESOURCE: 32,
      RESOURCE_CREATE_3D: 72,
      TRANSFER_TO_HOST_3D: 72,
      TRANSFER_FROM_HOST_3D: 72,
      SUBMIT_3D: 32,
      RESOURCE_MAP_BLOB: 40,
      RESOURCE_UNMAP_BLOB: 32,
      UPDATE_CURSOR: 56,
      MOVE_CURSOR: 56,
    });
  });

  it("is what gpu.gen.ts was printed from (else: npm run wire)", () => {
    expect(readFileSync(generatedPath, "utf8")).toBe(generateWire());
  });
});
