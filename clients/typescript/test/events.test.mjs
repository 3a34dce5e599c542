import assert from "node:assert/strict";
import { test } from "node:test";

import { JobUnsuccessfulError, NoAnswerError, OrchestratorClient, WaitTimeoutError } from "../dist/index.js";
import { SseParser } from "../dist/events.js";
import { json, script, stream } from "./support.mjs";

const KINDS = ["job.created", "job.started", "step.completed", "job.completed"];
const event = (id) => ({ id, at: "2026-11-26T12:00:00.000Z", kind: KINDS[id - 1], key: null, data: { text: "zwei\nZeilen ✓" } });
const text = (id) => `id: ${id}\nevent: ${KINDS[id - 1]}\ndata: ${JSON.stringify(event(id))}\n\n`;
const BYTES = new TextEncoder().encode(`retry: 1000\n\n${text(1)}: still here\n\n${text(2)}${text(3)}${text(4)}`);
const job = (status, members = {}) => json({ id: "run_1", status, result: null, error: null, ...members });

function client(scripted) {
  return new OrchestratorClient({ url: "http://o", apiKey: "k" }, { surroundings: scripted.around });
}

async function all(items) {
  const found = [];
  for await (const item of items) found.push(item);
  return found;
}

for (const size of [1, 7, 64, 10_000]) {
  test(`events are read in parts of ${size} bytes`, () => {
    const parser = new SseParser();
    const found = [];
    for (let at = 0; at < BYTES.length; at += size) found.push(...parser.feed(BYTES.subarray(at, at + size)));
    assert.deepEqual(found.map((data) => JSON.parse(data)), [1, 2, 3, 4].map(event));
  });
}

test("a stream cut anywhere goes on after the last event that arrived", async () => {
  for (let cut = 0; cut < BYTES.length; cut += 37) {
    for (const broken of [true, false]) {
      const arrived = new SseParser().feed(BYTES.subarray(0, cut)).length;
      const rest = [1, 2, 3, 4].slice(arrived).map(text);
      const between = broken ? [] : [job("running")];
      const scripted = script(stream([BYTES.subarray(0, cut)], broken), ...between, stream(rest));
      const found = await all(client(scripted).streamEvents("run_1"));
      assert.deepEqual(found.map((item) => item.id), [1, 2, 3, 4], `cut at ${cut}`);
      const streams = scripted.requests.filter((request) => request.headers.has("last-event-id"));
      assert.deepEqual(streams.map((request) => request.headers.get("last-event-id")), ["0", String(arrived)]);
    }
  }
});

test("an end that has no event is found in the job's status", async () => {
  const scripted = script(stream([text(1)]), job("completed"), json({ events: [event(4)] }));
  assert.deepEqual((await all(client(scripted).streamEvents("run_1"))).map((item) => item.id), [1, 4]);
});

test("a stream that never tells anything is given up", async () => {
  const scripted = script(...Array.from({ length: 6 }, () => stream([], true)));
  await assert.rejects(all(client(scripted).streamEvents("run_1")), NoAnswerError);
});

test("waiting follows the stream and returns the result", async () => {
  const scripted = script(job("running"), stream([BYTES]), job("completed", { result: [1] }));
  assert.deepEqual(await client(scripted).getResult("run_1"), [1]);
  assert.deepEqual(scripted.sleeps, []);
});

test("waiting by polling slows down", async () => {
  const scripted = script(...Array.from({ length: 12 }, () => job("running")), job("completed", { result: 7 }));
  assert.equal(await client(scripted).getResult("run_1", { via: "polling" }), 7);
  assert.deepEqual(scripted.sleeps, [...scripted.sleeps].sort((a, b) => a - b));
  assert.equal(scripted.sleeps.at(-1), 2_000);
});

test("a wait ends in time, and the job is told of", async () => {
  const scripted = script(...Array.from({ length: 100 }, () => job("running")));
  await assert.rejects(client(scripted).waitForJob("run_1", { timeoutMs: 10_000 }), (error) => {
    assert.ok(error instanceof WaitTimeoutError);
    return error.job.status === "running";
  });
  assert.ok(Math.abs(scripted.sleeps.reduce((sum, ms) => sum + ms, 0) - 10_000) < 1);
});

test("a job without success has no result", async () => {
  const error = { code: "broken", message: "it broke", step: null, attempt: null, cause: null };
  await assert.rejects(client(script(job("failed", { error }))).getResult("run_1"), (thrown) => {
    assert.ok(thrown instanceof JobUnsuccessfulError);
    return /failed: broken: it broke/.test(thrown.message);
  });
});

test("pages are followed to their end", async () => {
  const page = (ids, next_cursor) => json({ jobs: ids.map((id) => ({ id })), next_cursor, incomplete: [] });
  const scripted = script(page(["a", "b"], "c1"), page(["c"], null));
  assert.deepEqual((await all(client(scripted).searchJobs({ tag: "t" }))).map((item) => item.id), ["a", "b", "c"]);
  assert.deepEqual(
    scripted.requests.map((request) => new URL(request.url).search),
    ["?tag=t&limit=200", "?tag=t&limit=200&cursor=c1"],
  );
});
