/**
 * `npm run wire` prints packages/core/src/wire/gpu.gen.ts from schema.ts. With `--check` it writes nothing, and fails if
 * the file is not what it would have written.
 */
import { faceCommonText, memoryEntryText } from "./wire-texts.ts";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { GpuCommand, GpuReply } from "../src/wire/gpu.ts";
import {
  commands,
  configSpace,
  displayMode,
  type Field,
  fieldOffsets,
  header,
  memoryEntry,
  replies,
  type Struct,
  structBytes,
} from "../src/wire/schema.ts";

/** Where the generated file lies. */
export const generatedPath: string = fileURLToPath(new URL("../src/wire/gpu.gen.ts", import.meta.url));

const DISPLAY_MODES = 16;

/** One argument of a flat writer, which is also one member of the object. */
interface Member {
  readonly name: string;
  readonly type: string;
  readonly doc: string;
}

const PARTS: Readonly<Record<"rect" | "box", readonly string[]>> = {
  rect: ["x", "y", "width", "height"],
  box: ["x", "y", "z", "width", "height", "depth"],
};

const hex = (value: number): string => `0x${value.toString(16)}`;

/** resourceCreate2d or ResourceCreate2d to RESOURCE_CREATE_2D. */
export function constantName(name: string): string {
  return name.replace(/(?<=[a-z0-9])(?=[A-Z])|(?<=[a-z])(?=[0-9])/g, "_").toUpperCase();
}

const upperFirst = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1);

function membersOf(field: Field): readonly Member[] {
  const { name, doc } = field;
  switch (field.type) {
    case "u32":
    case "u8":
    case "u64":
      return [{ name, type: "number", doc }];
    case "opaque64":
      return ["Low", "High"].map((half) => ({ name: name + half, type: "number", doc: `${half} word. ${doc}` }));
    case "u32x4":
      return [{ name, type: "U32x4", doc }];
    case "bytes":
      return [{ name, type: "Uint8Array", doc: `${field.byteLength} bytes. ${doc}` }];
    case "rect":
    case "box":
      return PARTS[field.type].map((part) => ({ name: part, type: "number", doc: "" }));
    case "displayModes":
      return [{ name, type: "readonly DisplayMode[]", doc }];
    case "padding":
      return [];
  }
}

const members = (struct: Struct): readonly Member[] => struct.fields.flatMap(membersOf);

/** `u32[at + 6]`: the word at byte `offset` plus `index` words. */
function word(offset: number, index = 0): string {
  const words = offset / 4 + index;
  return words === 0 ? "u32[at]" : `u32[at + ${words}]`;
}

const readWord = (offset: number, index = 0): string => `${word(offset, index)} ?? 0`;

function writeLines(field: Field, offset: number): readonly string[] {
  const { name } = field;
  switch (field.type) {
    case "u32":
      return [`${word(offset)} = ${name};`];
    case "u8":
      return [`${word(offset)} = ${name} & 0xff;`];
    case "u64":
      return [`${word(offset)} = ${name};`, `${word(offset, 1)} = ${name} / HIGH_WORD;`];
    case "opaque64":
      return [`${word(offset)} = ${name}Low;`, `${word(offset, 1)} = ${name}High;`];
    case "u32x4":
      return [0, 1, 2, 3].map((index) => `${word(offset, index)} = ${name}[${index}];`);
    case "bytes":
      return [`writeBytes(u32, at + ${offset / 4}, ${field.byteLength}, ${name});`];
    case "rect":
    case "box":
      return PARTS[field.type].map((part, index) => `${word(offset, index)} = ${part};`);
    case "displayModes":
      return [`writeDisplayModes(u32, at + ${offset / 4}, ${name});`];
    case "padding":
      return [`${word(offset)} = 0;`];
  }
}

