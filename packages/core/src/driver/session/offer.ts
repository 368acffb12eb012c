/**
 * What this host can be made to hold. Another host than the last one may lack what an object needs: then the object
 * is given up for this session, with a reason, before the host is asked for what it never offered.
 */
import { GpuError } from "../../base/errors.ts";
import { type ResourceObject, objectName } from "../desired/objects.ts";
import { Step } from "./host-state.ts";

/** See the file's head. */
export interface HostOffer {
  /** RESOURCE_BLOB was negotiated. */
  readonly blobs: boolean;
  /** RESOURCE_UUID was negotiated. */
  readonly uuids: boolean;
  /** Bytes that a blob's size is a multiple of. */
  readonly blobAlignment: number;
}

/** Throws GpuError ENOTSUP where the step asks for something that the host does not offer. */
export function checkOffer(offer: HostOffer, object: ResourceObject, step: Step): void {
  if (step !== Step.CREATE || (object.kind !== "guestBlob" && object.kind !== "hostBlob")) return;
  const facts = { object: objectName(object) };
  if (!offer.blobs) throw new GpuError("ENOTSUP", "this host has no blob resources", facts);
  if (object.byteLength % offer.blobAlignment === 0) return;
  const sentence = `its ${object.byteLength} bytes are no multiple of this host's blob alignment ${offer.blobAlignment}`;
  throw new GpuError("ENOTSUP", sentence, facts);
}
