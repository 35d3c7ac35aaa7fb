/**
 * `text` (TOML) with the table `[section.name]` holding `fields`; everything else keeps its bytes. Null when the section is
 * written in another way (inline, dotted), which a table behind it would contradict.
 */
export function withTable(text: string, section: string, name: string, fields: Record<string, unknown>): string | null {
  const header = `[${section}.${name}]`;
  const lines = Object.entries(fields).map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
  const table = `${[header, ...lines].join("\n")}\n`;
  const found = tableAt(text, section, name);
  if (found) {
    const own = text.slice(found.start, found.end);
    const tail = /\n\s*$/.exec(own)?.[0].slice(1) ?? "";
    return text.slice(0, found.start) + table + tail + text.slice(found.end);
  }
  if (new RegExp(`^\\s*${section}(\\s*=|\\s*\\.\\s*"?${name}"?\\s*[.=])`, "m").test(text)) return null;
  if (text.trim() === "") return table;
  return `${text}${text.endsWith("\n") ? "" : "\n"}\n${table}`;
}

/** `text` without the table; itself when there is none. */
export function withoutTable(text: string, section: string, name: string): string {
  const found = tableAt(text, section, name);
  return found ? text.slice(0, found.start).replace(/\n\n$/, "\n") + text.slice(found.end) : text;
}

/** From the header to the next table that is not below it. */
function tableAt(text: string, section: string, name: string): { start: number; end: number } | null {
  const header = new RegExp(`^[ \\t]*\\[\\s*${section}\\s*\\.\\s*"?${name}"?\\s*(\\]|\\.)`);
  let start = -1;
  let at = 0;
  for (const line of text.split(/(?<=\n)/)) {
    const ours = header.test(line);
    if (start === -1 && ours) start = at;
    else if (start !== -1 && !ours && /^[ \t]*\[/.test(line)) return { start, end: at };
    at += line.length;
  }
  return start === -1 ? null : { start, end: text.length };
}
