import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { PowerEvent } from "../base/index.ts";
import { type Deliver, NotifierChain, type PowerSubscriber } from "./notifier-chain.ts";

const deliver: Deliver = (subscriber, event) => subscriber.notify(event);

/** A subscriber that writes into `heard`, and objects to PREPARE if told to. */
function subscriber(name: string, heard: string[], vetoes: boolean = false): PowerSubscriber {
  return {
    name,
    notify: async (event: PowerEvent) => {
      heard.push(`${name} ${event}`);
      if (vetoes && event.endsWith("PREPARE")) throw new Error(name);
    },
  };
}

const sleepAndWake = async (chain: NotifierChain): Promise<void> => {
  await chain.callRobust("SUSPEND_PREPARE", "POST_SUSPEND", deliver);
  await chain.call("POST_SUSPEND", deliver);
};

describe("the notifier chain", () => {
  it("calls higher priorities first, and equal ones in the order they came", async () => {
    const heard: string[] = [];
    const chain = new NotifierChain();
    const priorities = { a: 0, b: 5, c: 0, d: 5, e: -1 };
    for (const [name, priority] of Object.entries(priorities)) chain.subscribe(subscriber(name, heard), priority);
    await chain.call("POST_SUSPEND", deliver);
    expect(heard.map((call) => call[0]).join("")).toBe("bdace");
  });

  it("R-14 tells exactly those of the end who were told of the beginning, whoever objects", async () => {
    const member = fc.record({ priority: fc.integer({ min: -2, max: 2 }), vetoes: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.array(member, { maxLength: 8 }), async (members) => {
        const heard: string[] = [];
        const chain = new NotifierChain();
        members.forEach(({ priority, vetoes }, at) => chain.subscribe(subscriber(`${at}`, heard, vetoes), priority));
        const inOrder = members
          .map((each, at) => ({ ...each, name: `${at}` }))
          .sort((one, other) => other.priority - one.priority);
        const objector = inOrder.findIndex(({ vetoes }) => vetoes);
        const told = objector < 0 ? inOrder : inOrder.slice(0, objector);
        const prepared = objector < 0 ? inOrder : inOrder.slice(0, objector + 1);
        const call = sleepAndWake(chain);
        if (objector < 0) await call;
        else await expect(call).rejects.toThrow(inOrder[objector]?.name);
        expect(heard).toEqual([
          ...prepared.map(({ name }) => `${name} SUSPEND_PREPARE`),
          ...told.map(({ name }) => `${name} POST_SUSPEND`),
        ]);
      }),
      { numRuns: 200 },
    );
  });

  it("tells the others when one fails at the end", async () => {
    const heard: string[] = [];
    const chain = new NotifierChain();
    chain.subscribe({ name: "bad", notify: () => Promise.reject(new Error("no")) });
    chain.subscribe(subscriber("good", heard));
    await chain.call("POST_SUSPEND", deliver);
    expect(heard).toEqual(["good POST_SUSPEND"]);
  });

  it("passes over who leaves while it is being called, and ignores their veto", async () => {
    const heard: string[] = [];
    const chain = new NotifierChain();
    const leaveFirst = chain.subscribe(subscriber("first", heard));
    const leaves: (() => void)[] = [];
    leaves.push(
      chain.subscribe({
        name: "leaver",
        notify: async (event) => {
          heard.push(`leaver ${event}`);
          leaveFirst();
          for (const leave of leaves) leave();
          throw new Error("a veto of who is gone");
        },
      }),
    );
    leaves.push(chain.subscribe(subscriber("third", heard)));
    chain.subscribe(subscriber("last", heard));
    await sleepAndWake(chain);
    expect(heard).toEqual([
      "first SUSPEND_PREPARE",
      "leaver SUSPEND_PREPARE",
      "last SUSPEND_PREPARE",
      "last POST_SUSPEND",
    ]);
  });
});
