import { afterEach, expect, test } from "vitest";
import { TownUnderTest, until } from "./town-under-test.ts";

let town: TownUnderTest;
afterEach(() => town.close());

const PLAN = `version: 1
names: floor
rooms:
  spx: { about: The index }
sessions:
  agents-spx:
    about: Agents of SPX
    headless: true
    room: spx
    windows:
      - name: agents
        panes:
          - { agent: { id: deacon-spx, type: narrator }, run: 'i=0; while :; do i=$((i+1)); bosun say spx "tick $i"; sleep 0.2; done' }
users:
  steve:
    view:
      - { name: main, panes: [ { feed: spx }, command ] }
`;

test("S0-52: from plan to up, an agent says, a view shows, down", async () => {
  town = new TownUnderTest(PLAN);
  await town.ok("up");
  expect(town.sessions()).toEqual(["agents-spx", "moo-steve"]);
  await until(() => /tick \d+/.test(town.capture("=moo-steve:main.{top-left}")), "a line in the view");
  const again = await town.json("up");
  expect(again).toMatchObject({ created: [], unchanged: 2 });
  await town.ok("down");
  expect(() => town.sessions()).toThrow();
});
