/**
 * A machine's part of its run's trace: what its driver and its host say to each other, what the sleep code does, and what
 * the outputs show whenever somebody looks.
 */
import type { Tracer } from "@virtgpu/core/base";
import type { DmaMap } from "@virtgpu/core/memory";
import type { Hardware, HostGpu, MachineHost } from "../../hosts/machine.ts";
import { deviceMemory } from "../../trace/device-memory.ts";
import { TraceRecorder } from "../../trace/trace-recorder.ts";
import type { Say, TraceOrder } from "./protocol.ts";

/** Whose run is recorded. */
export interface RecordedMachine {
  readonly host: MachineHost;
  readonly hardware: Hardware;
  readonly dma: DmaMap;
  /** Whether it comes back from an image. */
  readonly fromImage: boolean;
}

/** Begins, or, in a later process of the run, goes on; a failure to write is said, and hurts nothing. Throws GpuError. */
export function recordMachine(
  { path, name, process: number, startEpochMs }: TraceOrder,
  { host, hardware, dma, fromImage }: RecordedMachine,
  say: Say,
): TraceRecorder {
  const recorder = new TraceRecorder({
    path,
    name,
    append: number > 1,
    header: { host: host.label, outputs: hardware.outputs },
    memory: deviceMemory(host.memory, dma),
    nowMs: () => performance.timeOrigin + performance.now(),
    startMs: startEpochMs,
    onFailure: ({ code, message: sentence }) => void say({ message: "trace-failed", code, sentence }),
  });
  recorder.power({ process: number, fromImage });
  return recorder;
}

/** Hears what the first one hears; the recorder, where there is one, hears it before. */
export function alsoRecorded(tracer: Tracer, recorder: TraceRecorder | null): Tracer {
  if (recorder === null) return tracer;
  return {
    enabled: true,
    detailed: true,
    trace: (event) => {
      recorder.trace(event);
      tracer.trace(event);
    },
  };
}

/** The same GPU; what anybody sees of its outputs is noted. */
export function notedGpu(gpu: HostGpu, recorder: TraceRecorder | null): HostGpu {
  if (recorder === null) return gpu;
  const { label, held, contexts, forget, faults } = gpu;
  return {
    label,
    held,
    contexts,
    forget,
    faults,
    connect: () => gpu.connect(),
    cursor: (output) => gpu.cursor(output),
    picture: async (output) => {
      const picture = await gpu.picture(output);
      recorder.picture(label, output, picture);
      return picture;
    },
  };
}
