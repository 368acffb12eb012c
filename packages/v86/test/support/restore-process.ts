/**
 * A process of its own that restores a machine from a file and tells what it shows: `restore-process.ts STATE`, with
 * a line of JSON on standard output. It ends with its parent.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { TestMachine } from "./machine.ts";

process.stdin.resume();
process.stdin.on("end", () => process.exit(1));

const path = process.argv[2] ?? "";
const machine = await TestMachine.boot({
  state: new Uint8Array(readFileSync(path)).buffer,
  outputs: [{ width: 1024, height: 768 }, null],
});
const shot = machine.gpu.screenshot(0);
const picture = createHash("sha256")
  .update(shot?.rgba ?? new Uint8Array(0))
  .digest("hex");
const said = await machine.run('echo "$MARK"');
await machine.run("echo 'and it goes on' >/dev/tty1");
const after = createHash("sha256")
  .update(machine.gpu.screenshot(0)?.rgba ?? new Uint8Array(0))
  .digest("hex");
console.log(JSON.stringify({ width: shot?.width, picture, said, after, problems: machine.problems }));
process.exit(0);
