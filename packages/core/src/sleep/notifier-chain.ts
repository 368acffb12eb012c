/**
 * A chain of subscribers to power events: Linux's blocking notifier chain (kernel/notifier.c), which is told of a sleep
 * before anything is frozen and after everything is back.
 */
import type { PowerEvent } from "../base/index.ts";

/** Who wants to be told. */
export interface PowerSubscriber {
  readonly name: string;
  /** Rejects to veto a `*_PREPARE`. */
  notify(event: PowerEvent): Promise<void>;
}

/** Brings one event to one subscriber; `isGone` says whether it has left the chain meanwhile. */
export type Deliver = (subscriber: PowerSubscriber, event: PowerEvent, isGone: () => boolean) => Promise<void>;

interface Link {
  readonly subscriber: PowerSubscriber;
  readonly priority: number;
  gone: boolean;
}

/** The chain. Higher priorities are told first, equal ones in the order they came. */
export class NotifierChain {
  #links: readonly Link[] = [];

  /** Adds a subscriber; the returned function removes it, at any time, also while the chain is being called. */
  subscribe(subscriber: PowerSubscriber, priority: number = 0): () => void {
    const link: Link = { subscriber, priority, gone: false };
    const behind = this.#links.findIndex((other) => other.priority < priority);
    this.#links = this.#links.toSpliced(behind < 0 ? this.#links.length : behind, 0, link);
    return () => {
      link.gone = true;
      this.#links = this.#links.filter((other) => other !== link);
    };
  }

  /** Tells everyone who is on the chain. Nobody can object. */
  async call(event: PowerEvent, deliver: Deliver): Promise<void> {
    await tell(this.#links, event, deliver);
  }

  /**
   * Tells everyone of `prepare` until one objects; then those told before it, and only they, are told `post`, in the
   * order of the chain (as Linux does), and the objection is thrown. Who left the chain has no veto and hears nothing.
   */
  async callRobust(prepare: PowerEvent, post: PowerEvent, deliver: Deliver): Promise<void> {
    const told: Link[] = [];
    for (const link of this.#links) {
      if (link.gone) continue;
      try {
        await deliver(link.subscriber, prepare, () => link.gone);
        told.push(link);
      } catch (error) {
        if (link.gone) continue;
        await tell(told, post, deliver);
        throw error;
      }
    }
  }
}

async function tell(links: readonly Link[], event: PowerEvent, deliver: Deliver): Promise<void> {
  for (const link of links) {
    if (link.gone) continue;
    // A failure here stands in the log that delivers; nobody's trouble keeps the others from being told.
    await deliver(link.subscriber, event, () => link.gone).catch(() => {});
  }
}
