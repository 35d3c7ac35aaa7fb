import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";
import type { Gauges } from "../figures.ts";
import { type DoorName, DURATION_BUCKETS_S, type Traffic } from "./traffic.ts";

const DOORS: readonly DoorName[] = ["wire", "http", "websocket", "mcp"];

/** What can be scraped: the process by the usual names, the town and its requests under `bosun_`. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #town: string;
  readonly #gauges: () => Promise<Gauges>;
  readonly #traffic: Traffic;
  readonly #show: ((gauges: Gauges) => void)[] = [];
  readonly #requests: Counter<"door" | "operation" | "outcome">;
  readonly #streams: Gauge<"door">;

  /** `town` is a name of letters, digits and `_.-`. */
  constructor(town: string, gauges: () => Promise<Gauges>, traffic: Traffic) {
    this.#town = town;
    this.#gauges = gauges;
    this.#traffic = traffic;
    this.#registry.setDefaultLabels({ town });
    collectDefaultMetrics({ register: this.#registry });
    this.#labelled("bosun_agents", "Registered agents", "status", (all) => all.agents);
    this.#labelled("bosun_messages_total", "Messages sent", "type", (all) => all.messages);
    this.#labelled("bosun_deliveries", "Messages on their way, one per recipient", "state", (all) => all.deliveries);
    this.#labelled("bosun_memory_values", "Keys with a value now", "type", (all) => all.memory);
    this.#labelled("bosun_tmux_sessions", "Declared tmux sessions", "state", (all) => all.sessions);
    this.#single("bosun_unread_messages", "Deliveries whose body was not handed over", (all) => all.unread);
    this.#single("bosun_dead_letters", "Mail that reached nobody", (all) => all.dead);
    this.#single("bosun_open_requests", "Requests nobody has answered", (all) => all.openRequests);
    this.#single("bosun_log_head", "Number of the newest entry of the log", (all) => all.logHead);
    this.#single("bosun_log_bytes", "Size of the log with its views", (all) => all.logBytes);
    this.#single("bosun_stalls", "Times the coordinator stood still for 500 ms or more", (all) => all.stalls.count);
    this.#single("bosun_longest_stall_ms", "The longest of them", (all) => all.stalls.longestMs);
    const registers = [this.#registry];
    this.#streams = new Gauge({ name: "bosun_open_streams", help: "Open streams", labelNames: ["door"], registers });
    this.#requests = new Counter({
      name: "bosun_requests_total",
      help: "Requests answered",
      labelNames: ["door", "operation", "outcome"],
      registers,
    });
  }

  /** In the text format of Prometheus 0.0.4. */
  async text(): Promise<string> {
    const gauges = await this.#gauges();
    for (const show of this.#show) show(gauges);
    for (const door of DOORS) this.#streams.set({ door }, this.#traffic.streams(door));
    this.#requests.reset();
    for (const { door, op, outcomes } of this.#traffic.tallies()) {
      for (const [outcome, count] of outcomes) this.#requests.inc({ door, operation: op, outcome }, count);
    }
    return `${await this.#registry.metrics()}\n${this.#durations()}`;
  }

  #labelled(name: string, help: string, label: string, of: (gauges: Gauges) => Record<string, number>): void {
    const gauge = new Gauge({ name, help, labelNames: [label], registers: [this.#registry] });
    this.#show.push((gauges) => {
      gauge.reset();
      for (const [value, count] of Object.entries(of(gauges))) gauge.set({ [label]: value }, count);
    });
  }

  #single(name: string, help: string, of: (gauges: Gauges) => number): void {
    const gauge = new Gauge({ name, help, registers: [this.#registry] });
    this.#show.push((gauges) => gauge.set(of(gauges)));
  }

  /** The histogram is counted by `Traffic`, without prom-client: it is loaded later than requests come. */
  #durations(): string {
    const name = "bosun_request_seconds";
    const lines = [`# HELP ${name} Time from a request to its answer`, `# TYPE ${name} histogram`];
    for (const { door, op, count, seconds, buckets } of this.#traffic.tallies()) {
      const labels = `door="${door}",operation="${op}",town="${this.#town}"`;
      let sum = 0;
      DURATION_BUCKETS_S.forEach((bound, index) => {
        sum += buckets[index]!;
        lines.push(`${name}_bucket{le="${bound}",${labels}} ${sum}`);
      });
      lines.push(`${name}_bucket{le="+Inf",${labels}} ${count}`);
      lines.push(`${name}_sum{${labels}} ${seconds}`, `${name}_count{${labels}} ${count}`);
    }
    return `${lines.join("\n")}\n`;
  }
}
