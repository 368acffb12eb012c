/** What most cases have on the machine. */
import type { Stage } from "../stage.ts";

/** Two outputs, a cursor, and an off-screen buffer of each kind that the machine offers. */
export async function drawEverything({ scene, subject }: Stage): Promise<void> {
  await drawDesktop({ scene });
  await scene.create({ width: 48, height: 16 });
  const detached = await scene.create({ width: 32, height: 32 });
  await detached.buffer.detach();
  await scene.import({ width: 32, height: 32 });
  if (subject.lacks("blobs") === null) await scene.create({ width: 32, height: 32, storage: "blob" });
  await scene.showCursor(0, { x: 20, y: 10 });
}

/** Two outputs and nothing else. */
export async function drawDesktop({ scene }: Pick<Stage, "scene">): Promise<void> {
  await scene.show(0, await scene.create({ width: 64, height: 48 }));
  await scene.show(1, await scene.create({ width: 32, height: 32 }));
}
