/**
 * What runs on the host's own GPU (VIRTIO 1.2 sections 5.7.6.8 and 5.7.6.10): contexts, 3D resources, host blobs and
 * their mappings, capability sets, fences. The commands complete; what they make can't be brought back on another host,
 * and is classed so: a sleep is vetoed, or loses it with a defined error.
 */
import { GpuError } from "../base/errors.ts";
import {
  BlobMemory,
  CAPSET_REPLY_BYTES,
  CONTEXT_RINGS_MAX,
  CTX_ATTACH_RESOURCE_BYTES,
  GET_CAPSET_BYTES,
  GET_DISPLAY_INFO_BYTES,
  DISPLAY_INFO_REPLY_BYTES,
  GpuCommand,
  GpuFeature,
  HEADER_BYTES,
  HeaderFlag,
  SUBMIT_3D_BYTES,
  TRANSFER_TO_HOST_3D_BYTES,
  highWord,
  lowWord,
  readBytes,
  writeBytes,
  writeCtxResource,
  writeGetCapset,
  writeHeader,
  writeSubmit3d,
  writeTransferHost3d,
} from "../wire/index.ts";
import type { GpuCore } from "./core.ts";
import type {
  ContextObject,
  HostBlobObject,
  Resource3dObject,
  Resource3dParameters,
  ResourceObject,
} from "./desired/objects.ts";
import { objectName } from "./desired/objects.ts";
import { HostWindow } from "./host-window.ts";
import { Listeners, type Signal } from "./listeners.ts";
import type { PowerPolicy } from "./power/policy.ts";
import { RenderResource } from "./render-resource.ts";
import { type HostCapset, readCapsets } from "./session/capsets.ts";
import type { Fence } from "./session/fences.ts";
import { Fact } from "./session/host-state.ts";
import type { Session } from "./session/session.ts";
import { keyOf } from "./waiters.ts";

/** What {@link Rendering.createContext} makes. */
export interface ContextOptions {
  /** For the host's debugging; at most 64 ASCII characters. */
  readonly name?: string | undefined;
  /** Capability set, with CONTEXT_INIT; 0 (the host's default) unless given. */
  readonly capset?: number | undefined;
  /** Who is named when it stands in the way of a sleep; the name unless given. */
  readonly holder?: string | undefined;
  readonly key?: string | undefined;
}

/** A box of a 3D transfer: pixels, and layers. */
export interface Box {
  readonly x: number;
  readonly y: number;
  readonly z: number;
  readonly width: number;
  readonly height: number;
  readonly depth: number;
}

/** What {@link RenderContext.transfer} moves. */
export interface Transfer3d {
  readonly direction: "toHost" | "fromHost";
  readonly box: Box;
  readonly offset: number;
  readonly level: number;
  readonly stride: number;
  readonly layerStride: number;
}

/** Most data that one capability set may have, in bytes: a host that claims more is not believed. */
const CAPSET_BYTES_MAX = 128 * 1024;

/** See the file's head. */
export class Rendering {
  readonly #core: GpuCore;
  readonly #policy: PowerPolicy;
  readonly #window: HostWindow;
  readonly #onCapsets: Signal<readonly HostCapset[]>;
  /** Contexts of a loaded state that nobody has adopted yet. */
  readonly #unclaimed: Set<ContextObject>;
  /** As last read; null until somebody asked. */
  #known: readonly HostCapset[] | null = null;

  /** @internal */
  constructor(core: GpuCore, policy: PowerPolicy) {
    this.#core = core;
    this.#onCapsets = new Listeners(core.guard, "listener of capability sets");
    this.#policy = policy;
    this.#window = new HostWindow(core);
    this.#unclaimed = new Set(core.desired.contexts.values());
    core.onSession.on((session) => this.#compareCapsets(session));
  }

  /** Whether the host renders. */
  get isOffered(): boolean {
    return this.#has(GpuFeature.VIRGL);
  }

  /** The capability sets, asked anew. Throws ENOTSUP, EBUSY while the device sleeps. */
  async capsets(): Promise<readonly HostCapset[]> {
    this.#known = await hostCapsets(this.#require(GpuFeature.VIRGL));
    return this.#known;
  }

  /** Calls `listener` when another host offers other capability sets than the one before; none at all may be among them. */
  onCapsets(listener: (capsets: readonly HostCapset[]) => void): () => void {
    return this.#onCapsets.on(listener);
  }

  /** Read again in every session, once somebody cared. */
  #compareCapsets(session: Session): void {
    const before = this.#known;
    if (before === null) return;
    const now = session.hasFeature(GpuFeature.VIRGL) ? hostCapsets(session) : Promise.resolve([]);
    now.then(
      (capsets) => {
        this.#known = capsets;
        if (JSON.stringify(capsets) !== JSON.stringify(before)) this.#onCapsets.emit(capsets);
      },
      () => {},
    );
  }

