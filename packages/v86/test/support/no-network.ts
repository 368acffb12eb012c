/** v86's option for a machine without a network card, which its type definitions do not know. */
export const NO_NETWORK: never = { type: "none" } as never;
