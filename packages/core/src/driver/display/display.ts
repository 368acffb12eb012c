/**
 * What the host's displays are: asked at the start of every session and whenever the device says that something changed
 * (VIRTIO 1.2 sections 5.7.5 and 5.7.6.8), compared with what was known before, and told as a hotplug event.
 */
import type { CancelTimer } from "../../base/clock.ts";
import { GpuError } from "../../base/errors.ts";
import {
  DISPLAY_INFO_REPLY_BYTES,
  EDID_BYTES_MAX,
  EDID_REPLY_BYTES,
  GET_DISPLAY_INFO_BYTES,
  GET_EDID_BYTES,
  GpuCommand,
  GpuFeature,
  MAX_SCANOUTS,
  parseEdid,
  readDisplayInfoReply,
  readEdidReply,
  writeGetEdid,
  writeHeader,
} from "../../wire/index.ts";
import type { Edid } from "../../wire/index.ts";
import type { GpuCore } from "../core.ts";
import { Listeners, type Signal } from "../listeners.ts";
import type { DriverState } from "../power/state.ts";
import { takeDisplayEvent } from "../session/config.ts";
import type { Session } from "../session/session.ts";
import {
  DISCONNECTED,
  type ModeFallback,
  type OutputChange,
  type OutputMode,
  type OutputState,
  fallbackMode,
  outputChanges,
  outputModes,
  outputStates,
} from "./modes.ts";

/** What is known of an output's monitor. */
export interface ConnectorState extends OutputState {
  /** The modes it offers; the first is preferred. Empty while nobody looks at it. */
  readonly modes: readonly OutputMode[];
  /** Its EDID, parsed; null where there is none that can be read. */
  readonly monitor: Edid | null;
}

/** A change of the displays. */
export interface HotplugEvent {
  readonly changes: readonly HotplugChange[];
}

/** A change at one output. */
export interface HotplugChange extends OutputChange {
  readonly connector: ConnectorState;
  /** What to use instead of the mode that is shown there now; null while the output is off. */
  readonly fallback: ModeFallback | null;
}

const NOTHING_CONNECTED: ConnectorState = { ...DISCONNECTED, modes: [], monitor: null };
const DEFAULT_REFRESH_MILLIHZ = 60_000;
/** A display that changes faster than it can be asked is asked this often in a row, then after a pause. */
const ROUNDS_MAX = 8;
/** Pauses before displays are asked again of which no answer came; then only when something happens. */
const PAUSES_MS: readonly number[] = [100, 1000, 10_000];
/** States in which nothing is asked, and nothing told: what happens in them shows afterwards. */
const ASLEEP: ReadonlySet<DriverState> = new Set(["freezing", "frozen", "suspended"]);

/** See the file's head. */
export class Display {
  readonly onHotplug: Signal<HotplugEvent>;
  readonly #core: GpuCore;
  #states: readonly OutputState[] = [];
  #connectors: readonly ConnectorState[] = [];
  #isKnown = false;
  #asking: Promise<void> | null = null;
  #isAsking = false;
  #isAskedAgain = false;
  /** Something may have changed of which the last answer does not tell. */
  #isStale = true;
  #failures = 0;
  #pause: CancelTimer | null = null;

