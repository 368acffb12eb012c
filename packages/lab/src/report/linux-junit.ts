/**
 * A guest's sleeps as JUnit XML: a suite for each sleep, a case for each check.
 */
import { type JunitCase, junitDocument, type JunitSuite } from "./junit.ts";
import type { LinuxCheck, LinuxRecord } from "./linux-record.ts";

/** See the file's head. */
export function linuxJunit(record: LinuxRecord): string {
  const { subject, sleeps, startedAt, versions, commandLine } = record;
  const { name, kernel, qemu, machine, devices } = subject;
  const properties = { kernel, qemu, machine, devices: devices.join("; "), commandLine, virtgpu: versions.virtgpu };
  const suites = sleeps.map(({ number, way, checks, verdict, reason }): JunitSuite => {
    const outcome: JunitCase["outcome"] =
      verdict === "came-back"
        ? { kind: "passed" }
        : { kind: verdict === "hung" ? "error" : "failure", message: `${verdict}: ${reason ?? "no reason known"}` };
    const className = `virtgpu.linux.${way}`;
    const first: JunitCase = { className, name: "the picture comes back by itself", ms: 0, outcome };
    const cases = checks.map(
      (check): JunitCase => ({ className, name: nameOf(check), ms: 0, outcome: outcomeOf(check) }),
    );
    return { name: `${number}: ${way}, ${name}`, timestamp: startedAt, properties, cases: [first, ...cases] };
  });
  return junitDocument("virtgpu linux", suites);
}

function nameOf({ name, requirements }: LinuxCheck): string {
  return requirements.length === 0 ? name : `${name} [${requirements.join(", ")}]`;
}

function outcomeOf({ result, detail }: LinuxCheck): JunitCase["outcome"] {
  if (result === "pass") return { kind: "passed" };
  return { kind: result === "fail" ? "failure" : "skipped", message: detail };
}
