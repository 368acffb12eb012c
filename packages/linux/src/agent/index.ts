/** What the lab needs of the agent in the guest: its protocol and its pictures. */
export * from "./pattern.ts";
export * from "./protocol.ts";
