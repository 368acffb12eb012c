/** What a device says of itself, for people. */
import type { DeviceInfo, OutputInfo } from "./device-info.ts";

/** Several lines. */
export function printInfo(info: DeviceInfo): string {
  const lines = [
    `${info.host}: ${info.transport}`,
    "",
    row("features", info.features.join(" ")),
    row("queues", info.queues.map(({ name, sizeMax }) => `${name} ${sizeMax}`).join(", ")),
    row("host-visible", info.hostVisibleBytes === 0 ? "none" : `${info.hostVisibleBytes >> 20} MiB`),
    row("blobs", info.blobAlignment === null ? "no alignment given" : `aligned to ${info.blobAlignment} bytes`),
    row("No_Soft_Reset", softReset(info.noSoftReset)),
    row(
      "capsets",
      info.capsets.map(({ id, maxVersion, maxSize }) => `${id} (version ${maxVersion}, ${maxSize} bytes)`).join(", ") ||
        "none",
    ),
    "",
    ...info.outputs.map((output) => row(`output ${output.index}`, outputText(output))),
    "",
    ...info.behaviour.flatMap(({ name, answer, meaning }) => [`${name}: ${answer}`, `    ${meaning}`]),
  ];
  return `${lines.join("\n")}\n`;
}

function row(name: string, value: string): string {
  return `${name.padEnd(16)}${value}`;
}

function softReset(noSoftReset: boolean | null): string {
  if (noSoftReset === null) return "no power management";
  return noSoftReset ? "yes: D3hot keeps everything" : "no: D3hot may forget everything";
}

function outputText({ enabled, width, height, monitor }: OutputInfo): string {
  const size = enabled ? `${width}x${height}` : "off";
  const seen =
    monitor === null
      ? "no EDID"
      : `${monitor.name}, prefers ${monitor.preferred ?? "nothing"}, EDID of ${monitor.bytes} bytes`;
  return `${size}, ${seen}`;
}
