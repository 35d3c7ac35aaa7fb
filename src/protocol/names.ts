/**
 * Who a session is. Fields that a kind does not use are empty strings, never missing.
 */
export interface Identity {
  /** `mayor`, `deacon`, `boot`, `witness`, `refinery`, `crew`, `polecat`, `agents`, `view`, `crew-function` … */
  role: string;
  town: string;
  rig: string;
  /** Crew or polecat name, instrument, user. */
  name: string;
}
