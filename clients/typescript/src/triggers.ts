/**
 * The plan's functions, one per job: started here or at Trigger.dev, as `USE_CLOUDFLARE_QUEUES` says at each call.
 *
 * Both ways take the same arguments and return the same value, so that cut-over and rollback are one variable.
 * Trigger.dev gets what the platform sent it: its tags and priorities, none for enterprise included.
 */

import { ConfigurationError, problemError } from "./errors.js";
import { DEFAULT_RETRIES, persistentFetch, SURROUNDINGS, type Retries, type Surroundings } from "./retries.js";
import { producerTarget, type Target } from "./settings.js";

/** The job's id. */
export interface Triggered {
  id: string;
}

/** The ids of several jobs; `id` is the first. */
export interface TriggeredMany extends Triggered {
  ids: string[];
}

export interface IngestionBody {
  jobId: string;
  organizationId?: string;
}

export interface JobBody {
  jobId: string;
}

export interface DeleteDocumentBody {
  documentId: string;
  updateCounters?: boolean;
  skipWebhooks?: boolean;
}

export interface DeleteIngestJobBody {
  jobId: string;
  skipWebhooks?: boolean;
}

export interface NamespaceBody {
  namespaceId: string;
}

export interface OrganizationBody {
  organizationId: string;
}

export interface TriggerOptions {
  /** Calls with the same key are one job; without one each call gets its own. */
  idempotencyKey?: string;
  /** Whose the job is, for keys that may act for every tenant; Trigger.dev is not told. */
  tenant?: string;
  /** Where to send the job; the environment says it if left out. */
  target?: Target;
  retries?: Retries;
  /** The longest wait for an answer, in milliseconds. */
  timeoutMs?: number;
  surroundings?: Surroundings;
}

interface Trigger<Body> {
  route: string;
  task: string;
  /** The member of the body that its tag names, and the tag's prefix. */
  tagFrom: keyof Body & string;
  tagPrefix: string;
  /** Whether an organization's plan gives it a priority. */
  ranked: boolean;
}

/** Seconds of head start by plan at Trigger.dev. */
const PRIORITIES: Readonly<Record<string, number | undefined>> = { enterprise: undefined, pro: 86_400 };
const OTHER_PRIORITY = 57_600;

function define<Body>(
  route: string,
  task: string,
  tagFrom: keyof Body & string,
  tagPrefix: string,
  ranked = false,
): Trigger<Body> {
  return { route, task, tagFrom, tagPrefix, ranked };
}

const INGESTION = define<IngestionBody>("ingest", "trigger-ingestion-job", "jobId", "job_", true);
const RE_INGEST = define<JobBody>("re-ingest", "re-ingest-job", "jobId", "job_", true);
const DELETE_DOCUMENT = define<DeleteDocumentBody>("delete-document", "delete-document-job", "documentId", "doc_");
const DELETE_INGEST_JOB = define<DeleteIngestJobBody>("delete-ingest-job", "delete-ingest-job", "jobId", "job_");
const DELETE_NAMESPACE = define<NamespaceBody>("delete-namespace", "delete-namespace-job", "namespaceId", "ns_");
const DELETE_ORGANIZATION = define<OrganizationBody>(
  "delete-organization",
  "delete-organization-job",
  "organizationId",
  "org_",
);
const METER = define<OrganizationBody>("meter-org-documents", "meter-org-documents-job", "organizationId", "org_");

/** Start `trigger-ingestion-job`: ingest the documents of an ingest job. */
export function triggerIngestionJob(
  body: IngestionBody,
  plan?: string,
  options?: TriggerOptions,
): Promise<Triggered> {
  return start(INGESTION, body, plan, options);
}

/** Start `re-ingest-job`: process the documents of an ingest job again. */
export function triggerReIngestJob(body: JobBody, plan?: string, options?: TriggerOptions): Promise<Triggered> {
  return start(RE_INGEST, body, plan, options);
}

/** Start `delete-document-job`. */
export function triggerDeleteDocumentJob(body: DeleteDocumentBody, options?: TriggerOptions): Promise<Triggered> {
  return start(DELETE_DOCUMENT, body, undefined, options);
}

