/** The driver of `@virtgpu/core` as a userspace driver on Linux. */
export {};
