/** The system's side of sleep: what calls drivers in Linux's order. */
export {};
