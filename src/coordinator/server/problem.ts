import { BosunError, type ErrorBody, type ErrorCode, toErrorBody } from "../../protocol/error.ts";

/** HTTP status of each code; one about the credential itself is 401 instead, see `notAuthenticated`. */
const STATUS: Record<ErrorCode, number> = {
  USAGE: 400,
  PLAN_INVALID: 400,
  BAD_ADDRESS: 400,
  BAD_NAME: 400,
  STALE_EPOCH: 401,
  REFUSED: 403,
  NOT_FOUND: 404,
  UNKNOWN_AGENT: 404,
  UNKNOWN_ROOM: 404,
  UNKNOWN_SESSION: 404,
  UNKNOWN_USER: 404,
  TIMEOUT: 408,
  CONFLICT: 409,
  NAME_TAKEN: 409,
  NEEDS_CONSENT: 409,
  TOO_LARGE: 413,
  UNREACHABLE: 424,
  TMUX_MISSING: 424,
  OVER_QUOTA: 429,
  FAILED: 500,
  LOG_DAMAGED: 500,
  DISK_FULL: 507,
};

/** Fastify's own refusals, such as a body that is too large or of another kind, keep the status they come with. */
interface HttpError {
  statusCode?: number;
  message: string;
}

export interface Problem {
  status: number;
  headers: Record<string, string>;
  /** RFC 9457, with the fields of ErrorBody beside. */
  body: ErrorBody & { type: string; title: string; status: number; detail: string };
}

/** A failed request that is not about its operation. */
export class HttpRefusal extends Error {
  readonly status: number;
  readonly body: ErrorBody;
  readonly headers: Record<string, string>;

  constructor(status: number, body: ErrorBody, headers: Record<string, string> = {}) {
    super(body.what);
    this.status = status;
    this.body = body;
    this.headers = headers;
  }
}

const unauthenticated = new WeakSet<object>();

/** Marks an error as one about the credential: 401, so that clients fetch another one. */
export function notAuthenticated(thrown: unknown): unknown {
  if (thrown instanceof BosunError) unauthenticated.add(thrown);
  return thrown;
}

export function problemOf(thrown: unknown): Problem {
  if (thrown instanceof HttpRefusal) return made(thrown.status, thrown.body, thrown.headers);
  if (thrown instanceof BosunError) {
    return made(unauthenticated.has(thrown) ? 401 : (STATUS[thrown.code] ?? 500), thrown.body);
  }
  const { statusCode, message } = thrown as HttpError;
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return made(statusCode, {
      code: statusCode === 413 ? "TOO_LARGE" : "USAGE",
      what: message,
      fix: statusCode === 415 ? "send JSON and say so: Content-Type: application/json" : "see /openapi.json",
    });
  }
  return made(500, toErrorBody(thrown));
}

function made(status: number, body: ErrorBody, headers: Record<string, string> = {}): Problem {
  return {
    status,
    headers: {
      ...headers,
      ...(status === 401 ? { "www-authenticate": 'Bearer realm="bosun"' } : {}),
      ...(body.retryAfterMs === undefined ? {} : { "retry-after": String(Math.ceil(body.retryAfterMs / 1000)) }),
    },
    body: {
      type: `urn:bosun:${body.code.toLowerCase().replaceAll("_", "-")}`,
      title: body.what,
      status,
      detail: [body.why, body.fix].filter(Boolean).join("; "),
      ...body,
    },
  };
}
