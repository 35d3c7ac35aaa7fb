import type { Interface } from "node:readline";
import { type Connection, openConnection, readToken } from "../client/connection.ts";
import type { OperationInput } from "../client/operations.gen.ts";
import type { Place } from "../client/place.ts";
import { BosunError, toErrorBody } from "../protocol/error.ts";
import type { InboxMessage } from "../protocol/message.ts";
import { sanitise } from "../protocol/text.ts";
import type { Invocation } from "./command.ts";
import { printMail } from "./commands/mail.ts";
import { nearRooms } from "./commands/message.ts";
import { errorLines } from "./print-error.ts";
import { pause } from "./time.ts";

/** A coordinator that is being started again answers well within this; a person waits no longer for an error. */
const RECONNECT_MS = 5_000;
const RETRY_MS = 100;

interface PaneVerb {
  args: string;
  about: string;
  run: (rest: string, pane: CommandPane) => Promise<void>;
}

const VERBS: Record<string, PaneVerb> = {
  ask: {
    args: "AGENT TEXT",
    about: "ask an agent; the nearest of that name is meant",
    async run(rest, pane) {
      const [agent, ...words] = rest.split(/\s+/);
      if (!agent || words.length === 0) throw usage("/ask needs an agent and a text", "/ask deacon status");
      const connection = await pane.connection();
      const answer = await connection.call("ask.send", {
        agent,
        text: words.join(" "),
        ...(pane.near.length > 0 && { near: pane.near }),
      });
      pane.print(`${pane.style(`${answer.agent}:`, "bold")} ${sanitise(answer.answer)}`);
      if (answer.also.length > 0) pane.print(pane.style(`also fits: ${answer.also.join(", ")}`, "dim"));
    },
  },
  say: {
    args: "ROOM TEXT",
    about: "say a line in a room",
    async run(rest, pane) {
      const [room, ...words] = rest.split(/\s+/);
      if (!room || words.length === 0) throw usage("/say needs a room and a text", "/say spx hello");
      await pane.say(room, words.join(" "));
    },
  },
  inbox: {
    args: "",
    about: "your mail",
    async run(_rest, pane) {
      const connection = await pane.connection();
      printMail(pane.invocation, await connection.call("message.inbox", { unread: true }));
    },
  },
  sessions: {
    args: "",
    about: "what runs",
    async run(_rest, pane) {
      const connection = await pane.connection();
      const { sessions } = await connection.call("town.status", {});
      for (const session of sessions)
        pane.print(`${session.state.padEnd(9)} ${session.name}  ${session.agents.join(" ")}`);
    },
  },
  rooms: {
    args: "",
    about: "the rooms, and how many lines each has",
    async run(_rest, pane) {
      const connection = await pane.connection();
      const { rooms } = await connection.call("room.list", {});
      for (const room of rooms)
        pane.print(`${room.room.padEnd(16)} ${String(room.seq).padStart(7)}  ${sanitise(room.about)}`);
    },
  },
  help: {
    args: "",
    about: "this text",
    async run(_rest, pane) {
      for (const [name, verb] of Object.entries(VERBS))
        pane.print(`  ${`/${name} ${verb.args}`.padEnd(20)} ${verb.about}`);
      pane.print(
        `  ${"any other text".padEnd(20)} ${pane.near[0] ? `is said in ${pane.near[0]}` : "is not sent: no room is shown here"}`,
      );
    },
  },
};

/** The command line of a view: questions to agents, words to rooms. It outlives restarts of the coordinator. */
export class CommandPane {
  readonly invocation: Invocation;
  readonly near: string[] = nearRooms();
  #connection: Connection | null = null;
  /** Set while a person types into a terminal. */
  #terminal: Interface | null = null;
  /** Place in the log of the last mail that was told of. */
  #mail: number | null = null;

  constructor(invocation: Invocation) {
    this.invocation = invocation;
  }

  style(text: string, style: "bold" | "dim"): string {
    return this.invocation.out.style(text, style);
  }

