/** The shell between us and a QEMU: it ends QEMU when we end, however that happens, and takes the folder away. */

/**
 * The script. $1: the folder; the rest: QEMU's command line; descriptor 0: the leash, a pipe that we hold. The shell lets go of
 * `channels`, the descriptors that are QEMU's alone, so that the end of QEMU is seen on each. `before`: a line to run first.
 */
export function leashScript(channels: readonly number[], before: string = ""): string {
  const closed = channels.map((descriptor) => `${descriptor}<&-`).join(" ");
  return `
folder=$1; shift
${before}
exec 9<&0
"$@" </dev/null 9<&- &
qemu=$!
exec 2>/dev/null </dev/null ${closed}
( read -r line <&9; kill -9 $qemu ) &
leash=$!
exec 9<&-
wait $qemu; code=$?
kill -9 $leash
rm -rf "$folder"
exit $code
`;
}
