/** Requests in by lines, answers out: one at a time, and nothing that comes ends it. */
import type { AgentAnswer } from "./agent.ts";
import { messageOf } from "./message-of.ts";
import { type AgentRequest, parseRequest, RequestError } from "./requests.ts";

/** Where answers go to, and who gives them. */
export interface Served {
  readonly say: (message: unknown) => void;
  readonly answer: (request: AgentRequest) => Promise<AgentAnswer>;
  /** After the answer to `finish`. */
  readonly onFinish: () => void;
}

/** Takes lines as they come; null stands for a line that was too long. */
export class Server {
  readonly #served: Served;
  #last: Promise<void> = Promise.resolve();

  constructor(served: Served) {
    this.#served = served;
  }

  /** Queues a line. Resolves when it has been answered. */
  take(line: string | null): Promise<void> {
    this.#last = this.#last.then(() => this.#answer(line));
    return this.#last;
  }

  async #answer(line: string | null): Promise<void> {
    const { say, answer, onFinish } = this.#served;
    if (line === "") return;
    let id: number | null = null;
    try {
      const request = parseRequest(line ?? "");
      id = request.id;
      const answered = await answer(request);
      say(answered === "nobody" ? { event: "ready" } : { id, result: answered.result });
      if (request.call === "finish") onFinish();
    } catch (error) {
      // A line without a number has nobody to answer to.
      const to = error instanceof RequestError ? error.id : id;
      if (to !== null) say({ id: to, error: messageOf(error).slice(0, 2000) });
    }
  }
}
