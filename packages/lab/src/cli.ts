/**
 * The command `virtgpu`: one file a command below commands/, each loaded when it is asked for.
 */
import { buildRouteMap } from "@stricli/core";
import { hibernateCommand } from "./commands/hibernate.ts";
import { imageRoutes } from "./commands/image.ts";
import { infoCommand } from "./commands/info.ts";
import { linuxCommand } from "./commands/linux.ts";
import { matrixCommand } from "./commands/matrix.ts";
import { runApplication } from "./commands/run-application.ts";
import { screenshotCommand } from "./commands/screenshot.ts";
import { showCommand } from "./commands/show.ts";
import { traceRoutes } from "./commands/trace.ts";

const root = buildRouteMap({
  routes: {
    hibernate: hibernateCommand,
    image: imageRoutes,
    info: infoCommand,
    linux: linuxCommand,
    matrix: matrixCommand,
    screenshot: screenshotCommand,
    show: showCommand,
    trace: traceRoutes,
  },
  docs: {
    brief: "A virtio-gpu that comes through suspend and hibernation: shown, tried, and held against a real QEMU",
  },
});

// Whoever reads our output may stop reading, as `head` does: that is no failure of ours.
process.stdout.on("error", () => {});
const { stdout, stderr, env } = process;
process.exitCode = await runApplication(root, process.argv.slice(2), { process: { stdout, stderr, env } });
