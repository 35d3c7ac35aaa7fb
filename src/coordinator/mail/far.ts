/** Somebody in another town of this machine. */
export interface Far {
  town: string;
  /** As that town reads it: `mayor`, `gastown/crew/max`, `@witnesses`. */
  address: string;
}

/** How they stand in the log: no agent, person or session of this town has such an id, whatever its plan says later. */
export function farId({ town, address }: Far): string {
  return `//${town}/${address}`;
}

/** Null: somebody here. */
export function farOf(id: string): Far | null {
  const [, town, address] = /^\/\/([^/]+)\/([^/].*)$/.exec(id) ?? [];
  return town === undefined ? null : { town, address: address! };
}

/** As people see and write it: `gt12/mayor`. */
export function shownId(id: string): string {
  return farOf(id) ? id.slice(2) : id;
}

/** The other way round, for what is nobody here. */
export function storedId(shown: string): string {
  return shown.includes("/") && !shown.startsWith("//") ? `//${shown}` : shown;
}