function readLines(field: Field, offset: number): readonly string[] {
  const { name } = field;
  switch (field.type) {
    case "u32":
      return [`${name}: ${readWord(offset)},`];
    case "u8":
      return [`${name}: (${readWord(offset)}) & 0xff,`];
    case "u64":
      return [`${name}: joinU64(${readWord(offset)}, ${readWord(offset, 1)}),`];
    case "opaque64":
      return [`${name}Low: ${readWord(offset)},`, `${name}High: ${readWord(offset, 1)},`];
    case "u32x4":
      return [`${name}: [${[0, 1, 2, 3].map((index) => readWord(offset, index)).join(", ")}],`];
    case "bytes":
      return [`${name}: readBytes(u32, at + ${offset / 4}, ${field.byteLength}),`];
    case "rect":
    case "box":
      return PARTS[field.type].map((part, index) => `${part}: ${readWord(offset, index)},`);
    case "displayModes":
      return [`${name}: readDisplayModes(u32, at + ${offset / 4}),`];
    case "padding":
      return [];
  }
}

function interfaceText(struct: Struct): string {
  const lines = members(struct).map(
    ({ name, type, doc }) => `${doc === "" ? "" : `/** ${doc} */\n`}readonly ${name}: ${type};`,
  );
  return `/** \`struct ${struct.cName}\`, VIRTIO 1.2 section ${struct.section}. */
export interface ${struct.name} {
${lines.join("\n")}
}`;
}

/** The interface, the writer and the reader of a structure; nothing for one without fields. */
function codecText(struct: Struct): string {
  if (struct.fields.length === 0) return "";
  const offsets = fieldOffsets(struct);
  const start = struct.hasHeader ? "the header's start; the header is not touched" : "the structure's start";
  const parameters = members(struct).map(({ name, type }) => `${name}: ${type}`);
  return `${interfaceText(struct)}

/** Writes a {@link ${struct.name}}. \`at\` is the word index of ${start}. */
export function write${struct.name}(u32: Uint32Array, at: number, ${parameters.join(", ")}): void {
${offsets.flatMap(({ field, offset }) => writeLines(field, offset)).join("\n")}
}

/** Reads a {@link ${struct.name}}. \`at\` is the word index of ${start.replace("; the header is not touched", "")}. */
export function read${struct.name}(u32: Uint32Array, at: number): ${struct.name} {
  return {
${offsets.flatMap(({ field, offset }) => readLines(field, offset)).join("\n")}
  };
}
`;
}

/** Sizes, for structures whose name is not a command's. */
const bytesText = (struct: Struct): string =>
  `/** Bytes of \`struct ${struct.cName}\`${struct.hasHeader ? ", header included" : ""}. */
export const ${constantName(struct.name)}_BYTES = ${structBytes(struct)};`;

function commandBytesText(): string {
  const lines = commands.map(({ key, body }) => {
    const tail = body.tail === null ? "" : `, without the ${body.tail.kind} that follow`;
    return `/** Bytes of a ${key} request, header included${tail}. */
export const ${key}_BYTES = ${structBytes(body)};`;
  });
  return lines.join("\n");
}

/** Commands that share a structure get the codec under their own name as well. */
function aliasText(): string {
  return commands
    .filter(({ op, body }) => body.fields.length > 0 && upperFirst(op) !== body.name)
    .map(({ op, body }) => {
      const name = upperFirst(op);
      return `/** The same structure as {@link ${body.name}}. */
export type ${name} = ${body.name};
/** See {@link write${body.name}}. */
export const write${name}: typeof write${body.name} = write${body.name};
/** See {@link read${body.name}}. */
export const read${name}: typeof read${body.name} = read${body.name};`;
    })
    .join("\n");
}

function offsetsText(): string {
  const headerWords = fieldOffsets(header).flatMap(({ field, offset }) =>
    membersOf(field).map(({ name }, index) => `${constantName(name)}: ${offset / 4 + index},`),
  );
  const config = fieldOffsets(configSpace).map(({ field, offset }) => `/** ${field.doc} */\n${field.name}: ${offset},`);
  return `/** Word indexes in the header. RING_INDEX is the low byte of its word. */
export const Header = {
${headerWords.join("\n")}
} as const;

/** Words of the header. */
export const HEADER_WORDS = ${structBytes(header) / 4};

/** Byte offsets in the configuration space, VIRTIO 1.2 section 5.7.4; all fields are 32 bits wide. */
export const GpuConfig = {
${config.join("\n")}
} as const;

/** Bytes of the configuration space without and with v1.4's \`blob_alignment\`. */
export const GPU_CONFIG_BYTES_BASE = ${structBytes(configSpace) - 4};
${bytesText(configSpace)}
`;
}

