/** Plain data (what structured clone takes) as bytes that can be mutated: JSON, with byte arrays in base64. */

const BYTES_KEY = "$bytes";

/** Plain data as text. */
export function plainText(value: unknown): Uint8Array {
  const text = JSON.stringify(value, (_key, inner: unknown) =>
    inner instanceof Uint8Array ? { [BYTES_KEY]: Buffer.from(inner).toString("base64") } : inner,
  );
  return new TextEncoder().encode(text);
}

/** Plain data from any bytes; what is no JSON comes as a text. */
export function toPlain(bytes: Uint8Array): unknown {
  const text = new TextDecoder().decode(bytes);
  try {
    return JSON.parse(text, (_key, inner: unknown) => {
      const packed = typeof inner === "object" && inner !== null ? Reflect.get(inner, BYTES_KEY) : undefined;
      return typeof packed === "string" ? new Uint8Array(Buffer.from(packed, "base64")) : inner;
    });
  } catch {
    return text;
  }
}
