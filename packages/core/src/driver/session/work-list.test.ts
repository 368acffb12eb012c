import { describe, expect, it } from "vitest";
import { HostResource, HostScanout, type HostEntity } from "./host-state.ts";
import { WorkList } from "./work-list.ts";

const listener = { replied: () => {}, expired: () => {} };

function resource(id: number): HostResource {
  return new HostResource(listener, {
    kind: "guestBlob",
    id,
    key: null,
    holder: "test",
    uuidWanted: false,
    byteLength: 4096,
    flags: 0,
    backing: { source: "import", key: "", byteLength: 4096, exporter: null, moving: false },
    attached: true,
  });
}

function walkOf(entities: readonly HostEntity[]): () => HostEntity | null {
  const left = [...entities];
  return () => left.shift() ?? null;
}

describe("a work list", () => {
  it("R-29 holds the walk back until all that is lit is there", () => {
    const work = new WorkList();
    const [lit, dark] = [new HostScanout(listener, 0), resource(1)];
    work.touch(lit, true);
    work.startWalk(walkOf([dark]));
    expect(work.take()).toBe(lit);
    // Its command is with the host: the walk waits.
    expect(work.take()).toBeNull();
    work.settle(lit);
    expect(work.take()).toBe(dark);
  });

  it("lets nothing that is lit and changes all the time hold up the rest once the picture has been there", () => {
    const work = new WorkList();
    const [lit, one, two] = [new HostScanout(listener, 0), resource(1), resource(2)];
    work.touch(lit, true);
    work.startWalk(walkOf([one, two]));
    expect(work.take()).toBe(lit);
    work.settle(lit);
    work.touch(lit, true);
    expect(work.take()).toBe(lit);
    // On its way again, and not settled.
    expect(work.isUrgentDone).toBe(false);
    expect(work.take()).toBe(one);
    work.touch(lit, true);
    expect(work.take()).toBe(lit);
    expect(work.take()).toBe(two);
  });

  it("lets what is lit go alone again with every new target", () => {
    const work = new WorkList();
    const [lit, dark] = [new HostScanout(listener, 0), resource(1)];
    work.touch(lit, true);
    work.startWalk(walkOf([]));
    expect(work.take()).toBe(lit);
    work.settle(lit);
    work.touch(lit, true);
    work.startWalk(walkOf([dark]));
    expect(work.take()).toBe(lit);
    expect(work.take()).toBeNull();
  });
});