function tablesText(): string {
  const commandRows = commands.map(({ key, queue, body, reply }) => {
    const replyBody = replies.find((each) => GpuReply[each.key] === reply)?.body;
    if (replyBody === undefined) throw new Error(`${key} wants a reply that is not in the table`);
    const replyBytes = queue === 0 ? structBytes(replyBody) : 0;
    const facts = `queue: ${queue}, requestBytes: ${structBytes(body)}, reply: ${hex(reply)}, replyBytes: ${replyBytes}`;
    return `[${hex(GpuCommand[key])}, { name: "${key}", ${facts} }],`;
  });
  const replyRows = replies.map(
    ({ key, body }) => `[${hex(GpuReply[key])}, { name: "${key}", bytes: ${structBytes(body)} }],`,
  );
  return `/** What is known of a command. */
export interface CommandFacts {
  readonly name: string;
  /** 0: control queue, 1: cursor queue. */
  readonly queue: 0 | 1;
  /** Bytes of the request, header included, without entries or data that follow. */
  readonly requestBytes: number;
  /** The type of the reply that means success. */
  readonly reply: number;
  /** Bytes that this reply has at least; 0 on the cursor queue, where QEMU writes none. */
  readonly replyBytes: number;
}

/** Commands by type. */
export const COMMANDS: ReadonlyMap<number, CommandFacts> = new Map<number, CommandFacts>([
${commandRows.join("\n")}
]);

/** Replies by type, with their size in bytes, header included, without data that follows. */
export const REPLIES: ReadonlyMap<number, { readonly name: string; readonly bytes: number }> = new Map([
${replyRows.join("\n")}
]);
`;
}

/** A member of the union: the structure without its count, with what the count counted. */
function variantText(tag: string, value: string, struct: Struct): string {
  const parts = [`{ readonly ${tag}: "${value}" }`];
  const count = struct.tail?.countField ?? null;
  if (struct.fields.length > 0) parts.push(count === null ? struct.name : `Omit<${struct.name}, "${count}">`);
  if (struct.tail?.kind === "entries") parts.push("{ readonly entries: readonly MemoryEntry[] }");
  if (struct.tail?.kind === "data") parts.push("{ readonly data: Uint8Array }");
  return `| (${parts.join(" & ")})`;
}

function encodeCase(value: string, struct: Struct, source: string): string {
  if (struct.fields.length === 0 && struct.tail === null) return `case "${value}":`;
  const at = structBytes(struct) / 4;
  const count = struct.tail?.countField ?? null;
  const tailName = struct.tail?.kind ?? "";
  const values = members(struct).map(({ name }) => `${source}.${name === count ? `${tailName}.length` : name}`);
  const lines = [`case "${value}":`];
  if (values.length > 0) lines.push(`write${struct.name}(u32, 0, ${values.join(", ")});`);
  if (tailName === "entries") lines.push(`writeMemoryEntries(u32, ${at}, ${source}.entries);`);
  if (tailName === "data") lines.push(`writeBytes(u32, ${at}, ${source}.data.length, ${source}.data);`);
  return `${lines.join("\n")}\nbreak;`;
}

/** Cases in two groups: those with something to write, then those with the header alone. */
function encodeCases(cases: readonly string[]): string {
  const empty = cases.filter((each) => each.endsWith(":"));
  return [...cases.filter((each) => !each.endsWith(":")), ...empty, "break;"].join("\n");
}

function decodeCase(tag: string, type: number, value: string, struct: Struct): string {
  const label = `case ${hex(type)}:`;
  const at = structBytes(struct) / 4;
  if (struct.tail === null) {
    const body = struct.fields.length === 0 ? "" : `, ...read${struct.name}(u32, 0)`;
    return `${label}\nreturn { ${tag}: "${value}"${body} };`;
  }
  if (struct.tail.countField === null) {
    return `${label}\nreturn { ${tag}: "${value}", data: readBytes(u32, ${at}, byteLength - ${structBytes(struct)}) };`;
  }
  const room = `byteLength - ${structBytes(struct)}`;
  const isEntries = struct.tail.kind === "entries";
  const rest = isEntries
    ? `entries: readMemoryEntries(u32, ${at}, ${struct.tail.countField})`
    : `data: readBytes(u32, ${at}, ${struct.tail.countField})`;
  return `${label} {
    const { ${struct.tail.countField}, ...body } = read${struct.name}(u32, 0);
    if (${struct.tail.countField}${isEntries ? " * 16" : ""} > ${room}) return null;
    return { ${tag}: "${value}", ...body, ${rest} };
  }`;
}

