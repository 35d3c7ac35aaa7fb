import type { IncomingMessage } from "node:http";
import { BosunError, type ErrorBody } from "../../protocol/error.ts";
import type { Introduction } from "../credentials.ts";
import type { Actor } from "../dispatch.ts";
import type { House } from "./house.ts";
import { HttpRefusal, notAuthenticated } from "./problem.ts";

/** What callers on TCP must show. On the Unix socket there are no rules: only its owner can open it. */
export interface Rules {
  /** Names a `Host` header may have, without the port. A page of another name that was pointed at us (DNS rebinding) has its own. */
  hosts: ReadonlySet<string>;
  /** Pages that may call. */
  origins: ReadonlySet<string>;
}

/** Words in an address that would carry a secret into logs and histories. */
const SECRETS = ["token", "access_token", "authorization"];

/**
 * Refuses a request before anybody looks at what it wants: another host's name, a page that is not on the list, a secret in
 * the address. Throws HttpRefusal.
 */
export function checkDoor(request: IncomingMessage, rules: Rules | null): void {
  const secret = SECRETS.find((word) => queryOf(request).has(word));
  if (secret !== undefined) {
    throw new HttpRefusal(400, {
      code: "USAGE",
      what: `"${secret}" stands in the address`,
      why: "addresses end up in logs and histories; a token must not",
      fix: "send it as a header: Authorization: Bearer …",
    });
  }
  if (!rules) return;
  const host = hostName(request.headers.host);
  if (host === null || !rules.hosts.has(host)) {
    throw new HttpRefusal(403, {
      code: "REFUSED",
      what: "this coordinator does not answer to that host name",
      why: "a page of a stranger could reach it under another name",
      fix: "use the address that `bosun serve` printed",
    });
  }
  const { origin } = request.headers;
  if (origin !== undefined && !rules.origins.has(origin)) {
    throw new HttpRefusal(403, {
      code: "REFUSED",
      what: "pages of this origin may not call",
      why: "the list of pages that may is empty unless somebody fills it",
      fix: "bosun serve --origin ORIGIN",
    });
  }
}

/**
 * Who sent this request. Throws REFUSED and STALE_EPOCH as `House.identify` does; what is about the credential itself, also a
 * missing one where it is needed, is `unauthenticated`: 401 and not 403.
 */
export function whoSent(house: House, request: IncomingMessage, rules: Rules | null): Actor {
  return whoIs(house, { token: bearer(request), as: headerOf(request, "bosun-as") }, rules);
}

/** As `whoSent`, for an introduction that came another way. */
export function whoIs(house: House, introduction: Introduction, rules: Rules | null): Actor {
  const { token, as } = introduction;
  try {
    if (token === undefined && rules) throw new BosunError(NEEDS_TOKEN);
    const actor = house.identify({ token });
    if (as === undefined) return actor;
  } catch (thrown) {
    throw notAuthenticated(thrown);
  }
  return house.identify(introduction);
}

const NEEDS_TOKEN: ErrorBody = {
  code: "REFUSED",
  what: "on TCP every request needs a token",
  why: "anybody on this machine can open the port",
  fix: 'curl -H "Authorization: Bearer $(cat TOKENFILE)" …   `bosun serve` tells the file',
};

/** The token of the `Authorization` header. Throws 401 when the header is of another kind. */
export function bearer(request: IncomingMessage): string | undefined {
  const { authorization } = request.headers;
  if (authorization === undefined) return undefined;
  const token = /^Bearer +([\x21-\x7e]+) *$/i.exec(authorization)?.[1];
  if (token !== undefined) return token;
  throw notAuthenticated(
    new BosunError({
      code: "REFUSED",
      what: "the Authorization header is not a bearer token",
      fix: "Authorization: Bearer …",
    }),
  );
}

export function queryOf(request: IncomingMessage): URLSearchParams {
  const at = request.url!.indexOf("?");
  return new URLSearchParams(at < 0 ? "" : request.url!.slice(at + 1));
}

export function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** `localhost:4000` → `localhost`, `[::1]:4000` → `[::1]`; null for no header or none of that form. */
function hostName(header: string | undefined): string | null {
  return /^(\[[0-9a-f:]+\]|[^:/@\s]+)(?::\d{1,5})?$/i.exec(header ?? "")?.[1]?.toLowerCase() ?? null;
}
