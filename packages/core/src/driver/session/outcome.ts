/**
 * What an answer, or the want of one, says about the host: the facts after each step. No commands, no lists.
 */
import type { GpuError } from "../../base/errors.ts";
import { GpuReply } from "../../wire/index.ts";
import { unionRect } from "../desired/geometry.ts";
import {
  Fact,
  type HostContext,
  type HostCursor,
  type HostEntity,
  type HostResource,
  type HostScanout,
  Step,
} from "./host-state.ts";

/** The step was taken. */
export function noteSuccess(entity: HostEntity, step: Step): void {
  switch (entity.kind) {
    case "resource":
      return resourceSucceeded(entity, step);
    case "context":
      entity.created = step === Step.CREATE ? Fact.PRESENT : Fact.ABSENT;
      entity.fresh = false;
      return;
    case "scanout":
      return scanoutSucceeded(entity, step);
    case "cursor":
      entity.shown = entity.showing;
      entity.fact = Fact.PRESENT;
      return;
  }
}

function resourceSucceeded(host: HostResource, step: Step): void {
  switch (step) {
    case Step.CREATE:
      host.created = Fact.PRESENT;
      if (host.object.kind === "guestBlob" && host.ranges !== null) host.attached = Fact.PRESENT;
      return;
    case Step.ATTACH:
      host.attached = Fact.PRESENT;
      return;
    case Step.UPLOAD:
      host.uploading = null;
      return;
    case Step.DETACH:
      host.attached = Fact.ABSENT;
      host.releaseBacking();
      return;
    case Step.ASSIGN_UUID:
      host.uuid = Fact.PRESENT;
      return;
    case Step.MAP:
      host.mapped = Fact.PRESENT;
      return;
    case Step.UNMAP:
      host.mapped = Fact.ABSENT;
      return;
    default:
      isGone(host);
  }
}

/** The host has nothing of it. */
function isGone(host: HostResource): void {
  host.created = Fact.ABSENT;
  host.attached = Fact.ABSENT;
  host.uuid = Fact.ABSENT;
  host.mapped = Fact.ABSENT;
  host.uploading = null;
  host.releaseBacking();
  const { object } = host;
  const isDrawn = object.kind === "image2d" && object.drawn;
  host.stale = isDrawn ? { x: 0, y: 0, width: object.width, height: object.height } : null;
}

function scanoutSucceeded(host: HostScanout, step: Step): void {
  if (step === Step.FLUSH) {
    host.flushing = null;
    return;
  }
  host.shown = host.showing;
  host.fact = Fact.PRESENT;
  host.unflushed = host.shown?.rect ?? null;
}

/** The host refused the step, or answered with nonsense. True when the step's end is reached all the same. */
export function noteFailure(entity: HostEntity, step: Step, error: GpuError): boolean {
  switch (entity.kind) {
    case "resource":
      return resourceFailed(entity, step, error);
    case "context":
      return contextFailed(entity, step, error);
    case "scanout":
      return scanoutFailed(entity, step, error);
    case "cursor":
      return cursorFailed(entity);
  }
}

const isNonsense = (error: GpuError): boolean => error.code === "EPROTO";
const isUnknownId = (error: GpuError): boolean => error.reply === GpuReply.ERR_INVALID_RESOURCE_ID;

function resourceFailed(host: HostResource, step: Step, error: GpuError): boolean {
  switch (step) {
    case Step.CREATE:
      // "Exists", or who knows: the host may have it. UNREF makes it certain.
      host.created = isUnknownId(error) || isNonsense(error) ? Fact.UNKNOWN : Fact.ABSENT;
      if (host.created === Fact.ABSENT) host.releaseBacking();
      return false;
    case Step.UNREF:
      if (isUnknownId(error)) isGone(host);
      else host.created = Fact.UNKNOWN;
      return isUnknownId(error);
    case Step.UPLOAD:
      if (host.uploading !== null) host.stale = unionRect(host.stale, host.uploading);
      host.uploading = null;
      break;
    case Step.ATTACH:
      host.attached = Fact.UNKNOWN;
      break;
    case Step.DETACH:
      // Refused twice: there is nothing attached. Once may mean that, or that the host just did not do it.
      if (host.attached !== Fact.UNKNOWN && !isUnknownId(error)) {
        host.attached = Fact.UNKNOWN;
        return false;
      }
      host.attached = Fact.ABSENT;
      host.releaseBacking();
      break;
    case Step.MAP:
      host.mapped = isNonsense(error) ? Fact.UNKNOWN : Fact.ABSENT;
      break;
    case Step.UNMAP:
      if (host.mapped !== Fact.UNKNOWN && !isUnknownId(error)) {
        host.mapped = Fact.UNKNOWN;
        return false;
      }
      host.mapped = Fact.ABSENT;
      break;
    default:
      break;
  }
  // The host has forgotten a resource that we thought it had.
  if (isUnknownId(error)) isGone(host);
  return step === Step.DETACH || step === Step.UNMAP;
}

function contextFailed(host: HostContext, step: Step, error: GpuError): boolean {
  if (step === Step.CREATE) {
    host.created = isNonsense(error) ? Fact.UNKNOWN : Fact.ABSENT;
    return false;
  }
  const isForgotten = error.reply === GpuReply.ERR_INVALID_CONTEXT_ID;
  host.created = isForgotten ? Fact.ABSENT : Fact.UNKNOWN;
  return isForgotten;
}

function scanoutFailed(host: HostScanout, step: Step, error: GpuError): boolean {
  if (step === Step.FLUSH) {
    if (host.flushing !== null) host.damage(host.flushing);
    host.flushing = null;
    return false;
  }
  // Switching off an output that this host does not have is no failure.
  if (host.showing === null && error.reply === GpuReply.ERR_INVALID_SCANOUT_ID) {
    host.shown = null;
    host.fact = Fact.PRESENT;
    return true;
  }
  host.fact = Fact.UNKNOWN;
  return false;
}

function cursorFailed(host: HostCursor): boolean {
  host.imageStale = true;
  return false;
}

/** No answer in time: unknown, until one comes or the session ends. */
export function noteExpired(entity: HostEntity, step: Step): void {
  if (entity.kind === "scanout" && step === Step.SHOW) entity.fact = Fact.UNKNOWN;
  if (entity.kind === "context") entity.created = Fact.UNKNOWN;
  if (entity.kind !== "resource") return;
  if (step === Step.CREATE || step === Step.UNREF) entity.created = Fact.UNKNOWN;
  if (step === Step.ATTACH || step === Step.DETACH) entity.attached = Fact.UNKNOWN;
  if (step === Step.MAP || step === Step.UNMAP) entity.mapped = Fact.UNKNOWN;
  if (step === Step.ASSIGN_UUID) entity.uuid = Fact.UNKNOWN;
}
