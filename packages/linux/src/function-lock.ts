/** One driver a function: a lock that ends with its process, however that ends (unix(7), abstract sockets). */
import { createServer } from "node:net";
import { GpuError } from "@virtgpu/core/base";

/** Locks a function; returns the release. Throws GpuError EBUSY while another process has it. */
export async function lockFunction(address: string): Promise<() => void> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => {
      reject(new GpuError("EBUSY", "another program's driver has it", { device: address, cause: error }));
    });
    server.listen(`\0virtgpu/${address}`, resolve);
  });
  server.unref();
  return () => void server.close();
}
