import { Duplex } from "node:stream";
import type { Socket } from "node:net";
import { RfbClient } from "../../src/hosts/qemu/rfb-client.ts";
import type { FuzzTarget } from "../engine/program.ts";
import { refusingLater } from "./expected.ts";

/** A server that says all of it at once, and ends. */
function serverSaying(bytes: Uint8Array): Socket {
  const stream = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
  setImmediate(() => {
    stream.push(bytes);
    stream.push(null);
    setImmediate(() => stream.destroy());
  });
  return stream as Socket;
}

const greeting = [...new TextEncoder().encode("RFB 003.008\n"), 1, 1, 0, 0, 0, 0];
/** 4x4, 32 bits a pixel, named "q". */
const init = [0, 4, 0, 4, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0, 0, 0, 0, 1, 113];
const update = [0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0, 2, 0, 0, 0, 0, ...Array<number>(16).fill(7)];
const cursor = [0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0, 2, 255, 255, 255, 17, ...Array<number>(18).fill(9)];
const resize = [0, 0, 0, 1, 0, 0, 0, 0, 0, 8, 0, 8, 255, 255, 255, 33];

export const target: FuzzTarget = {
  about: "what a VNC server says",
  seeds: () => [update, cursor, resize].map((message) => Uint8Array.from([...greeting, ...init, ...message])),
  fuzz: async (input) => {
    await refusingLater(async () => {
      const client = await RfbClient.over(serverSaying(input));
      for (let turns = 0; turns < 8; turns += 1) {
        await new Promise((resolve) => {
          setImmediate(resolve);
        });
      }
      client.close();
    });
  },
};