function commandFaceText(): string {
  return `/** A command as an object: for tests, traces and tools. Counts are those of \`entries\` and \`data\`. */
export type Command =
${commands.map(({ op, body }) => variantText("op", op, body)).join("\n")};

/** The type of each command. */
export const COMMAND_TYPES: Readonly<Record<Command["op"], number>> = {
${commands.map(({ op, key }) => `${op}: ${hex(GpuCommand[key])},`).join("\n")}
};

function commandBytes(command: Command): number {
  const fixed = COMMANDS.get(COMMAND_TYPES[command.op])?.requestBytes ?? HEADER_BYTES;
  if ("entries" in command) return fixed + command.entries.length * MEMORY_ENTRY_BYTES;
  return "data" in command ? fixed + command.data.length : fixed;
}

/**
 * The request, header and body. Where \`data\` does not end on a word, the last word is filled up with 0. A 64-bit value
 * that is not an integer below 2^53 is cut.
 */
export function encodeCommand(command: Command, header: Partial<HeaderValues> = {}): Uint32Array {
  const u32 = new Uint32Array(Math.ceil(commandBytes(command) / 4));
  encodeHeader(u32, COMMAND_TYPES[command.op], header);
  switch (command.op) {
${encodeCases(commands.map(({ op, body }) => encodeCase(op, body, "command")))}
  }
  return u32;
}

function commandBody(type: number, u32: Uint32Array, byteLength: number): Command | null {
  switch (type) {
${commands.map(({ op, key, body }) => decodeCase("op", GpuCommand[key], op, body)).join("\n")}
    default:
      return null;
  }
}

/**
 * Reads the request in the first \`byteLength\` bytes. Never throws, whatever the bytes: what is no command is told with
 * its type and a sentence. Surplus bytes are ignored; values are not judged.
 */
export function decodeCommand(u32: Uint32Array, byteLength: number): DecodedCommand {
  const fault = headerFault(u32, byteLength);
  if (fault !== null) return { ok: false, reason: fault, type: 0 };
  const header = readHeader(u32, 0);
  const { type } = header;
  const facts = COMMANDS.get(type);
  if (facts === undefined) return { ok: false, reason: \`no command has the type 0x\${type.toString(16)}\`, type };
  if (byteLength < facts.requestBytes) {
    return { ok: false, reason: \`\${facts.name} has \${facts.requestBytes} bytes, here are \${byteLength}\`, type };
  }
  const command = commandBody(type, u32, byteLength);
  if (command === null) return { ok: false, reason: \`\${facts.name} announces more than its \${byteLength} bytes hold\`, type };
  return { ok: true, command, header };
}
`;
}

function replyFaceText(): string {
  return `/** A reply as an object: for tests, traces and tools. */
export type Reply =
${replies.map(({ code, body }) => variantText("code", code, body)).join("\n")};

/** The type of each reply. */
export const REPLY_TYPES: Readonly<Record<Reply["code"], number>> = {
${replies.map(({ code, key }) => `${code}: ${hex(GpuReply[key])},`).join("\n")}
};

/** The reply, header and body. Where \`data\` does not end on a word, the last word is filled up with 0. */
export function encodeReply(reply: Reply, header: Partial<HeaderValues> = {}): Uint32Array {
  const fixed = REPLIES.get(REPLY_TYPES[reply.code])?.bytes ?? HEADER_BYTES;
  const u32 = new Uint32Array(Math.ceil((fixed + ("data" in reply ? reply.data.length : 0)) / 4));
  encodeHeader(u32, REPLY_TYPES[reply.code], header);
  switch (reply.code) {
${encodeCases(replies.map(({ code, body }) => encodeCase(code, body, "reply")))}
  }
  return u32;
}

function replyBody(type: number, u32: Uint32Array, byteLength: number): Reply | null {
  switch (type) {
${replies.map(({ code, key, body }) => decodeCase("code", GpuReply[key], code, body)).join("\n")}
    default:
      return null;
  }
}

/** Reads the reply in the first \`byteLength\` bytes. Never throws, whatever the bytes; see {@link decodeCommand}. */
export function decodeReply(u32: Uint32Array, byteLength: number): DecodedReply {
  const fault = headerFault(u32, byteLength);
  if (fault !== null) return { ok: false, reason: fault, type: 0 };
  const header = readHeader(u32, 0);
  const { type } = header;
  const facts = REPLIES.get(type);
  const reply = facts === undefined || byteLength < facts.bytes ? null : replyBody(type, u32, byteLength);
  if (reply !== null) return { ok: true, reply, header };
  if (facts === undefined) return { ok: false, reason: \`no reply has the type 0x\${type.toString(16)}\`, type };
  return { ok: false, reason: \`\${facts.name} has \${facts.bytes} bytes, here are \${byteLength}\`, type };
}
`;
}

