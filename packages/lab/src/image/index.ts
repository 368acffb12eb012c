/**
 * Hibernation images on disk: streamed, checked, written whole or not at all, used once. docs/image-format.md has the
 * layout.
 */
export { type ImageFile, type ImageFiles, nodeImageFiles } from "./files.ts";
export { fileRam, guestRam } from "./ram.ts";
export { openImage } from "./reader.ts";
export type {
  ImageCheck,
  ImageCodec,
  ImageContent,
  ImageHeader,
  ImageIdentity,
  ImageMark,
  ImageProgress,
  ImageReader,
  ImageStream,
  OpenImageOptions,
  RamSink,
  RamSource,
  WriteImageOptions,
  WrittenImage,
} from "./types.ts";
export { discardImage, writeImage } from "./writer.ts";
