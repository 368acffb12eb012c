/** The guest side: VirtioGpu and all that it hands out. */
export {};