const displayModesText = `
function writeDisplayModes(u32: Uint32Array, at: number, modes: readonly DisplayMode[]): void {
  assert(modes.length <= ${DISPLAY_MODES}, "a display info has at most ${DISPLAY_MODES} modes");
  u32.fill(0, at, at + ${(DISPLAY_MODES * structBytes(displayMode)) / 4});
  modes.forEach((mode, index) => {
    writeDisplayMode(u32, at + index * ${structBytes(displayMode) / 4}, mode.x, mode.y, mode.width, mode.height, mode.enabled, mode.flags);
  });
}

function readDisplayModes(u32: Uint32Array, at: number): readonly DisplayMode[] {
  return Array.from({ length: ${DISPLAY_MODES} }, (_, index) => readDisplayMode(u32, at + index * ${structBytes(displayMode) / 4}));
}
`;

function bodies(): readonly Struct[] {
  return [...new Set([...commands.map(({ body }) => body), ...replies.map(({ body }) => body)])];
}

/** The generated file, before formatting. */
function printWire(): string {
  const replyStructs = [...new Set(replies.map(({ body }) => body))].filter(({ name }) => name !== "Empty");
  const headerCodec = codecText(header)
    .replace("interface Header {", "interface HeaderFields {")
    .replaceAll("{@link Header}", "{@link HeaderFields}")
    .replace("): Header {", "): HeaderFields {");
  return `// Generated by \`npm run wire\` from packages/core/src/wire/schema.ts. Do not edit.
/**
 * The codecs of virtio-gpu, VIRTIO 1.2 section 5.7: straight-line accesses to 32-bit words. Flat writers take a
 * structure's fields in the order of the wire and write padding as 0; readers ignore padding, give 0 for what lies
 * behind the end of the array, and \`Infinity\` for a 64-bit value of 2^53 or more, so that range checks refuse it.
 */
import { assert } from "../base/assert.ts";
import { HIGH_WORD, joinU64, readBytes, type U32x4, writeBytes } from "./words.ts";

${offsetsText()}
${bytesText(header)}
${headerCodec}
${bytesText(memoryEntry)}
${codecText(memoryEntry)}
${memoryEntryText}
${bytesText(displayMode)}
${codecText(displayMode)}
${displayModesText}
${commandBytesText()}
${replyStructs.map(bytesText).join("\n")}

${bodies().map(codecText).join("\n")}
${aliasText()}

${tablesText()}
${faceCommonText}
${commandFaceText()}
${replyFaceText()}`;
}

/** The whole of gpu.gen.ts, formatted as the rest of the tree is. */
export function generateWire(): string {
  const packageFile = createRequire(import.meta.url).resolve("@biomejs/biome/package.json");
  const biome = fileURLToPath(new URL("bin/biome", `file://${packageFile}`));
  const result = spawnSync(process.execPath, [biome, "format", `--stdin-file-path=${generatedPath}`], {
    input: printWire(),
    encoding: "utf8",
  });
  if (result.status !== 0) throw new Error(`the formatter refused the generated file: ${result.stderr}`);
  return result.stdout;
}

function main(): void {
  const text = generateWire();
  if (!process.argv.includes("--check")) {
    writeFileSync(generatedPath, text);
    return;
  }
  if (readFileSync(generatedPath, "utf8") !== text) {
    process.stderr.write("packages/core/src/wire/gpu.gen.ts is stale: run `npm run wire`\n");
    process.exitCode = 1;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
