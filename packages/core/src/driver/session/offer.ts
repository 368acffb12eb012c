/**
 * What this host can be made to hold. Another host than the last one may lack what an object needs: then the object
 * is given up for this session, with a reason, before the host is asked for what it never offered.
 */
import { GpuError } from "../../base/errors.ts";
import { type ContextObject, type DesiredObject, type GuestBlobObject, objectName } from "../desired/objects.ts";
import type { CapsetIds } from "./capsets.ts";
import type { HostContext } from "./host-state.ts";

/** See the file's head. */
export interface HostOffer {
  /** RESOURCE_BLOB was negotiated. */
  readonly blobs: boolean;
  /** RESOURCE_UUID was negotiated. */
  readonly uuids: boolean;
  /** VIRGL was negotiated. */
  readonly renders: boolean;
  /** CONTEXT_INIT was negotiated. */
  readonly choosesCapsets: boolean;
  /** The capability sets that it has. */
  readonly capsets: CapsetIds;
  /** Bytes that a blob's size is a multiple of. */
  readonly blobAlignment: number;
}

/** Throws GpuError ENOTSUP where creating the object asks for something that the host does not offer. */
export function checkOffer(offer: HostOffer, object: DesiredObject): void {
  switch (object.kind) {
    case "image2d":
      return;
    case "guestBlob":
      blobBytes(offer, object);
      return;
    case "hostBlob":
      if (!offer.blobs) throw lacks(object, "this host has no blob resources");
      if (object.byteLength % offer.blobAlignment !== 0) throw misfit(offer, object);
      break;
    case "context":
      checkCapset(offer, object);
      break;
    case "resource3d":
      break;
  }
  if (!offer.renders) throw lacks(object, "this host does not render");
}

/** A host that ignores which capability set is asked for would make another kind of context than before. */
function checkCapset(offer: HostOffer, object: ContextObject): void {
  const { capset } = object;
  if (capset === 0 || !offer.renders) return;
  if (!offer.choosesCapsets)
    throw lacks(object, `this host does not choose capability sets by context, and it needs set ${capset}`);
  if (!offer.capsets.has(capset)) throw lacks(object, `this host does not have its capability set ${capset}`);
}

/** Whether {@link checkOffer} can't judge a context yet; then the context waits, and `tell` is called once it can. */
export function awaitOffer(offer: HostOffer, context: HostContext, tell: () => void): boolean {
  const { capsets, renders, choosesCapsets } = offer;
  const isOpen = context.object.capset !== 0 && renders && choosesCapsets && !capsets.isKnown;
  if (isOpen) context.retry = capsets.whenKnown(tell);
  return isOpen;
}

/**
 * The size, in bytes, by which this host is told of a guest blob: its own, up to the next multiple of the alignment, for
 * its last page may have room behind the pixels. Throws GpuError ENOTSUP where there are no blobs, or no such room.
 */
export function blobBytes(offer: HostOffer, object: GuestBlobObject): number {
  if (!offer.blobs) throw lacks(object, "this host has no blob resources");
  const { backing, byteLength } = object;
  const aligned = Math.ceil(byteLength / offer.blobAlignment) * offer.blobAlignment;
  const roomBytes = backing.source === "own" ? backing.pages.byteLength : byteLength;
  if (aligned > roomBytes) throw misfit(offer, object);
  return aligned;
}

function misfit({ blobAlignment }: HostOffer, object: { readonly byteLength: number } & DesiredObject): GpuError {
  return lacks(object, `its ${object.byteLength} bytes are no multiple of this host's blob alignment ${blobAlignment}`);
}

function lacks(object: DesiredObject, sentence: string): GpuError {
  return new GpuError("ENOTSUP", sentence, { object: objectName(object) });
}
