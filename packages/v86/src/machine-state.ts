/**
 * The device's part in v86's saved states (`save_state`, `restore_state`, `initial_state`). v86 keeps a fixed list of its
 * own devices; this adds one entry behind it, around the processor's `get_state` and `set_state`.
 */
import type { V86Cpu } from "./internals.ts";

/** Behind all that v86 uses itself (below 100), with room for others. */
const ENTRY = 500;
const NAME = "virtgpu";

/** The two directions. Neither throws. */
export interface StateHooks {
  /** Null: it can't be saved now. */
  save(): Uint8Array | null;
  /** Called after v86 has taken its own part on. Null: the state was saved without the device. */
  restore(state: Uint8Array | null): void;
}

/** Wraps the processor's methods. */
export function hookStates(cpu: V86Cpu, hooks: StateHooks): void {
  const save = cpu.get_state.bind(cpu);
  const restore = cpu.set_state.bind(cpu);
  cpu.get_state = () => {
    const state = save();
    const ours = hooks.save();
    // Lists of a name and bytes are among what v86 can write as it is.
    if (ours !== null) state[ENTRY] = [NAME, ours];
    return state;
  };
  cpu.set_state = (state) => {
    restore(state);
    hooks.restore(entryOf(state[ENTRY]));
  };
}

function entryOf(entry: unknown): Uint8Array | null {
  if (!Array.isArray(entry)) return null;
  const [name, bytes]: unknown[] = entry;
  return name === NAME && bytes instanceof Uint8Array ? bytes : null;
}
