/** EDID: what a display says of itself (VESA E-EDID 1.4, CTA-861, DisplayID 1.3). */
export { DMT_TIMINGS, type DmtTiming } from "./dmt.ts";
export * from "./generate.ts";
export * from "./parse.ts";
export { cvtReducedBlanking, type EdidBlanking, type EdidTiming } from "./timing.ts";