  /** Answers come when they come: above what is being typed, which stays as it is. */
  print(text: string): void {
    if (this.#terminal === null) this.invocation.out.line(text);
    else {
      this.invocation.out.write(`\r\x1b[K${text}\n`);
      this.#terminal.prompt(true);
    }
  }

  async connection(): Promise<Connection> {
    if (this.#connection) return this.#connection;
    const place = this.invocation.place();
    const open = place.given ? await this.#reopen(place) : await this.invocation.connect();
    this.#connection = open;
    void open.closed.then(() => {
      if (this.#connection === open) this.#connection = null;
    });
    return open;
  }

  /** Inside a view the coordinator is somebody else's to start: it is waited for. */
  async #reopen(place: Place): Promise<Connection> {
    for (const giveUpAtMs = Date.now() + RECONNECT_MS; ; ) {
      try {
        return await openConnection(place.socket, readToken(place.tokenFile));
      } catch (error) {
        if (toErrorBody(error).code !== "UNREACHABLE" || Date.now() > giveUpAtMs) throw error;
        await pause(RETRY_MS);
      }
    }
  }

  /** Tells of mail as it comes, one line each, for as long as somebody types here; across restarts of the coordinator. */
  async #followMail(): Promise<void> {
    while (this.#terminal !== null) {
      try {
        const connection = await this.connection();
        const behind: OperationInput<"message.watch"> = this.#mail === null ? {} : { after: this.#mail };
        const stream = await connection.stream("message.watch", behind, (event) => {
          const { message } = event as { message: InboxMessage };
          this.#mail = message.seq;
          this.print(`${message.signal}  ${this.style(message.id, "dim")}`);
        });
        this.#mail ??= stream.ok.seq;
        await stream.ended;
      } catch (error) {
        // A credential that does not count any more will not count again.
        if (!["UNREACHABLE", "TIMEOUT"].includes(toErrorBody(error).code)) return;
      }
      await pause(RECONNECT_MS);
    }
  }

  async say(room: string, text: string): Promise<void> {
    const connection = await this.connection();
    const said = await connection.call("room.post", { room, msg: text });
    this.print(this.style(said.id, "dim"));
  }

  /** One typed line. An error is printed, never thrown: the pane stays. */
  async take(line: string): Promise<void> {
    try {
      const found = /^\/(\S*)\s*(.*)$/s.exec(line);
      if (!found) {
        const [room] = this.near;
        if (!room) throw usage("no room is shown here", "/say ROOM TEXT");
        await this.say(room, line);
        return;
      }
      const verb = VERBS[found[1]!];
      if (!verb) throw usage(`there is no command /${found[1]}`, "/help");
      await verb.run(found[2]!, this);
    } catch (error) {
      for (const text of errorLines(toErrorBody(error), this.invocation.out.style.bind(this.invocation.out)))
        this.print(text);
    }
  }

  /** Reads until the end of input or `/quit`. */
  async run(): Promise<number> {
    const { out } = this.invocation;
    const { createInterface } = process.getBuiltinModule("node:readline");
    const terminal = createInterface({
      input: process.stdin,
      output: process.stdout,
      prompt: "> ",
      terminal: out.stdoutIsTerminal,
      historySize: 500,
    });
    if (out.stdoutIsTerminal) {
      this.print(this.style("/ask AGENT TEXT · /say ROOM TEXT · /help", "dim"));
      this.#terminal = terminal;
      void this.#followMail();
    }
    terminal.prompt();
    terminal.on("SIGINT", () => {
      out.write("\n");
      terminal.prompt();
    });
    // Every line is begun in order; an agent that takes its time holds up nobody's next words.
    const open = new Set<Promise<void>>();
    let quit = false;
    for await (const typed of terminal) {
      const line = typed.trim();
      quit = line === "/quit" || line === "/exit";
      if (quit) break;
      if (line !== "") {
        const taken = this.take(line).finally(() => open.delete(taken));
        open.add(taken);
        if (!line.startsWith("/ask ")) await taken;
      }
      terminal.prompt();
    }
    // Typed at the end of a script: its answers are still wanted. After /quit nothing is.
    if (!quit) await Promise.all(open);
    this.#terminal = null;
    terminal.close();
    this.#connection?.close();
    return 0;
  }
}

function usage(what: string, fix: string): BosunError {
  return new BosunError({ code: "USAGE", what, fix });
}
