/**
 * Foreign dmabufs for a DRM device to import: from udmabuf over a sealed memfd, from vgem, and from the system's dma heap,
 * whichever the kernel has. Kernel interface: uapi udmabuf.h, dma-heap.h, drm.h (PRIME).
 */
import { closeSync, ftruncateSync, openSync, readdirSync } from "node:fs";
import { Mapping, type Sys, SystemCallError } from "../native/index.ts";
import { callDevice, DrmCard } from "./card.ts";
import { encode } from "./layout.ts";
import { flags, requestCode } from "./requests.ts";

/** A dmabuf with what keeps its memory reachable. */
export interface ForeignBuffer {
  readonly dmabufFd: number;
  readonly byteLength: number;
  /** Its memory; the caller closes it. */
  map(): Mapping;
  /** Closes all descriptors. */
  close(): void;
}

/** Makes a dmabuf of at least so many bytes. Throws what the kernel says. */
export type Exporter = (sys: Sys, byteLength: number) => Promise<ForeignBuffer> | ForeignBuffer;

const PAGE = 4096;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
const F_SEAL_SHRINK = 2;
const O_RDWR_CLOEXEC = flags.DRM_RDWR | flags.DRM_CLOEXEC;

const wholePages = (bytes: number): number => Math.ceil(bytes / PAGE) * PAGE;

/** Descriptors that are closed together, in the end or when one of them can't be had. */
class Descriptors {
  readonly #open: (() => void)[] = [];

  add(fd: number): number {
    this.#open.push(() => closeSync(fd));
    return fd;
  }

  onClose(close: () => void): void {
    this.#open.push(close);
  }

  close(): void {
    for (const close of this.#open.splice(0).reverse()) close();
  }

  /** What `make` gives; everything is closed if it throws. */
  static async with(
    make: (descriptors: Descriptors) => Promise<ForeignBuffer> | ForeignBuffer,
  ): Promise<ForeignBuffer> {
    const descriptors = new Descriptors();
    try {
      return await make(descriptors);
    } catch (error) {
      descriptors.close();
      throw error;
    }
  }
}

const udmabuf: Exporter = (sys, bytes) =>
  Descriptors.with((descriptors) => {
    const byteLength = wholePages(bytes);
    const device = descriptors.add(openSync("/dev/udmabuf", "r+"));
    const memfd = descriptors.add(sys.memfdCreate("virtgpu", MFD_ALLOW_SEALING));
    ftruncateSync(memfd, byteLength);
    sys.fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK);
    const create = { memfd, flags: 1, offset: 0n, size: BigInt(byteLength) };
    const dmabufFd = descriptors.add(udmabufCreate(sys, device, create));
    return {
      dmabufFd,
      byteLength,
      map: () => Mapping.ofFile(memfd, byteLength, 0, sys),
      close: () => descriptors.close(),
    };
  });

/** UDMABUF_CREATE gives its descriptor as the call's result, not in the structure. */
function udmabufCreate(
  sys: Sys,
  device: number,
  create: { readonly memfd: number; readonly flags: number; readonly offset: bigint; readonly size: bigint },
): number {
  return sys.ioctl(device, requestCode("UDMABUF_CREATE"), encode("udmabuf_create", create));
}

const vgem: Exporter = (sys, bytes) =>
  Descriptors.with(async (descriptors) => {
    const card = openCardOf("vgem", sys);
    descriptors.onClose(() => card.close());
    const buffer = await card.createDumb(PAGE / 4, Math.ceil(bytes / PAGE));
    const { fd } = card.call("PRIME_HANDLE_TO_FD", { handle: buffer.handle, flags: O_RDWR_CLOEXEC });
    return {
      dmabufFd: descriptors.add(fd),
      byteLength: buffer.byteLength,
      map: () => card.mapDumb(buffer),
      close: () => descriptors.close(),
    };
  });

const heap: Exporter = (sys, bytes) =>
  Descriptors.with((descriptors) => {
    const byteLength = wholePages(bytes);
    const device = descriptors.add(openSync("/dev/dma_heap/system", "r+"));
    const made = callDevice(sys, device, "DMA_HEAP_IOCTL_ALLOC", { len: BigInt(byteLength), fd_flags: O_RDWR_CLOEXEC });
    const dmabufFd = descriptors.add(made.fd);
    return {
      dmabufFd,
      byteLength,
      map: () => Mapping.ofFile(dmabufFd, byteLength, 0, sys),
      close: () => descriptors.close(),
    };
  });

/** All cards of /dev/dri, by their number. */
export function cardPaths(): readonly string[] {
  try {
    const names = readdirSync("/dev/dri").filter((name) => /^card\d+$/.test(name));
    return names.sort((a, b) => Number(a.slice(4)) - Number(b.slice(4))).map((name) => `/dev/dri/${name}`);
  } catch {
    return [];
  }
}

function openCardOf(driver: string, sys: Sys): DrmCard {
  for (const path of cardPaths()) {
    const card = DrmCard.open(path, sys);
    if (card.driver === driver) return card;
    card.close();
  }
  throw new SystemCallError("ENODEV", driver, "no such DRM device is there");
}

/** The exporters by the kinds of objects that are made of them. */
export const exporters: Readonly<Record<"import-udmabuf" | "import-vgem" | "import-heap", Exporter>> = {
  "import-udmabuf": udmabuf,
  "import-vgem": vgem,
  "import-heap": heap,
};
