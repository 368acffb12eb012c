/**
 * One mail of a series as git's mail tools give it, and what its header says: which patch of which version of which thread
 * it is, if it is one at all.
 */

/** A mail that may carry a patch. */
export interface PatchMail {
  /** The subject, whole, on one line. */
  readonly subject: string;
  /** What stands behind the commit message; latin1, one character a byte. */
  readonly diff: string;
  readonly kind: "patch" | "cover-letter" | "other";
  /** Of [PATCH v9 2/5]: 9, 2 and 5. A version of its own is 1. */
  readonly version: number;
  readonly number: number | null;
  readonly total: number | null;
  /** Its Message-ID, "" where it has none. */
  readonly id: string;
  /** The first mail of its thread by its References or In-Reply-To, itself otherwise. */
  readonly root: string;
}

const TAGS = /^\s*((?:\[[^\]]{0,200}\]\s*)+)/;
const REPLY = /^\s*(re|aw|fw|fwd)\s*:/i;
const HAS_DIFF = /^(?:diff --git |--- \S|GIT binary patch)/m;

/** Whether a file is mail rather than a bare diff. */
export function looksLikeMail(text: string): boolean {
  const first = text.trimStart().slice(0, 1000).split("\n", 1)[0] ?? "";
  return /^From \S+ /.test(first) || /^(?!Index:|Only in)[A-Za-z][A-Za-z-]*:(?:\s|$)/.test(first);
}

/** A header field's value, unfolded; null where it is not there. Only the header of the mail is looked at. */
export function headerField(mail: string, name: string): string | null {
  const end = mail.search(/\r?\n\r?\n/);
  const header = (end < 0 ? mail : mail.slice(0, end)).replace(/\r?\n[ \t]+/g, " ");
  const found = new RegExp(`^${name}:[ \t]*(.*?)\r?$`, "im").exec(header);
  return found?.[1] ?? null;
}

/** Puts together what git made of a mail: `mail` as it came, `subject` and `diff` decoded. */
export function readMail(mail: string, subject: string, diff: string): PatchMail {
  const tags = TAGS.exec(subject)?.[1] ?? "";
  const counted = /\b(\d{1,4})\/(\d{1,4})\b/.exec(tags);
  const number = counted === null ? null : Number(counted[1]);
  const total = counted === null ? null : Number(counted[2]);
  const id = messageIds(headerField(mail, "Message-ID"))[0] ?? "";
  const above = [...messageIds(headerField(mail, "References")), ...messageIds(headerField(mail, "In-Reply-To"))];
  const isReply = REPLY.test(subject);
  const isPatch = !isReply && HAS_DIFF.test(diff) && (number !== 0 || total === null);
  const isCover = !isReply && number === 0;
  return {
    subject,
    diff,
    kind: isPatch ? "patch" : isCover ? "cover-letter" : "other",
    version: Number(/\bv(\d{1,4})\b/i.exec(tags)?.[1] ?? "1"),
    number,
    total,
    id,
    root: above[0] ?? id,
  };
}

function messageIds(field: string | null): string[] {
  return [...(field ?? "").matchAll(/<[^<>\s]{1,500}>/g)].map((match) => match[0]);
}

/** The patches of a file of mails that are to be applied, in their order, and what was left out and why. */
export interface Choice {
  readonly patches: readonly PatchMail[];
  readonly leftOut: readonly string[];
  /** Numbers that a series of several patches lacks, e.g. "2/5". A file with one mail is one patch of several files. */
  readonly lacking: readonly string[];
}

/** The patches of one version in one thread. */
interface Series {
  readonly root: string;
  readonly version: number;
  readonly patches: readonly PatchMail[];
}

/**
 * Takes the newest version of each series, each patch once, in the order of their numbers. Mails without a thread
 * (`git format-patch --stdout`, perhaps of several branches one behind the other) stay in the order of the file.
 */
export function choosePatches(mails: readonly PatchMail[]): Choice {
  const leftOut: string[] = [];
  const others = mails.filter((mail) => mail.kind === "other").length;
  if (others > 0) leftOut.push(`${others} ${others === 1 ? "mail" : "mails"} without a patch of the series`);
  const all = toSeries(
    withoutRepeats(
      mails.filter((mail) => mail.kind === "patch"),
      leftOut,
    ),
  );
  const chosen = all.filter((series) => {
    const newer = all.find((other) => supersedes(other, series));
    if (newer !== undefined) leftOut.push(`version ${series.version}, for there is version ${newer.version}`);
    return newer === undefined;
  });
  const patches = chosen.flatMap((series) => inOrder(series));
  return { patches, leftOut, lacking: mails.length === 1 ? [] : missingNumbers(patches) };
}

function toSeries(mails: readonly PatchMail[]): Series[] {
  const groups = groupBy(mails, (mail) => `${mail.version} ${mail.root}`);
  return [...groups.values()].flatMap((patches) => {
    const [first] = patches;
    return first === undefined ? [] : [{ root: first.root, version: first.version, patches }];
  });
}

/** A newer version answers the older one's thread, or has a patch of the same title. */
function supersedes(newer: Series, older: Series): boolean {
  if (newer.version <= older.version) return false;
  if (newer.root === older.root && newer.root !== "") return true;
  const titles = new Set(newer.patches.map(titleOf));
  return older.patches.some((patch) => titles.has(titleOf(patch)));
}

/** The subject without its tags. */
export function titleOf(mail: PatchMail): string {
  return mail.subject.replace(TAGS, "").trim();
}

function inOrder(series: Series): readonly PatchMail[] {
  if (series.root === "") return series.patches;
  return [...series.patches].sort((a, b) => (a.number ?? 0) - (b.number ?? 0));
}

/** The same mail may be there twice, through two lists. */
function withoutRepeats(mails: readonly PatchMail[], leftOut: string[]): PatchMail[] {
  const seen = new Set<string>();
  return mails.filter((mail) => {
    const key = `${mail.subject}\0${mail.diff}`;
    if (seen.has(key)) leftOut.push(`a second copy of ${JSON.stringify(mail.subject)}`);
    const isNew = !seen.has(key);
    seen.add(key);
    return isNew;
  });
}

function missingNumbers(patches: readonly PatchMail[]): string[] {
  const counted = patches.filter((patch) => patch.total !== null);
  return [...groupBy(counted, (patch) => `${patch.version} ${patch.total}`).values()].flatMap((members) => {
    const there = new Set(members.map((patch) => patch.number));
    const total = members[0]?.total ?? 0;
    const numbers = Array.from({ length: total }, (_, index) => index + 1);
    return numbers.filter((number) => !there.has(number)).map((number) => `${number}/${total}`);
  });
}

function groupBy<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group === undefined) groups.set(key(item), [item]);
    else group.push(item);
  }
  return groups;
}