/** Start `delete-ingest-job`: delete an ingest job with its documents. */
export function triggerDeleteIngestJob(body: DeleteIngestJobBody, options?: TriggerOptions): Promise<Triggered> {
  return start(DELETE_INGEST_JOB, body, undefined, options);
}

/** Start `delete-namespace-job`. */
export function triggerDeleteNamespaceJob(body: NamespaceBody, options?: TriggerOptions): Promise<Triggered> {
  return start(DELETE_NAMESPACE, body, undefined, options);
}

/** Start `delete-organization-job`. */
export function triggerDeleteOrganizationJob(body: OrganizationBody, options?: TriggerOptions): Promise<Triggered> {
  return start(DELETE_ORGANIZATION, body, undefined, options);
}

/** Start `meter-org-documents-job`: report an organization's pages to its meter. */
export function triggerMeterOrgDocumentsJob(body: OrganizationBody, options?: TriggerOptions): Promise<Triggered> {
  return start(METER, body, undefined, options);
}

/** Start `meter-org-documents-job` once for each organization, up to 1,000; all of them or none. */
export async function triggerMeterOrgDocumentsJobs(
  bodies: readonly OrganizationBody[],
  options: TriggerOptions = {},
): Promise<TriggeredMany> {
  if (bodies.length === 0) throw new ConfigurationError("There is no organization to meter");
  const { target, key, post } = connect(options);
  if (target.backend === "orchestrator") {
    const { tenant } = options;
    const calls = tenant === undefined ? bodies : bodies.map((body) => ({ body, tenant }));
    const made = (await post(`/trigger/${METER.route}`, { items: calls }, key)) as TriggeredMany;
    return { id: made.id, ids: made.ids };
  }
  const items = bodies.map((body, index) =>
    triggerDevCall(METER, body, undefined, bodies.length === 1 ? key : `${key}:${index}`),
  );
  const { runs } = (await post(`/api/v1/tasks/${METER.task}/batch`, { items })) as { runs: string[] };
  return { id: runs[0] as string, ids: runs };
}

async function start<Body extends object>(
  trigger: Trigger<Body>,
  body: Body,
  plan: string | undefined,
  options: TriggerOptions = {},
): Promise<Triggered> {
  const { target, key, post } = connect(options);
  const made =
    target.backend === "orchestrator"
      ? await post(`/trigger/${trigger.route}`, { body, plan, tenant: options.tenant }, key)
      : await post(`/api/v1/tasks/${trigger.task}/trigger`, triggerDevCall(trigger, body, plan, key));
  return { id: (made as Triggered).id };
}

/** Return a call in the form of Trigger.dev's API (https://trigger.dev/docs/management/tasks/trigger). */
function triggerDevCall<Body extends object>(
  trigger: Trigger<Body>,
  body: Body,
  plan: string | undefined,
  key: string,
): object {
  const known = plan !== undefined && plan in PRIORITIES;
  const priority = trigger.ranked ? (known ? PRIORITIES[plan] : OTHER_PRIORITY) : undefined;
  const tags = [`${trigger.tagPrefix}${String(body[trigger.tagFrom])}`];
  return { payload: body, options: { tags, priority, idempotencyKey: key } };
}

interface Link {
  target: Target;
  key: string;
  post: (path: string, body: object, idempotencyKey?: string) => Promise<unknown>;
}

function connect(options: TriggerOptions): Link {
  const target = options.target ?? producerTarget();
  const around = options.surroundings ?? SURROUNDINGS;
  const fetch = persistentFetch(around, options.retries ?? DEFAULT_RETRIES, options.timeoutMs ?? 30_000, "always");
  const post = async (path: string, body: object, idempotencyKey?: string): Promise<unknown> => {
    const headers = new Headers({ authorization: `Bearer ${target.apiKey}`, "content-type": "application/json" });
    if (idempotencyKey !== undefined) headers.set("idempotency-key", idempotencyKey);
    const init: RequestInit = { method: "POST", headers, body: JSON.stringify(body), cache: "no-store" };
    const response = await fetch(new Request(target.url + path, init));
    const answer: unknown = await response.json().catch(() => null);
    if (!response.ok) throw problemError(response.status, answer);
    return answer;
  };
  return { target, key: options.idempotencyKey ?? around.newKey(), post };
}