  constructor(core: GpuCore) {
    this.#core = core;
    this.onHotplug = new Listeners(core.guard, "listener of hotplug");
    core.onSession.on((session) => this.#begin(session));
    core.onSessionEnd.on(() => this.#endPause());
    core.onConfig.on((session) => this.#configChanged(session));
  }

  /** Outputs that this host has. */
  get outputs(): number {
    return this.#core.session?.config.outputs ?? this.#states.length;
  }

  connector(index: number): ConnectorState {
    return this.#connectors[index] ?? NOTHING_CONNECTED;
  }

  /** Resolves when the displays are known: after the first answer of the session. */
  async known(): Promise<void> {
    await this.#asking;
  }

  /** A new life of the device: whatever happened while nobody listened shows in the answers. */
  #begin(session: Session): void {
    this.#guarded(() => takeDisplayEvent(this.#core.parts.transport));
    this.#failures = 0;
    this.#refresh(session);
  }

  /** Asleep it is left alone: the device's event bit keeps it. */
  #configChanged(session: Session): void {
    if (!this.#isAwakeIn(session)) return;
    const isNew = this.#guarded(() => takeDisplayEvent(this.#core.parts.transport)) === true;
    if (!isNew && !this.#isStale) return;
    this.#failures = 0;
    this.#refresh(session);
  }

  #isAwakeIn(session: Session): boolean {
    return this.#core.session === session && !ASLEEP.has(this.#core.state);
  }

  /** A device that is gone is the session's to notice. */
  #guarded<T>(access: () => T): T | null {
    try {
      return access();
    } catch (error) {
      if (error instanceof GpuError) return null;
      throw error;
    }
  }

  #refresh(session: Session): void {
    this.#endPause();
    if (this.#isAsking) this.#isAskedAgain = true;
    else this.#asking = this.#ask(session);
  }

  /** Nothing is awaited between the last look at whether somebody asked again and its end: no request is lost. */
  async #ask(first: Session): Promise<void> {
    let session: Session | null = first;
    this.#isAsking = true;
    try {
      for (let round = 0; round < ROUNDS_MAX && session !== null; round += 1) {
        this.#isAskedAgain = false;
        await this.#askOrNote(session);
        session = this.#core.session;
        if (!this.#isAskedAgain) break;
      }
      if (session !== null && (this.#isStale || this.#isAskedAgain)) this.#askLater();
    } finally {
      this.#isAsking = false;
    }
  }

  async #askOrNote(session: Session): Promise<void> {
    this.#isStale = true;
    try {
      await this.#askOnce(session);
    } catch (error) {
      if (!(error instanceof GpuError)) throw error;
      this.#failures += 1;
      this.#message(`the displays could not be read: ${error.message}`);
    }
  }

  #askLater(): void {
    const pauseMs = PAUSES_MS[Math.max(0, this.#failures - 1)];
    if (pauseMs === undefined) return;
    this.#isStale = true;
    this.#pause = this.#core.parts.clock.after(pauseMs, () => {
      this.#pause = null;
      const { session } = this.#core;
      if (session !== null && this.#isAwakeIn(session)) this.#refresh(session);
    });
  }

  #endPause(): void {
    this.#pause?.();
    this.#pause = null;
  }

  async #askOnce(session: Session): Promise<void> {
    const info = await session.sender.send(
      { requestBytes: GET_DISPLAY_INFO_BYTES, replyBytes: DISPLAY_INFO_REPLY_BYTES, object: 0 },
      (u32, at) => writeHeader(u32, at, GpuCommand.GET_DISPLAY_INFO, 0, 0, 0, 0, 0),
    );
    if (!this.#isAwakeIn(session)) return;
    const { modes } = readDisplayInfoReply(info.words, 0);
    const count = Math.min(session.config.outputs, MAX_SCANOUTS);
    const edids = await Promise.all(
      modes
        .slice(0, count)
        .map(({ enabled }, index) => (enabled === 0 ? Promise.resolve(null) : this.#askEdid(session, index))),
    );
    if (!this.#isAwakeIn(session)) return;
    this.#isStale = false;
    this.#failures = 0;
    this.#update(outputStates(modes, count, edids));
  }

  /** Null where there is none. One output's refusal is not the others'. */
  async #askEdid(session: Session, index: number): Promise<Uint8Array | null> {
    if (!session.hasFeature(GpuFeature.EDID)) return null;
    try {
      const answer = await session.sender.send(
        { requestBytes: GET_EDID_BYTES, replyBytes: EDID_REPLY_BYTES, object: 0 },
        (u32, at) => {
          writeHeader(u32, at, GpuCommand.GET_EDID, 0, 0, 0, 0, 0);
          writeGetEdid(u32, at, index);
        },
      );
      const { size, edid } = readEdidReply(answer.words, 0);
      return size === 0 ? null : edid.slice(0, Math.min(size, EDID_BYTES_MAX));
    } catch (error) {
      if (!(error instanceof GpuError) || error.code === "ESTALE") throw error;
      this.#message(`output ${index} gives no EDID: ${error.message}`);
      return null;
    }
  }

  #update(states: readonly OutputState[]): void {
    const changes = this.#isKnown ? outputChanges(this.#states, states) : [];
    this.#isKnown = true;
    this.#states = states;
    this.#connectors = states.map(connectorOf);
    if (changes.length === 0) return;
    this.onHotplug.emit({
      changes: changes.map((change) => ({
        ...change,
        connector: this.connector(change.output),
        fallback: this.#fallback(change.output),
      })),
    });
  }

  #fallback(output: number): ModeFallback | null {
    const shown = this.#core.desired.scanouts[output] ?? null;
    if (shown === null) return null;
    const { width, height } = shown.rect;
    return fallbackMode({ width, height, refreshMilliHz: DEFAULT_REFRESH_MILLIHZ }, this.connector(output).modes);
  }

  #message(text: string): void {
    const { tracer } = this.#core.parts;
    if (tracer.enabled) tracer.trace({ kind: "message", device: this.#core.label, level: "warn", text });
  }
}

function connectorOf(state: OutputState): ConnectorState {
  const parsed = state.edid === null ? null : parseEdid(state.edid);
  const monitor = parsed?.ok === true ? parsed.edid : null;
  return { ...state, modes: outputModes(state, monitor), monitor };
}
