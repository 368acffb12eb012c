/** How the device comes to see the driver's pages: by the frames that a chunk names, physical ones or an IOMMU's. */
import { type DmaMap, type FrameSource, type Pages, PhysicalDmaMap, type ScatterList } from "@virtgpu/core/memory";

/** Knows where pages lie, until it is told to forget. */
export interface ForgetfulFrames extends FrameSource {
  forgetFrames(): void;
}

/** See the file's head. */
export class BusMap implements DmaMap {
  readonly translates: boolean;
  readonly #frames: ForgetfulFrames;
  readonly #map: PhysicalDmaMap;

  constructor(frames: ForgetfulFrames, translates: boolean) {
    this.#frames = frames;
    this.#map = new PhysicalDmaMap(frames);
    this.translates = translates;
  }

  map(pages: Pages): ScatterList {
    return this.#map.map(pages);
  }

  unmap(pages: Pages): void {
    this.#map.unmap(pages);
  }

  /** Asks for all frames anew from now on: they may have moved. Before each restore. */
  invalidate(): void {
    this.#frames.forgetFrames();
    this.#map.invalidate();
  }
}
