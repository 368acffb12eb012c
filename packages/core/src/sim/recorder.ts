/**
 * A tracer that keeps what it hears, for tests to look at: questions that tests ask often, and a text with one line an
 * event for inline snapshots.
 */
import type { Clock } from "../base/clock.ts";
import type { TraceEvent, Tracer } from "../base/tracer.ts";
import { GpuReply } from "../wire/gpu.ts";
import { commandName, replyName } from "../wire/names.ts";

/** An event of one kind. */
export type TraceEventOf<Kind extends TraceEvent["kind"]> = Extract<TraceEvent, { readonly kind: Kind }>;

/** What a {@link Recorder} is made of. */
export interface RecorderOptions {
  /** Most events kept; the oldest go first. Default 100,000. */
  readonly eventsMax?: number | undefined;
  /** Where events get their time from; without it all are at 0. */
  readonly clock?: Clock | undefined;
}

/** Which events are wanted. */
export interface EventFilter {
  /** Only this device's. */
  readonly device?: string | undefined;
  /** Only these kinds. */
  readonly kinds?: readonly TraceEvent["kind"][] | undefined;
  /** Only those heard after this {@link Recorder.mark}. */
  readonly since?: number | undefined;
}

interface Entry {
  readonly atMs: number;
  readonly event: TraceEvent;
}

/** See the file's head. */
export class Recorder implements Tracer {
  readonly enabled: boolean = true;
  readonly #eventsMax: number;
  readonly #clock: Clock | undefined;
  #entries: Entry[] = [];
  #dropped = 0;

  constructor(options: RecorderOptions = {}) {
    this.#eventsMax = options.eventsMax ?? 100_000;
    this.#clock = options.clock;
  }

  trace(event: TraceEvent): void {
    this.#entries.push({ atMs: this.#clock?.nowMs() ?? 0, event });
    // Dropping half at a time keeps the cost of an event constant.
    if (this.#entries.length <= this.#eventsMax) return;
    const kept = this.#entries.slice(-Math.ceil(this.#eventsMax / 2));
    this.#dropped += this.#entries.length - kept.length;
    this.#entries = kept;
  }

  /** Events forgotten because there were too many. */
  get dropped(): number {
    return this.#dropped;
  }

  /** A moment, for {@link EventFilter.since}: everything heard so far lies before it. */
  mark(): number {
    return this.#dropped + this.#entries.length;
  }

  /** Forgets all events. Marks stay what they are. */
  clear(): void {
    this.#dropped += this.#entries.length;
    this.#entries = [];
  }

  /** The events kept, oldest first. */
  events(filter: EventFilter = {}): readonly TraceEvent[] {
    return this.#select(filter).map((entry) => entry.event);
  }

  /** The commands, in the order they were issued. */
  commands(device?: string, since?: number): readonly TraceEventOf<"command">[] {
    return this.#of("command", device, since);
  }

  /** The replies, in the order they came. */
  replies(device?: string, since?: number): readonly TraceEventOf<"reply">[] {
    return this.#of("reply", device, since);
  }

  /** Replies that say the host refused a command. A sleep that went well leaves none. */
  errorReplies(device?: string, since?: number): readonly TraceEventOf<"reply">[] {
    return this.replies(device, since).filter((event) => event.reply >= GpuReply.ERR_UNSPEC);
  }

  /** Phases of sleeps: their begin and how they ended. */
  phases(device?: string, since?: number): readonly TraceEventOf<"phase">[] {
    return this.#of("phase", device, since);
  }

  /** Changes of state. */
  states(device?: string, since?: number): readonly TraceEventOf<"state">[] {
    return this.#of("state", device, since);
  }

  /** Messages for people. */
  messages(device?: string, since?: number): readonly TraceEventOf<"message">[] {
    return this.#of("message", device, since);
  }

  /** How often each command was issued, by name. */
  commandCounts(device?: string, since?: number): Readonly<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const { type } of this.commands(device, since)) {
      const name = commandName(type);
      counts[name] = (counts[name] ?? 0) + 1;
    }
    return counts;
  }

  /** One line an event. With `times`, each line starts with when it was heard. */
  render(filter: EventFilter & { readonly times?: boolean } = {}): string {
    const times = filter.times ?? false;
    return this.#select(filter)
      .map(({ atMs, event }) => (times ? `${atMs} ms  ${renderEvent(event)}` : renderEvent(event)))
      .join("\n");
  }

  #of<Kind extends TraceEvent["kind"]>(kind: Kind, device?: string, since?: number): readonly TraceEventOf<Kind>[] {
    const wanted = (event: TraceEvent): event is TraceEventOf<Kind> => event.kind === kind;
    return this.events({ device, since }).filter(wanted);
  }

  #select({ device, kinds, since = 0 }: EventFilter): readonly Entry[] {
    return this.#entries
      .slice(Math.max(0, since - this.#dropped))
      .filter(({ event }) => device === undefined || event.device === device)
      .filter(({ event }) => kinds === undefined || kinds.includes(event.kind));
  }
}

/** An event as a line of text, e.g. `control 3 RESOURCE_UNREF of resource 7`. The device is not named. */
export function renderEvent(event: TraceEvent): string {
  switch (event.kind) {
    case "command": {
      const object = event.object === 0 ? "" : ` of resource ${event.object}`;
      return `${event.queue} ${event.sequence} ${commandName(event.type)}${object}`;
    }
    case "reply":
      return `${event.queue} ${event.sequence} ${commandName(event.type)} -> ${replyName(event.reply)}`;
    case "session":
      return `session with features 0x${event.features.toString(16)}, ${event.outputs} outputs`;
    case "kick":
      return `${event.queue} kick`;
    case "phase":
      return `phase ${event.phase} ${event.state}${event.detail === undefined ? "" : `: ${event.detail}`}`;
    case "state":
      return `state ${event.from} -> ${event.to} on ${event.event}`;
    case "object":
      return `object ${event.object} ${event.what}`;
    case "message":
      return `${event.level}: ${event.text}`;
    default:
      return unknownEvent(event);
  }
}

/** Events of later versions show as what they are. */
function unknownEvent(event: never): string {
  return JSON.stringify(event);
}
