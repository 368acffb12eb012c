import { Duplex } from "node:stream";
import { GpuError } from "@virtgpu/core/base";
import { AgentChannel } from "../../src/guests/linux/agent-channel.ts";
import type { FuzzTarget } from "../engine/program.ts";
import { refusingLater } from "./expected.ts";

const hash = "a".repeat(64);
const hello = `{"event":"hello"}
{"id":1,"result":{"kernel":"6.1","driver":"kernel","way":"drm","gpus":["0000:00:02.0"],"outputs":[{"name":"Virtual-1","connected":true}]}}
`;
const scene = `{"id":2,"result":{"objects":[{"index":0,"kind":"dumb","width":64,"height":48,"sha256":"${hash}"}],"shown":[0,null],"notOffered":[{"kind":"blob","reason":"no"}]}}
{"id":3,"result":{"error":null,"picture":12.5,"complete":null,"restored":3,"lost":0}}
`;
const failures = `noise of a kernel
{"id":1,"error":"no device"}
{"event":"failed","reason":"it can't"}
{"id":4,"result":{"outputs":[{"name":"Virtual-1","connected":true,"modes":[{"width":1024,"height":768}]}]}}
`;

export const target: FuzzTarget = {
  about: "what the agent in a Linux guest says over its serial port",
  seeds: () => [hello, scene, failures, hello + scene].map((text) => new TextEncoder().encode(text)),
  fuzz: async (input) => {
    const ears = { alive: () => undefined, failed: () => undefined, noise: () => undefined };
    const channel = new AgentChannel(ears);
    const port = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
    channel.attach(port);
    const asked = [
      channel.call("hello", {}),
      channel.call("scene", {
        seed: 1,
        outputs: [],
        offscreen: { count: 1, width: 8, height: 8 },
        cursor: false,
        extras: false,
      }),
      channel.call("sleep", { way: "s3" }),
      channel.call("outputs", {}),
    ];
    // In two pieces: a line may end within the second, or never.
    const half = input.length >> 1;
    port.push(input.slice(0, half));
    port.push(input.slice(half));
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    channel.detach();
    channel.fail(new GpuError("ECANCELED", "the run is over"));
    port.destroy();
    for (const answer of asked) await refusingLater(async () => answer);
  },
};
