/** Sleeps that are turned back: nothing may be missing that was there before. */
import { type CaseParts, type SuspendCase, suspendCase } from "../suite.ts";
import { drawEverything } from "./everything.ts";

function aborted(parts: Omit<CaseParts, "draw" | "sleep">): SuspendCase {
  return suspendCase({ ...parts, sleep: "aborted", draw: drawEverything });
}

/** See the file's head. */
export const ABORT_CASES: readonly SuspendCase[] = [
  aborted({
    id: "abort-freeze",
    title: "a hibernation that another device's freeze turns back, and the next one that gets through",
    act: async (stage) => {
      await stage.behindAFailure(() => stage.abortedHibernation("shutdown"));
      await stage.check("after it was turned back");
      await stage.hibernate();
    },
  }),
  aborted({
    id: "abort-suspend",
    title: "a suspend that another device turns back, and the next one that gets through",
    act: async (stage) => {
      await stage.behindAFailure(() => stage.abortedSuspend("s2idle"));
      await stage.check("after it was turned back");
      await stage.suspend("s2idle");
    },
  }),
  aborted({
    id: "abort-wakeup",
    title: "a wakeup event with everything down",
    act: async (stage) => {
      stage.platform.wakeupAfter = "syscore";
      await stage.abortedHibernation("shutdown");
    },
  }),
  aborted({
    id: "abort-image",
    title: "an image that can't be written",
    act: async (stage) => {
      stage.platform.failing.add("write-image");
      await stage.abortedHibernation("shutdown");
      stage.platform.failing.clear();
    },
  }),
  aborted({
    id: "abort-jump",
    title: "an image that can't take over, so that the kernel which loaded it goes on",
    act: async (stage) => {
      stage.platform.failing.add("jump");
      await stage.abortedHibernation("test_resume");
      stage.platform.failing.clear();
    },
  }),
  aborted({
    id: "abort-many",
    title: "five suspends in a row that are turned back, then one that is not",
    act: async (stage) => {
      for (let night = 0; night < 5; night += 1) {
        await stage.behindAFailure(() => stage.abortedSuspend("s2idle"));
      }
      await stage.suspend("s2idle", () => stage.host.systemReset());
    },
  }),
];
