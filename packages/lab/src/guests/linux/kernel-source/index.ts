/** Kernels that the lab builds from source, with a patch series on top. */
export { type BuiltKernel, buildKernel, type KernelBuildOptions } from "./build-kernel.ts";
