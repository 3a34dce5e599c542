import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import * as client from "../dist/index.js";
import { json, lost, script } from "./support.mjs";

const { STUB_URL, STUB_KEY } = process.env;
const DEV = { url: STUB_URL, apiKey: STUB_KEY, backend: "trigger.dev" };
const HERE = { url: "http://o", apiKey: "k", backend: "orchestrator" };
const QUICK = { maxAttempts: 6, initialMs: 1, maxMs: 2, maxAskedMs: 60_000 };

/** Function, arguments, task, tags and priority at Trigger.dev, and the route here. */
const CASES = [
  ["triggerIngestionJob", [{ jobId: "j", organizationId: "o" }, "pro"], "trigger-ingestion-job", "job_j", 86_400, "ingest"],
  ["triggerIngestionJob", [{ jobId: "j" }, "free"], "trigger-ingestion-job", "job_j", 57_600, "ingest"],
  ["triggerIngestionJob", [{ jobId: "j" }, "enterprise"], "trigger-ingestion-job", "job_j", null, "ingest"],
  ["triggerIngestionJob", [{ jobId: "j" }, undefined], "trigger-ingestion-job", "job_j", 57_600, "ingest"],
  ["triggerReIngestJob", [{ jobId: "j" }, "pro"], "re-ingest-job", "job_j", 86_400, "re-ingest"],
  ["triggerDeleteDocumentJob", [{ documentId: "d", updateCounters: true }], "delete-document-job", "doc_d", null, "delete-document"],
  ["triggerDeleteIngestJob", [{ jobId: "j" }], "delete-ingest-job", "job_j", null, "delete-ingest-job"],
  ["triggerDeleteNamespaceJob", [{ namespaceId: "n" }], "delete-namespace-job", "ns_n", null, "delete-namespace"],
  ["triggerDeleteOrganizationJob", [{ organizationId: "o" }], "delete-organization-job", "org_o", null, "delete-organization"],
  ["triggerMeterOrgDocumentsJob", [{ organizationId: "o" }], "meter-org-documents-job", "org_o", null, "meter-org-documents"],
];

async function seen() {
  return (await fetch(STUB_URL)).json();
}

async function reset(...faults) {
  await fetch(STUB_URL, { method: "PUT", body: JSON.stringify(faults) });
}

beforeEach(() => reset());

for (const [name, args, task, tag, priority, route] of CASES) {
  test(`${name}(${JSON.stringify(args[1] ?? null)}) at Trigger.dev`, async () => {
    const { id } = await client[name](...args, { target: DEV, retries: QUICK });
    const { calls } = await seen();
    assert.deepEqual(calls.map((call) => [call.id, call.task, call.payload]), [[id, task, args[0]]]);
    assert.deepEqual([calls[0].options.tags, calls[0].options.priority], [[tag], priority]);
    assert.ok(calls[0].options.idempotencyKey);
  });

  test(`${name}(${JSON.stringify(args[1] ?? null)}) here`, async () => {
    const scripted = script(lost(), json({ id: "run_1" }, 202));
    const options = { target: HERE, retries: QUICK, surroundings: scripted.around };
    assert.deepEqual(await client[name](...args, options), { id: "run_1" });
    for (const request of scripted.requests) {
      assert.deepEqual([request.url, request.headers.get("idempotency-key")], [`http://o/trigger/${route}`, "key-1"]);
      assert.deepEqual(request.body, args[1] === undefined ? { body: args[0] } : { body: args[0], plan: args[1] });
    }
  });
}

test("whose a job is", async () => {
  const scripted = script(json({ id: "run_1" }, 202), json({ id: "run_1", ids: ["run_1"] }, 202));
  const options = { target: HERE, retries: QUICK, surroundings: scripted.around, tenant: "acme" };
  await client.triggerDeleteNamespaceJob({ namespaceId: "n" }, options);
  await client.triggerMeterOrgDocumentsJobs([{ organizationId: "o" }], options);
  assert.deepEqual(
    scripted.requests.map((request) => request.body),
    [{ body: { namespaceId: "n" }, tenant: "acme" }, { items: [{ body: { organizationId: "o" }, tenant: "acme" }] }],
  );
});

