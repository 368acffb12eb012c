/**
 * The next command for each kind of entity: pure functions of what is wanted and what the host is known to have. Daily
 * use, freeze, thaw, restore and recovery all come this way; no command sequence is written anywhere else.
 */
import {
  type DesiredCursor,
  type DesiredScanout,
  type ResourceObject,
  backingOf,
  isRecoverable,
  sameScanout,
} from "../desired/objects.ts";
import { Fact, type HostContext, type HostCursor, type HostResource, type HostScanout, Step } from "./host-state.ts";

/** What the host should have: what is desired, or nothing (it is about to be reset or to end). */
export type Phase = "running" | "down";

/** What a resource's next step depends on besides itself. */
export interface ResourceSurroundings {
  phase: Phase;
  /** Some scanout or cursor of the host shows it, or is about to. */
  inUse: boolean;
  /** Some scanout waits to show it. */
  awaited: boolean;
  /** Its contents are lost for good: it is not brought to any host. */
  isLost: boolean;
  /** Whether this host assigns UUIDs. */
  uuids: boolean;
}

/** The next command about a resource. */
export function nextResourceStep(host: HostResource, around: Readonly<ResourceSurroundings>): Step {
  if (host.sent !== Step.NONE || host.failed !== null) return Step.NONE;
  if (!host.wanted || around.isLost) return towardsNothing(host, around);
  if (around.phase === "down" && isRecoverable(host.object)) return towardsNothing(host, around);
  // What can't be brought back is left to the reset: an aborted freeze must not have lost it.
  if (around.phase === "down") return Step.NONE;
  if (host.created === Fact.UNKNOWN) return Step.UNREF;
  if (host.created === Fact.ABSENT) return isBackingReady(host.object) ? Step.CREATE : Step.NONE;
  return towardsObject(host, around) || (around.uuids ? towardsUuid(host) : Step.NONE);
}

function towardsNothing(host: HostResource, around: Readonly<ResourceSurroundings>): Step {
  if (host.created === Fact.ABSENT || around.inUse) return Step.NONE;
  if (host.mapped === Fact.PRESENT || host.mapped === Fact.UNKNOWN) return Step.UNMAP;
  return Step.UNREF;
}

function towardsObject(host: HostResource, around: Readonly<ResourceSurroundings>): Step {
  const { object } = host;
  switch (object.kind) {
    case "image2d":
      return towardsImage(host, object.attached, around);
    case "guestBlob":
      return towardsAttachment(host, object.attached);
    case "hostBlob":
      return towardsMapping(host, object.mapOffset !== null);
    case "resource3d":
      return Step.NONE;
  }
}

/** Contents first, the wanted attachment last: a detached image's pixels are kept by the guest behind the scenes. */
function towardsImage(host: HostResource, attached: boolean, around: Readonly<ResourceSurroundings>): Step {
  const isNeeded = attached || host.stale !== null || around.awaited;
  const step = towardsAttachment(host, isNeeded);
  if (step !== Step.NONE) return step;
  return host.stale !== null && host.attached === Fact.PRESENT ? Step.UPLOAD : Step.NONE;
}

function towardsAttachment(host: HostResource, wanted: boolean): Step {
  if (host.attached === Fact.UNKNOWN) return Step.DETACH;
  const canBe = isBackingReady(host.object);
  if (host.attached === Fact.PRESENT) return wanted && canBe ? Step.NONE : Step.DETACH;
  return wanted && canBe ? Step.ATTACH : Step.NONE;
}

function towardsMapping(host: HostResource, wanted: boolean): Step {
  if (host.mapped === Fact.UNKNOWN) return Step.UNMAP;
  if (wanted === (host.mapped === Fact.PRESENT)) return Step.NONE;
  return wanted ? Step.MAP : Step.UNMAP;
}

function towardsUuid(host: HostResource): Step {
  return host.object.uuidWanted && host.uuid !== Fact.PRESENT ? Step.ASSIGN_UUID : Step.NONE;
}

/** Own pages always are; an import is when it was claimed and is not being moved. */
export function isBackingReady(object: ResourceObject): boolean {
  const backing = backingOf(object);
  return backing === null || backing.source === "own" || (backing.exporter !== null && !backing.moving);
}

/** The next command about a context. */
export function nextContextStep(host: HostContext, phase: Phase, isLost: boolean): Step {
  if (host.sent !== Step.NONE || host.failed !== null) return Step.NONE;
  if (!host.wanted || isLost || (phase === "down" && isRecoverable(host.object))) {
    return host.created === Fact.ABSENT ? Step.NONE : Step.UNREF;
  }
  if (phase === "down") return Step.NONE;
  if (host.created === Fact.UNKNOWN) return Step.UNREF;
  return host.created === Fact.ABSENT ? Step.CREATE : Step.NONE;
}

/** The next command about a scanout. `resource` is what the target shows, as far as the host has it. */
export function nextScanoutStep(
  host: HostScanout,
  target: DesiredScanout | null,
  resource: HostResource | undefined,
): Step {
  if (host.sent !== Step.NONE || host.failed !== null) return Step.NONE;
  const isShown = host.fact === Fact.PRESENT && sameScanout(host.shown, target);
  if (target === null) return isShown ? Step.NONE : Step.SHOW;
  if (resource === undefined || !resource.wanted) return Step.NONE;
  if (!isShown) return canBeShown(resource) ? Step.SHOW : Step.NONE;
  return host.unflushed === null || !canBeFlushed(resource) ? Step.NONE : Step.FLUSH;
}

/** A host's own copy is flushed also when its backing was detached meanwhile. */
function canBeFlushed(resource: HostResource): boolean {
  const isImage = resource.object.kind === "image2d";
  return isImage ? resource.created === Fact.PRESENT && resource.stale === null : canBeShown(resource);
}

/** Its pixels are on the host, or will be before the next command of the same queue. */
function canBeShown(resource: HostResource): boolean {
  if (resource.object.kind === "image2d") return resource.hasPixels;
  return (
    resource.created === Fact.PRESENT && (backingOf(resource.object) === null || resource.attached === Fact.PRESENT)
  );
}

/** The next command about a cursor. Its queue overtakes the other: the picture has to be there, not on its way. */
export function nextCursorStep(host: HostCursor, target: DesiredCursor, resource: HostResource | undefined): Step {
  if (host.sent !== Step.NONE || host.failed !== null) return Step.NONE;
  const { shown } = host;
  const isSameImage = shown.object === target.object && shown.hotX === target.hotX && shown.hotY === target.hotY;
  if (target.object === 0) return shown.object === 0 && host.fact === Fact.PRESENT ? Step.NONE : Step.CURSOR_IMAGE;
  if (resource === undefined || !resource.wanted || !hasCopy(resource)) return Step.NONE;
  if (!isSameImage || host.imageStale) return Step.CURSOR_IMAGE;
  return shown.x === target.x && shown.y === target.y ? Step.NONE : Step.CURSOR_MOVE;
}

/** The host's own copy is whole: of memory that is detached by now, too. */
function hasCopy(resource: HostResource): boolean {
  return resource.created === Fact.PRESENT && resource.stale === null && resource.uploading === null;
}

/** Whether flushing `scanout` would show nothing new. */
export function isFlushed(host: HostScanout): boolean {
  return host.unflushed === null && host.flushing === null;
}
