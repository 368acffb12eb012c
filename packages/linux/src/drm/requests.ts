/**
 * The ioctls of DRM, of the virtio-gpu driver and of two exporters of dmabufs, by their names in the headers
 * (`DRM_IOCTL_...` but for the exporters'), and constants of the same headers. structs.test.ts holds them against the headers.
 */
import { layoutOf } from "./layout.ts";
import type { StructName } from "./structs.ts";

/** How a request's number is made (asm-generic/ioctl.h): the letter, the number, who reads and writes, and what. */
export interface RequestRow {
  readonly letter: string;
  readonly number: number;
  /** 1: the kernel reads the structure. 3: it writes it too. */
  readonly access: 1 | 3;
  readonly of: StructName;
}

export const requests = {
  VERSION: { letter: "d", number: 0x00, access: 3, of: "drm_version" },
  GEM_CLOSE: { letter: "d", number: 0x09, access: 1, of: "drm_gem_close" },
  PRIME_HANDLE_TO_FD: { letter: "d", number: 0x2d, access: 3, of: "drm_prime_handle" },
  PRIME_FD_TO_HANDLE: { letter: "d", number: 0x2e, access: 3, of: "drm_prime_handle" },
  MODE_GETRESOURCES: { letter: "d", number: 0xa0, access: 3, of: "drm_mode_card_res" },
  MODE_SETCRTC: { letter: "d", number: 0xa2, access: 3, of: "drm_mode_crtc" },
  MODE_GETENCODER: { letter: "d", number: 0xa6, access: 3, of: "drm_mode_get_encoder" },
  MODE_GETCONNECTOR: { letter: "d", number: 0xa7, access: 3, of: "drm_mode_get_connector" },
  MODE_PAGE_FLIP: { letter: "d", number: 0xb0, access: 3, of: "drm_mode_crtc_page_flip" },
  MODE_DIRTYFB: { letter: "d", number: 0xb1, access: 3, of: "drm_mode_fb_dirty_cmd" },
  MODE_CREATE_DUMB: { letter: "d", number: 0xb2, access: 3, of: "drm_mode_create_dumb" },
  MODE_MAP_DUMB: { letter: "d", number: 0xb3, access: 3, of: "drm_mode_map_dumb" },
  MODE_ADDFB2: { letter: "d", number: 0xb8, access: 3, of: "drm_mode_fb_cmd2" },
  MODE_CURSOR2: { letter: "d", number: 0xbb, access: 3, of: "drm_mode_cursor2" },
  VIRTGPU_MAP: { letter: "d", number: 0x41, access: 3, of: "drm_virtgpu_map" },
  VIRTGPU_GETPARAM: { letter: "d", number: 0x43, access: 3, of: "drm_virtgpu_getparam" },
  VIRTGPU_RESOURCE_CREATE: { letter: "d", number: 0x44, access: 3, of: "drm_virtgpu_resource_create" },
  VIRTGPU_TRANSFER_TO_HOST: { letter: "d", number: 0x47, access: 3, of: "drm_virtgpu_3d_transfer_to_host" },
  VIRTGPU_WAIT: { letter: "d", number: 0x48, access: 3, of: "drm_virtgpu_3d_wait" },
  VIRTGPU_RESOURCE_CREATE_BLOB: { letter: "d", number: 0x4a, access: 3, of: "drm_virtgpu_resource_create_blob" },
  UDMABUF_CREATE: { letter: "u", number: 0x42, access: 1, of: "udmabuf_create" },
  DMA_HEAP_IOCTL_ALLOC: { letter: "H", number: 0x00, access: 3, of: "dma_heap_allocation_data" },
} as const;

/** The name of a request. */
export type RequestName = keyof typeof requests;
/** The structure of a request. */
export type ArgumentOf<R extends RequestName> = (typeof requests)[R]["of"];

/** The number that ioctl(2) takes. */
export function requestCode(name: RequestName): number {
  const { letter, number, access, of }: RequestRow = requests[name];
  return ((access << 30) | (layoutOf(of).bytes << 16) | (letter.charCodeAt(0) << 8) | number) >>> 0;
}

/** DRM_IOCTL_MODE_RMFB: takes a framebuffer's number alone. */
export const REMOVE_FRAMEBUFFER = 0xc004_64af;

/** DRM_IOCTL_SET_MASTER and DRM_IOCTL_DROP_MASTER: take nothing. */
export const SET_MASTER = 0x641e;
export const DROP_MASTER = 0x641f;

export const flags = {
  DRM_MODE_PAGE_FLIP_EVENT: 1,
  DRM_MODE_CURSOR_BO: 1,
  DRM_MODE_CURSOR_MOVE: 2,
  DRM_MODE_CONNECTED: 1,
  DRM_EVENT_FLIP_COMPLETE: 2,
  DRM_CLOEXEC: 0x8_0000,
  DRM_RDWR: 2,
  DRM_FORMAT_XRGB8888: 0x3432_5258,
  VIRTGPU_PARAM_RESOURCE_BLOB: 3,
  VIRTGPU_BLOB_MEM_GUEST: 1,
  VIRTGPU_BLOB_FLAG_USE_MAPPABLE: 1,
} as const;
