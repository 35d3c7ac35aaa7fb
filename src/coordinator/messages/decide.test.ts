import fc from "fast-check";
import { expect, test } from "vitest";
import { cutTo, inPriorityOrder, inTimeOrder, replySubject } from "./decide.ts";

/** Waiting mail: a rank for each place, oldest first. */
const mailOf = (ranks: readonly number[]) =>
  [0, 1, 2, 3].map((rank) => ranks.flatMap((each, index) => (each === rank ? [{ position: index + 1 }] : [])));

test("S4-83, O4-13: critical, important, normal, low; each in the order it came", () => {
  const order = inPriorityOrder(mailOf([3, 2, 1, 0, 0, 1, 2, 3]), 0, 100);
  expect(order.map((each) => each.position)).toEqual([4, 5, 3, 6, 2, 7, 1, 8]);
});

test("S4-83: every eleventh place is the oldest's, however small the portions", () => {
  const ranks = [3, 2, ...Array.from({ length: 40 }, () => 0)];
  const whole = inPriorityOrder(mailOf(ranks), 0, 24).map((each) => each.position);
  expect([whole.indexOf(1), whole.indexOf(2)]).toEqual([10, 21]);

  const left = [...ranks.keys()];
  const oneByOne: number[] = [];
  for (let handed = 0; handed < 24; handed++) {
    const streams = [0, 1, 2, 3].map((rank) =>
      left.filter((index) => ranks[index] === rank).map((index) => ({ position: index + 1 })),
    );
    const [next] = inPriorityOrder(streams, handed, 1);
    oneByOne.push(next!.position);
    left.splice(left.indexOf(next!.position - 1), 1);
  }
  expect(oneByOne).toEqual(whole);
});

const waiting = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 80 });

test("S4-83: nothing is lost or doubled, order is kept inside a priority, and nothing waits longer than eleven places per older one", () => {
  fc.assert(
    fc.property(waiting, fc.nat(1000), (ranks, handed) => {
      const order = inPriorityOrder(mailOf(ranks), handed, ranks.length + 5).map((each) => each.position);
      expect([...order].sort((a, b) => a - b)).toEqual(ranks.map((_, index) => index + 1));
      for (const rank of [0, 1, 2, 3]) {
        const mine = order.filter((position) => ranks[position - 1] === rank);
        expect(mine).toEqual([...mine].sort((a, b) => a - b));
      }
      // The k-th oldest message has been given after 11 k places at the latest.
      for (const [place, position] of order.entries()) expect(place).toBeLessThan(11 * position);
    }),
  );
});

test("time order does not look at priorities", () => {
  fc.assert(
    fc.property(waiting, fc.nat(100), (ranks, limit) => {
      const order = inTimeOrder(mailOf(ranks), limit).map((each) => each.position);
      expect(order).toEqual(ranks.map((_, index) => index + 1).slice(0, limit));
    }),
  );
});

test("a reply's subject says Re: once and stays within bounds", () => {
  expect([replySubject("Review"), replySubject("Re: Re: Review"), replySubject("re:Review")]).toEqual([
    "Re: Review",
    "Re: Review",
    "Re: Review",
  ]);
  expect(replySubject("x".repeat(600))).toHaveLength(512);
});

test("a cut text has no half character at its end", () => {
  expect([cutTo("abc", 3), cutTo("abc", 2), cutTo("a😀b", 2), cutTo("a😀b", 3), cutTo("a", 0)]).toEqual([
    "abc",
    "ab",
    "a",
    "a😀",
    "",
  ]);
});
