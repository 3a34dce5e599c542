/** Against a real stack, which ORCHESTRATOR_URL and ORCHESTRATOR_API_KEY name. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { JobUnsuccessfulError, OrchestratorClient, ProblemError, triggerIngestionJob } from "../../dist/index.js";

const client = OrchestratorClient.fromEnv();

test("a job from enqueue to result, with its events", async () => {
  const accepted = await client.enqueue("diagnostic-echo", { steps: 5, sleep_ms: 300 }, { tags: ["typescript"] });
  assert.deepEqual(await client.getResult(accepted.id), { steps: 5, total: 15 });
  const kinds = [];
  for await (const event of client.streamEvents(accepted.id)) kinds.push(event.kind);
  assert.equal(kinds[0], "job.created");
  assert.equal(kinds.at(-1), "job.completed");
  assert.equal(kinds.filter((kind) => kind === "step.completed").length, 5);
  assert.equal((await client.getSteps(accepted.id)).length, 6);
  const exported = await new Response(await client.exportJob(accepted.id)).json();
  assert.equal(exported.job.job_id, accepted.id);
});

test("one key is one job", async () => {
  const first = await client.enqueue("diagnostic-echo", {}, { idempotency_key: "typescript" });
  const second = await client.enqueue("diagnostic-echo", {}, { idempotency_key: "typescript" });
  assert.deepEqual([second.id, second.deduplicated], [first.id, true]);
});

test("failures and refusals are errors with codes", async () => {
  const { id } = await client.enqueue("diagnostic-echo", { steps: 2, fail_at: 1 });
  await assert.rejects(client.getResult(id, { via: "polling" }), (error) => {
    assert.ok(error instanceof JobUnsuccessfulError);
    return error.job.error.code === "diagnostic_failure";
  });
  await assert.rejects(client.getJob("run_00000000000000000000000000"), (error) => {
    assert.ok(error instanceof ProblemError);
    return error.code === "unknown_job";
  });
});

test("the plan's function starts a job here", async () => {
  const { id } = await triggerIngestionJob({ jobId: "cnothing00000000000000000", organizationId: "o" }, "pro");
  const job = await client.waitForJob(id, { timeoutMs: 30_000 });
  assert.deepEqual([job.workflow, job.status], ["trigger-ingestion-job", "failed"]);
});

test("lanes and workflows", async () => {
  assert.ok((await client.lanes()).some((lane) => lane.name === "diagnostic"));
  assert.ok((await client.workflows()).some((workflow) => workflow.name === "diagnostic-echo"));
});
