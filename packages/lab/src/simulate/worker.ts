/** A thread of a campaign: runs the seeds that it is sent, and says what came of them. */
import { parentPort } from "node:worker_threads";
import * as v from "valibot";
import { runSeeds } from "./campaign.ts";

// Of what a driver is told thousands of times nobody reads where it came from.
Error.stackTraceLimit = 0;

const orderSchema = v.object({ seeds: v.array(v.number()), failuresMax: v.number() });

parentPort?.on("message", (order: unknown) => {
  const { seeds, failuresMax } = v.parse(orderSchema, order);
  void runSeeds(seeds, failuresMax).then((result) => parentPort?.postMessage(result));
});
