/** Randomness as the core sees it: injected, so that a run can be replayed from its seed. */
export interface Random {
  /** A uniformly distributed unsigned 32-bit integer. */
  nextU32(): number;
}
