import { Duplex } from "node:stream";
import { QmpClient } from "../../src/hosts/qemu/qmp-client.ts";
import type { FuzzTarget } from "../engine/program.ts";
import { refusingLater } from "./expected.ts";

export const target: FuzzTarget = {
  about: "what QEMU answers on its control connection",
  seeds: () =>
    [
      `{"QMP":{"version":{}}}\n{"return":{},"id":1}\n{"return":{"status":"running"},"id":2}\n`,
      `{"QMP":{}}\n{"event":"SHUTDOWN","data":{"guest":true}}\n{"error":{"class":"x","desc":"no"},"id":1}\n`,
    ].map((text) => new TextEncoder().encode(text)),
  fuzz: async (input) => {
    const stream = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
    const client = new QmpClient(stream);
    const asked = client.execute("query-status");
    const event = client.nextEvent("SHUTDOWN");
    stream.push(Buffer.from(input));
    stream.push(null);
    for (const wait of [client.ready, asked, event]) await refusingLater(async () => wait);
    client.close("the run is over");
  },
};
