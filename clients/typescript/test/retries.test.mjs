import assert from "node:assert/strict";
import { test } from "node:test";

import { ConfigurationError, NoAnswerError, OrchestratorClient, ProblemError } from "../dist/index.js";
import { retryAfterMs } from "../dist/retries.js";
import { json, lost, problem, script } from "./support.mjs";

const TARGET = { url: "http://o", apiKey: "k" };
const ACCEPTED = { id: "run_1", status: "queued", deduplicated: false };
const RUNNING = { id: "run_1", status: "running" };

function client(scripted, options = {}) {
  return new OrchestratorClient(TARGET, { surroundings: scripted.around, ...options });
}

for (const [name, reply] of [
  ["a connection that broke", () => lost()],
  ["a connection that was refused", () => lost("ECONNREFUSED")],
  ["503", () => problem(503, "object_overloaded", { "retry-after": "2" })],
  ["429", () => problem(429, "rate_limited", { "retry-after": "7" })],
  ["500", () => problem(500, "internal")],
  ["a gateway's 502", () => new Response("<html>", { status: 502 })],
]) {
  test(`a job is asked for again with the same key after ${name}`, async () => {
    const scripted = script(reply(), reply(), json(ACCEPTED, 202));
    assert.equal((await client(scripted).enqueue("diagnostic-echo", { steps: 1 })).id, "run_1");
    assert.equal(scripted.requests.length, 3);
    for (const request of scripted.requests) {
      assert.deepEqual(request.body.options, { idempotency_key: "key-1" });
      assert.equal(request.headers.get("authorization"), "Bearer k");
    }
  });
}

test("every job of a batch gets a key of its own, and callers' keys stay", async () => {
  const scripted = script(lost(), json({ accepted: 2, rejected: 0, results: [] }, 202));
  await client(scripted).enqueueMany([{ workflow: "a" }, { workflow: "b", options: { idempotency_key: "mine" } }]);
  assert.deepEqual(scripted.requests[0].body, scripted.requests[1].body);
  assert.deepEqual(
    scripted.requests[0].body.items.map((item) => item.options.idempotency_key),
    ["key-1:0", "mine"],
  );
});

for (const [status, code] of [[401, "unauthorized"], [409, "conflict"], [422, "invalid_payload"], [503, "no_api_key_configured"]]) {
  test(`${code} is not tried again`, async () => {
    const scripted = script(problem(status, code));
    await assert.rejects(client(scripted).enqueue("a"), (error) => {
      assert.ok(error instanceof ProblemError);
      assert.deepEqual([error.status, error.code, error.message], [status, code, "what happened"]);
      return true;
    });
    assert.equal(scripted.requests.length, 1);
  });
}

test("what was not begun is tried again whatever it is", async () => {
  const scripted = script(lost("ECONNREFUSED"), problem(503, "object_unreachable"), json(RUNNING, 202));
  assert.equal((await client(scripted).retry("run_1")).status, "running");
});

test("a retry of a job is not asked for twice when it may have begun", async () => {
  await assert.rejects(client(script(lost())).retry("run_1"), (error) => error instanceof NoAnswerError && error.maybeDone);
  await assert.rejects(client(script(problem(500, "internal"))).resume("run_1"), ProblemError);
});

test("waits double and are at least what the server asks for", async () => {
  const retries = { maxAttempts: 6, initialMs: 1_000, maxMs: 3_000, maxAskedMs: 60_000 };
  const scripted = script(lost(), lost(), lost(), problem(429, "x", { "retry-after": "7" }), json(ACCEPTED, 202));
  await client(scripted, { retries }).enqueue("a");
  assert.deepEqual(scripted.sleeps, [750, 1_500, 2_250, 7_000]);
});

test("a wait that is too long, and too many attempts, end in the last refusal", async () => {
  const long = script(problem(429, "rate_limited", { "retry-after": "3600" }));
  await assert.rejects(client(long).enqueue("a"), ProblemError);
  const many = script(...Array.from({ length: 6 }, () => lost("ECONNREFUSED")));
  await assert.rejects(client(many).enqueue("a"), (error) => error instanceof NoAnswerError && !error.maybeDone);
  assert.equal(many.requests.length, 6);
});

test("a server that does not answer in time is asked again", async () => {
  const scripted = script(json(ACCEPTED, 202));
  const { fetch } = scripted.around;
  let calls = 0;
  scripted.around.fetch = (request) => {
    calls += 1;
    if (calls > 1) return fetch(request);
    return new Promise((_, reject) => request.signal.addEventListener("abort", () => reject(request.signal.reason)));
  };
  assert.equal((await client(scripted, { timeoutMs: 5 }).enqueue("a")).id, "run_1");
});

test("what is no id leads nowhere else", async () => {
  for (const id of ["", ".", ".."]) await assert.rejects(client(script()).getJob(id), ConfigurationError);
  const scripted = script(json({ id: "a" }));
  await client(scripted).getJob("a/b?c#d");
  assert.equal(scripted.requests[0].url, "http://o/v1/jobs/a%2Fb%3Fc%23d");
});

test("calls to be debounced are not kept apart by a key of ours", async () => {
  const scripted = script(json(ACCEPTED, 202));
  await client(scripted).enqueue("a", {}, { debounce: 5 });
  assert.deepEqual(scripted.requests[0].body.options, { debounce: 5 });
});

test("an abort ends everything at once", async () => {
  const gone = new AbortController();
  gone.abort(new Error("enough"));
  await assert.rejects(client(script(lost())).getJob("run_1", gone.signal), /enough/);
});

test("Retry-After is seconds or a date", () => {
  const noon = "Wed, 25 Nov 2026 12:00:00 GMT";
  const later = "Wed, 25 Nov 2026 12:00:30 GMT";
  for (const [headers, ms] of [
    [{ "retry-after": "5" }, 5_000],
    [{ "retry-after": later, date: noon }, 30_000],
    [{ "retry-after": noon, date: later }, 0],
    [{ "retry-after": noon }, undefined],
    [{ "retry-after": "soon" }, undefined],
    [{}, undefined],
  ]) {
    assert.equal(retryAfterMs(new Headers(headers)), ms);
  }
});
