/**
 * Every failure that crosses a wall: what happened, why, and what to type next. One class, a closed list of codes.
 * Codes are public and only ever added; each maps to one exit code of the command line.
 */
const EXIT_CODES = {
  /** Something broke that the caller cannot mend. */
  FAILED: 1,
  /** The command or its arguments are wrong. */
  USAGE: 2,
  /** The floor plan is wrong; `at` names file, line and column. */
  PLAN_INVALID: 2,
  BAD_ADDRESS: 2,
  BAD_NAME: 2,
  NOT_FOUND: 3,
  UNKNOWN_AGENT: 3,
  UNKNOWN_ROOM: 3,
  UNKNOWN_SESSION: 3,
  UNKNOWN_USER: 3,
  /** The caller may not do this. */
  REFUSED: 4,
  /** A credential of a run that has ended. */
  STALE_EPOCH: 4,
  /** Somebody else got there first, or the world changed meanwhile; the text names who or what. */
  CONFLICT: 5,
  /** The same name is taken by something that is not ours. */
  NAME_TAKEN: 5,
  /** The caller must decide first (`--restart`, `--yes`). */
  NEEDS_CONSENT: 5,
  TOO_LARGE: 2,
  /** Over a limit for now; `retryAfterMs` says when to come back. */
  OVER_QUOTA: 4,
  /** tmux, the coordinator or a broker cannot be reached. */
  UNREACHABLE: 6,
  TMUX_MISSING: 6,
  TIMEOUT: 6,
  /** No room on the disk: nothing was stored; the same command works again once there is space. */
  DISK_FULL: 1,
  /** Stored bytes do not match their hash chain, or an event of an unknown kind was found. */
  LOG_DAMAGED: 1,
} as const;

export type ErrorCode = keyof typeof EXIT_CODES;

/** A place in a file a person edits; line and column count from 1. */
export interface SourcePlace {
  file: string;
  line: number;
  column: number;
}

export interface ErrorBody {
  code: ErrorCode;
  /** What happened, one line, lower case. */
  what: string;
  /** The reason, or what was expected. */
  why?: string;
  /** What to type next; complete and safe to paste. */
  fix?: string;
  at?: SourcePlace;
  /** Several mistakes in one file; each is whole in itself. */
  more?: ErrorBody[];
  retryAfterMs?: number;
}

export class BosunError extends Error {
  readonly body: ErrorBody;

  constructor(body: ErrorBody) {
    super(body.why ? `${body.what}: ${body.why}` : body.what);
    this.name = "BosunError";
    this.body = body;
  }

  get code(): ErrorCode {
    return this.body.code;
  }

  /** 1 failed · 2 usage or plan · 3 not found · 4 refused · 5 conflict · 6 unreachable. */
  get exitCode(): number {
    return exitCodeOf(this.body.code);
  }
}

export function exitCodeOf(code: ErrorCode): number {
  return EXIT_CODES[code] ?? 1;
}

/** Any thrown value as an error body; a stranger becomes FAILED with its message, never its stack. */
export function toErrorBody(thrown: unknown): ErrorBody {
  if (thrown instanceof BosunError) return thrown.body;
  return { code: "FAILED", what: thrown instanceof Error ? thrown.message : String(thrown) };
}