for (const fault of [{ kind: "lost" }, { kind: "refused", status: 503 }, { kind: "refused", status: 429, retry_after: "0" }]) {
  test(`one run only after ${JSON.stringify(fault)}`, async () => {
    await reset(fault, fault);
    const { id } = await client.triggerDeleteNamespaceJob({ namespaceId: "n" }, { target: DEV, retries: QUICK });
    const { calls, requests } = await seen();
    assert.deepEqual([calls.map((call) => call.id), requests], [[id], 3]);
  });
}

test("a batch returns every id in order, there and here", async () => {
  await reset({ kind: "lost" });
  const bodies = [{ organizationId: "a" }, { organizationId: "b" }];
  const there = await client.triggerMeterOrgDocumentsJobs(bodies, { target: DEV, retries: QUICK });
  const { calls } = await seen();
  assert.deepEqual(calls.map((call) => [call.id, call.payload]), there.ids.map((id, index) => [id, bodies[index]]));
  const scripted = script(json({ id: "run_1", ids: ["run_1", "run_2"] }, 202));
  const here = await client.triggerMeterOrgDocumentsJobs(bodies, { target: HERE, surroundings: scripted.around });
  assert.deepEqual(here, { id: "run_1", ids: ["run_1", "run_2"] });
  assert.deepEqual(scripted.requests[0].body, { items: bodies });
  await assert.rejects(client.triggerMeterOrgDocumentsJobs([], { target: DEV }), client.ConfigurationError);
});

test("the environment is read at each call", async () => {
  const saved = { ...process.env };
  try {
    Object.assign(process.env, { USE_CLOUDFLARE_QUEUES: "false", TRIGGER_SECRET_KEY: STUB_KEY, TRIGGER_API_URL: STUB_URL });
    const { id } = await client.triggerReIngestJob({ jobId: "j" }, "pro");
    assert.equal((await seen()).calls[0].id, id);
    process.env.USE_CLOUDFLARE_QUEUES = "true";
    await assert.rejects(client.triggerReIngestJob({ jobId: "j" }, "pro"), /QUEUE_PRODUCER_URL is not set/);
  } finally {
    process.env = saved;
  }
});

test("Trigger.dev's refusals are errors with its words", async () => {
  await assert.rejects(
    client.triggerReIngestJob({ jobId: "j" }, "pro", { target: { ...DEV, apiKey: "tr_wrong" } }),
    (error) => error instanceof client.ProblemError && error.status === 401 && /Invalid or Missing API key/.test(error.message),
  );
});

test("one variable switches, and a missing one is named", () => {
  const here = { USE_CLOUDFLARE_QUEUES: "true", QUEUE_PRODUCER_URL: "https://o/", ORCHESTRATOR_API_KEY: "k" };
  assert.deepEqual(client.producerTarget(here), { url: "https://o", apiKey: "k", backend: "orchestrator" });
  const dev = { ...here, USE_CLOUDFLARE_QUEUES: "false", TRIGGER_SECRET_KEY: "tr" };
  assert.deepEqual(client.producerTarget(dev), { url: "https://api.trigger.dev", apiKey: "tr", backend: "trigger.dev" });
  assert.throws(() => client.producerTarget({}), /TRIGGER_SECRET_KEY/);
  assert.throws(() => client.producerTarget({ USE_CLOUDFLARE_QUEUES: "yes" }), /true or false/);
  assert.throws(() => client.producerTarget({ ...here, QUEUE_PRODUCER_URL: "o" }), /QUEUE_PRODUCER_URL/);
  assert.equal(client.clientTarget(here).url, "https://o");
  assert.equal(client.clientTarget({ ...here, ORCHESTRATOR_URL: "http://mine" }).url, "http://mine");
});
