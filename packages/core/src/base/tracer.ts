/**
 * Typed events for every command, reply, phase and state change. The timeline, the tests' host log and the studio
 * all live on these.
 */
export type TraceEvent =
  | {
      readonly kind: "command";
      readonly device: string;
      readonly queue: "control" | "cursor";
      readonly sequence: number;
      readonly type: number;
      readonly object: number;
      /** The request, and the bytes that its reply may have; of a {@link Tracer.detailed} tracer only. */
      readonly request?: Uint8Array;
      readonly capacity?: number;
    }
  | {
      readonly kind: "reply";
      readonly device: string;
      readonly queue: "control" | "cursor";
      readonly sequence: number;
      readonly type: number;
      readonly reply: number;
      /** What the device wrote of its reply; of a {@link Tracer.detailed} tracer only. */
      readonly bytes?: Uint8Array;
    }
  | { readonly kind: "session"; readonly device: string; readonly features: bigint; readonly outputs: number }
  | { readonly kind: "kick"; readonly device: string; readonly queue: "control" | "cursor" }
  | {
      readonly kind: "phase";
      readonly device: string;
      readonly phase: string;
      readonly state: "begin" | "end" | "fail";
      readonly detail?: string;
    }
  | {
      readonly kind: "state";
      readonly device: string;
      readonly from: string;
      readonly to: string;
      readonly event: string;
    }
  | { readonly kind: "object"; readonly device: string; readonly object: number; readonly what: string }
  | {
      readonly kind: "message";
      readonly device: string;
      readonly level: "debug" | "info" | "warn" | "error";
      readonly text: string;
    };

/** Where trace events go. `enabled` false lets hot paths skip the building of an event. */
export interface Tracer {
  readonly enabled: boolean;
  /** Wants requests and replies byte by byte. False unless given. */
  readonly detailed?: boolean;
  /** Takes an event. What it throws is nobody's to hear: see {@link unfailing}. */
  trace(event: TraceEvent): void;
}

/** Hears nothing, costs nothing. */
export const silentTracer: Tracer = { enabled: false, trace: () => {} };

/** The same tracer, but what it throws goes no further: a broken log must break nothing else. */
export function unfailing(tracer: Tracer): Tracer {
  if (tracer === silentTracer) return tracer;
  return {
    get enabled(): boolean {
      return tracer.enabled;
    },
    get detailed(): boolean {
      return tracer.detailed === true;
    },
    trace: (event) => {
      try {
        tracer.trace(event);
      } catch {
        // There is nobody left to tell.
      }
    },
  };
}