  /** The data of a capability set. Throws EPROTO for one that claims more than 128 KiB. */
  async capset(info: HostCapset, version: number = info.versionMax): Promise<Uint8Array> {
    const session = this.#require(GpuFeature.VIRGL);
    if (info.byteLengthMax > CAPSET_BYTES_MAX) {
      throw new GpuError("EPROTO", `capability set ${info.id} claims ${info.byteLengthMax} bytes`, {
        device: session.label,
      });
    }
    const answer = await session.sender.send(
      { requestBytes: GET_CAPSET_BYTES, replyBytes: CAPSET_REPLY_BYTES + info.byteLengthMax, object: 0 },
      (u32, at) => {
        writeHeader(u32, at, GpuCommand.GET_CAPSET, 0, 0, 0, 0, 0);
        writeGetCapset(u32, at, info.id, version);
      },
    );
    return readBytes(answer.words, CAPSET_REPLY_BYTES >> 2, answer.byteLength - CAPSET_REPLY_BYTES);
  }

  /** A new context. An unused one comes back after a sleep; anything done in it makes it unrecoverable. */
  async createContext(options: ContextOptions = {}): Promise<RenderContext> {
    const core = this.#core;
    this.#require(GpuFeature.VIRGL);
    const { capset = 0, key } = options;
    if (capset !== 0 && !this.#has(GpuFeature.CONTEXT_INIT)) {
      throw new GpuError("ENOTSUP", "the device does not choose capability sets by context", { device: core.label });
    }
    for (const other of core.desired.contexts.values()) {
      if (key !== undefined && other.key === key)
        throw new GpuError("EINVAL", `there is a context "${key}" already`, { device: core.label });
    }
    const id = core.desired.takeContextId();
    const name = options.name ?? `context ${id}`;
    const object: ContextObject = {
      kind: "context",
      id,
      key: key ?? null,
      holder: options.holder ?? name,
      name,
      capset,
      used: false,
    };
    core.desired.contexts.set(id, object);
    await core.realise(object);
    return new RenderContext(core, this.#policy, object);
  }

  /**
   * Takes an unused context of a loaded state over by its key. Throws GpuError ENOTRECOVERABLE when it was lost with the
   * old host, EINVAL when there is no such context or it was adopted already.
   */
  adoptContext(key: string): RenderContext {
    const facts = { device: this.#core.label, object: `"${key}"` };
    const object = [...this.#unclaimed].find((context) => context.key === key);
    if (object === undefined) {
      const lost = this.#core.desired.lostBefore.find((before) => before.key === key);
      if (lost !== undefined) throw new GpuError("ENOTRECOVERABLE", lost.reason, facts);
      throw new GpuError("EINVAL", "there is no such context to adopt", facts);
    }
    this.#unclaimed.delete(object);
    return new RenderContext(this.#core, this.#policy, object);
  }

  /** @internal Contexts that nobody adopted are destroyed. */
  dropUnclaimed(): void {
    for (const object of this.#unclaimed) this.#core.destroy(object);
    this.#unclaimed.clear();
  }

  /** A 3D resource (RESOURCE_CREATE_3D). Unrecoverable: EBUSY between PREPARE and POST of a sleep. */
  async createResource(
    context: RenderContext,
    parameters: Resource3dParameters,
    options: { readonly key?: string; readonly holder?: string } = {},
  ): Promise<RenderResource> {
    const core = this.#core;
    await this.#policy.admit();
    this.#require(GpuFeature.VIRGL);
    const id = core.desired.takeResourceId();
    const object: Resource3dObject = {
      kind: "resource3d",
      id,
      key: options.key ?? null,
      holder: options.holder ?? context.holder,
      uuidWanted: false,
      contextId: context.id,
      parameters,
    };
    core.desired.resources.set(id, object);
    await core.realise(object);
    return new RenderResource(core, object, this.#window);
  }

  /** A blob whose storage is the host's (HOST3D, HOST3D_GUEST). Unrecoverable, whatever it is called. */
  async createHostBlob(
    context: RenderContext,
    options: {
      readonly byteLength: number;
      readonly blobId: number;
      readonly flags: number;
      readonly blobMemory?: BlobMemory;
      readonly key?: string;
      readonly holder?: string;
    },
  ): Promise<RenderResource> {
    const core = this.#core;
    await this.#policy.admit();
    const session = this.#require(GpuFeature.RESOURCE_BLOB);
    const { byteLength, blobId, flags, blobMemory = BlobMemory.HOST3D } = options;
    const alignment = session.config.blobAlignment;
    if (!Number.isSafeInteger(byteLength) || byteLength <= 0 || byteLength % alignment !== 0) {
      throw new GpuError("EINVAL", `a blob of ${byteLength} bytes is no multiple of ${alignment}`, {
        device: core.label,
      });
    }
    const id = core.desired.takeResourceId();
    const object: HostBlobObject = {
      kind: "hostBlob",
      id,
      key: options.key ?? null,
      holder: options.holder ?? context.holder,
      uuidWanted: false,
      blobMemory,
      byteLength,
      flags,
      contextId: context.id,
      blobId,
      mapOffset: null,
    };
    core.desired.resources.set(id, object);
    await core.realise(object);
    return new RenderResource(core, object, this.#window);
  }

  /** A fence on the global timeline, carried by a command of its own. */
  fence(): Fence {
    const session = this.#core.requireSession();
    const fence = session.fences.create();
    carry(session, fence, GET_DISPLAY_INFO_BYTES, DISPLAY_INFO_REPLY_BYTES, (u32, at, flags) => {
      writeHeader(u32, at, GpuCommand.GET_DISPLAY_INFO, flags, lowWord(fence.id), highWord(fence.id), 0, 0);
    });
    return fence;
  }

  #has(feature: number): boolean {
    return (this.#core.features & (1n << BigInt(feature))) !== 0n;
  }

  #require(feature: number): Session {
    const session = this.#core.requireSession();
    if (session.hasFeature(feature)) return session;
    throw new GpuError("ENOTSUP", "the device does not offer this", { device: session.label });
  }
}

function hostCapsets({ sender, config }: Session): Promise<readonly HostCapset[]> {
  return readCapsets(sender, config.capsets);
}

/** Sends a command whose reply signals `fence`; its failure fails it. */
function carry(
  session: Session,
  fence: Fence,
  requestBytes: number,
  replyBytes: number,
  write: (u32: Uint32Array, at: number, flags: number) => void,
): void {
  session.sender
    .send({ requestBytes, replyBytes, object: 0, fence: fence.id }, (u32, at) => write(u32, at, HeaderFlag.FENCE))
    .then(
      () => session.fences.signal(fence),
      (error: unknown) => {
        session.fences.fail(fence, error instanceof GpuError ? error : new GpuError("EIO", String(error)));
      },
    );
}

/** A context on the host. */
export class RenderContext {
  readonly #core: GpuCore;
  readonly #policy: PowerPolicy;
  readonly #object: ContextObject;

  /** @internal */
  constructor(core: GpuCore, policy: PowerPolicy, object: ContextObject) {
    this.#core = core;
    this.#policy = policy;
    this.#object = object;
  }

  /** The context id: unique for the device's life, never used again. */
  get id(): number {
    return this.#object.id;
  }

  /** As given, or made of the id. */
  get name(): string {
    return this.#object.name;
  }

  /** Who is named when it stands in the way of a sleep. */
  get holder(): string {
    return this.#object.holder;
  }

  /** Why it is lost; null while it is not. */
  get lost(): GpuError | null {
    return this.#core.losses.get(this.#object) ?? null;
  }

  /**
   * Submits commands of the renderer's own language (SUBMIT_3D). The fence is on `ring` of this context where CONTEXT_INIT
   * was negotiated, else on the global timeline. Throws ENOTRECOVERABLE once lost, EBUSY while the device sleeps.
   */
  async submit(data: Uint8Array, ring: number = 0): Promise<Fence> {
    const session = await this.#use();
    if (!Number.isInteger(ring) || ring < 0 || ring >= CONTEXT_RINGS_MAX) {
      throw new GpuError("EINVAL", `a context has rings 0 to ${CONTEXT_RINGS_MAX - 1}, not ${ring}`);
    }
    const hasRings = session.hasFeature(GpuFeature.CONTEXT_INIT);
    const fence = session.fences.create(hasRings ? { contextId: this.id, ringIndex: ring } : null);
    carry(session, fence, SUBMIT_3D_BYTES + data.length, HEADER_BYTES, (u32, at, flags) => {
      const ringFlag = hasRings ? HeaderFlag.INFO_RING_IDX : 0;
      const ringIndex = hasRings ? ring : 0;
      const { id } = fence;
      writeHeader(u32, at, GpuCommand.SUBMIT_3D, flags | ringFlag, lowWord(id), highWord(id), this.id, ringIndex);
      writeSubmit3d(u32, at, data.length);
      writeBytes(u32, at + (SUBMIT_3D_BYTES >> 2), data.length, data);
    });
    return fence;
  }

  /** Lets the context use a resource. */
  async attach(resource: { readonly id: number }): Promise<void> {
    await this.#resourceCommand(GpuCommand.CTX_ATTACH_RESOURCE, resource.id);
  }

  /** Ends that. */
  async detach(resource: { readonly id: number }): Promise<void> {
    await this.#resourceCommand(GpuCommand.CTX_DETACH_RESOURCE, resource.id);
  }

  /** Moves pixels between a 3D resource and its backing. */
  async transfer(resource: { readonly id: number }, what: Transfer3d): Promise<Fence> {
    const session = await this.#use();
    const fence = session.fences.create();
    const command = what.direction === "toHost" ? GpuCommand.TRANSFER_TO_HOST_3D : GpuCommand.TRANSFER_FROM_HOST_3D;
    const { box, offset, level, stride, layerStride } = what;
    const { x, y, z, width, height, depth } = box;
    carry(session, fence, TRANSFER_TO_HOST_3D_BYTES, HEADER_BYTES, (u32, at, flags) => {
      writeHeader(u32, at, command, flags, lowWord(fence.id), highWord(fence.id), this.id, 0);
      writeTransferHost3d(u32, at, x, y, z, width, height, depth, offset, resource.id, level, stride, layerStride);
    });
    return fence;
  }

  /** Gives the context up (CTX_DESTROY). */
  destroy(): void {
    this.#core.destroy(this.#object);
  }

  async #resourceCommand(command: number, resourceId: number): Promise<void> {
    const session = await this.#use();
    const resource = this.#core.desired.resources.get(resourceId);
    if (resource !== undefined) await untilThere(this.#core, session, resource);
    await session.sender.send(
      { requestBytes: CTX_ATTACH_RESOURCE_BYTES, replyBytes: HEADER_BYTES, object: resourceId },
      (u32, at) => {
        writeHeader(u32, at, command, 0, 0, 0, this.id, 0);
        writeCtxResource(u32, at, resourceId);
      },
    );
  }

  /** From the first use on it can't be brought back: that is refused while the system goes to sleep. */
  async #use(): Promise<Session> {
    const { lost } = this;
    if (lost !== null) throw lost;
    if (!this.#object.used) await this.#policy.admit();
    const session = this.#core.requireSession();
    if (this.#core.desired.contexts.get(this.id) !== this.#object) {
      throw new GpuError("ENODEV", "it was destroyed", { object: objectName(this.#object) });
    }
    await untilThere(this.#core, session, this.#object);
    this.#object.used = true;
    return session;
  }
}

/** Resolves when this session's host has the object, soon after a restore; rejects where it can't. */
async function untilThere(core: GpuCore, session: Session, object: ContextObject | ResourceObject): Promise<void> {
  const { contexts, resources } = session.reconciler;
  const host = object.kind === "context" ? contexts.get(object.id) : resources.get(object.id);
  if (host?.created !== Fact.PRESENT) await core.inThisSession(core.settled(keyOf(object)));
}
