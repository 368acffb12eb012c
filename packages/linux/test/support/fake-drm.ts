/** A kernel's DRM that never was: requests are taken apart, and answered as a test says. */
import { decode, encode, type StructValue } from "../../src/drm/layout.ts";
import { type ArgumentOf, type RequestName, requestCode, requests } from "../../src/drm/requests.ts";

/** What is answered to requests; to others nothing is changed. */
export type Answers = { readonly [R in RequestName]?: (given: StructValue<ArgumentOf<R>>) => object | Promise<object> };

/** System calls of a kernel with a DRM driver of a name, which answers only what a test says. */
export class FakeDrm {
  readonly asked: (readonly [RequestName, object])[] = [];
  /** Requests without an argument. */
  readonly plain: number[] = [];
  readonly #answers: Answers;
  readonly #buffers: Uint8Array[] = [];
  readonly #memory = new Map<bigint, ArrayBuffer>();

  constructor(driver: string, answers: Answers) {
    this.#answers = {
      VERSION: ({ name }) => {
        this.at(name).set(Buffer.from(driver));
        return { name_len: BigInt(driver.length) };
      },
      ...answers,
    };
  }

  /** Memory of a device: the same at the same offset. */
  readonly mmap = (byteLength: number, _protection: number, _flags: number, _fd: number, offset: bigint): bigint => {
    if (!this.#memory.has(offset)) this.#memory.set(offset, new ArrayBuffer(byteLength));
    return offset;
  };

  readonly munmap = (): void => {};

  readonly view = (address: bigint): ArrayBuffer => this.#memory.get(address) ?? new ArrayBuffer(0);

  readonly addressOf = (bytes: Uint8Array): bigint => BigInt(this.#buffers.push(bytes));

  /** The buffer at an address that was given before. */
  at(address: bigint): Uint8Array {
    const bytes = this.#buffers[Number(address) - 1];
    if (bytes === undefined) throw new Error(`nothing is at ${address}`);
    return bytes;
  }

  readonly ioctl = (_fd: number, code: number, argument: Uint8Array | null): number => {
    const { name, answer } = this.#ask(code, argument);
    this.#fill(name, argument, answer as object);
    return 0;
  };

  readonly ioctlLater = async (_fd: number, code: number, argument: Uint8Array | null): Promise<number> => {
    if (argument === null) return this.plain.push(code);
    const { name, answer } = this.#ask(code, argument);
    this.#fill(name, argument, await answer);
    return 0;
  };

  #ask(code: number, argument: Uint8Array | null): { name: RequestName; answer: object | Promise<object> } {
    const name = (Object.keys(requests) as RequestName[]).find((known) => requestCode(known) === code);
    if (name === undefined || argument === null) throw new Error(`an unknown request 0x${code.toString(16)}`);
    const given = decode(requests[name].of, argument);
    this.asked.push([name, given]);
    const answer = this.#answers[name] as ((value: object) => object | Promise<object>) | undefined;
    return { name, answer: answer === undefined ? {} : answer(given) };
  }

  #fill(name: RequestName, argument: Uint8Array | null, answer: object): void {
    const { of } = requests[name];
    argument?.set(encode(of, { ...decode(of, argument), ...answer }));
  }
}
