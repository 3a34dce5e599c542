/** The orchestrator's API. Requests and answers have the types of its OpenAPI document. */

import createClient, { defaultPathSerializer, type Client } from "openapi-fetch";

import { ConfigurationError, JobUnsuccessfulError, NoAnswerError, problemError, WaitTimeoutError } from "./errors.js";
import { isEnd, partsOf, SseParser, TERMINAL, type JobEvent } from "./events.js";
import { DEFAULT_RETRIES, persistentFetch, SURROUNDINGS, type Repeat, type Retries, type Surroundings } from "./retries.js";
import type { components, paths } from "./schema.js";
import { clientTarget, type Target } from "./settings.js";

type Schemas = components["schemas"];
export type Accepted = Schemas["AcceptedOut"];
export type Batch = Schemas["BatchOut"];
export type BulkItem = Schemas["BulkItemOut"];
export type Catalog = Schemas["CatalogOut"];
export type DeadLetter = Schemas["DeadLetterOut"];
export type Job = Schemas["JobOut"];
export type JobPage = Schemas["JobsOut"];
export type JobSummary = Schemas["SummaryOut"];
export type Lane = Schemas["LaneOut"];
export type NewJob = Schemas["JobIn"];
export type Options = Schemas["OptionsIn"];
export type Schedule = Schemas["ScheduleOut"];
export type ScheduleSummary = Schemas["ScheduleSummaryOut"];
export type Step = Schemas["StepOut"];
export type Workflow = Schemas["WorkflowOut"];

/** Which jobs, as the catalog knows them. */
export type JobFilter = Omit<NonNullable<paths["/v1/jobs"]["get"]["parameters"]["query"]>, "cursor" | "limit">;
/** Which dead letters. */
export type LetterFilter = Schemas["LetterFilterIn"];

/** The job's id and its status after a control action. */
export type StatusChange = Schemas["StatusOut"];

export interface ClientOptions {
  retries?: Retries;
  /** The longest wait for an answer, in milliseconds. */
  timeoutMs?: number;
  surroundings?: Surroundings;
}

export interface WaitOptions {
  /** Wait no longer, in milliseconds; without it, for as long as it takes. */
  timeoutMs?: number;
  /** How to notice: by the job's event stream, or by asking again and again. */
  via?: "events" | "polling";
  signal?: AbortSignal;
}

/** A stream's server says something at least every 10 s; longer silence is a dead connection. */
const SILENCE_MS = 30_000;
/** With less time left, waiting goes on by polling. */
const STREAM_MIN_MS = 15_000;
const POLL_MS = 100;
const POLL_MAX_MS = 2_000;
/** Streams that break one after the other without telling anything new, before we give up. */
const MAX_BREAKS = 6;
const PAGE = 200;

interface Result<T> {
  data?: T | undefined;
  error?: unknown;
  response: Response;
}

/** Calls to an orchestrator. Every method that starts something sends the same idempotency key when it is repeated. */
export class OrchestratorClient {
  readonly #api: Client<paths>;
  readonly #around: Surroundings;
  readonly #retries: Retries;
  readonly #timeoutMs: number;

  constructor(target: Pick<Target, "url" | "apiKey">, options: ClientOptions = {}) {
    this.#around = options.surroundings ?? SURROUNDINGS;
    this.#retries = options.retries ?? DEFAULT_RETRIES;
    this.#timeoutMs = options.timeoutMs ?? 30_000;
    this.#api = createClient<paths>({
      baseUrl: target.url,
      headers: { authorization: `Bearer ${target.apiKey}` },
      pathSerializer: checkedPath,
      cache: "no-store", // frameworks that keep answers would show old statuses
      fetch: this.#fetch("always"),
    });
  }

  /** Return a client of the orchestrator that `ORCHESTRATOR_URL` names. */
  static fromEnv(options: ClientOptions = {}): OrchestratorClient {
    return new OrchestratorClient(clientTarget(), options);
  }

  /** Start a job. Once this resolves, the job is recorded durably. */
  async enqueue(workflow: string, payload: unknown = {}, options: Options = {}): Promise<Accepted> {
    const body = { workflow, payload, options: this.#keyed(options, this.#around.newKey()) };
    return unwrap(await this.#api.POST("/v1/jobs", { body }));
  }

  /** Start up to 1,000 jobs. Each is judged by itself: the answer has a job or a problem for every one, in order. */
  async enqueueMany(jobs: readonly NewJob[]): Promise<Batch> {
    const key = this.#around.newKey();
    const items = jobs.map((job, index) => ({ ...job, options: this.#keyed(job.options ?? {}, `${key}:${index}`) }));
    return unwrap(await this.#api.POST("/v1/jobs/batch", { body: { items } }));
  }

  /** Return a job's status, exact at this moment. */
  async getJob(jobId: string, signal?: AbortSignal): Promise<Job> {
    const init = signal === undefined ? {} : { signal };
    return unwrap(await this.#api.GET("/v1/jobs/{job_id}", { params: { path: { job_id: jobId } }, ...init }));
  }

  /** Return the steps of a job's journal, in the order in which they began. */
  async getSteps(jobId: string): Promise<Step[]> {
    return unwrap(await this.#api.GET("/v1/jobs/{job_id}/steps", { params: { path: { job_id: jobId } } })).steps;
  }

  /** Return a job's history after an event's id, as much as fits one answer. */
  async getHistory(jobId: string, after = 0): Promise<JobEvent[]> {
    const answer = await this.#api.GET("/v1/jobs/{job_id}/events", {
      params: { path: { job_id: jobId }, query: { after } },
      headers: { accept: "application/json" },
    });
    return (unwrap(answer) as Schemas["EventsOut"]).events;
  }

  /**
   * Yield a job's history after an event's id, then what happens, until the job has ended. A stream that breaks is taken
   * up again after the last event that arrived, so none is missed or shown twice.
   */
  async *streamEvents(jobId: string, after = 0, signal?: AbortSignal): AsyncGenerator<JobEvent, void> {
    let position = after;
    for (let breaks = 0; ; ) {
      const before = position;
      let ended = false;
      let broken: unknown;
      const body = await this.#openEvents(jobId, position, signal);
      const parser = new SseParser();
      const parts = partsOf(body, SILENCE_MS);
      try {
        for (;;) {
          const next = await parts.next().catch((error: unknown) => ({ done: true as const, value: undefined, error }));
          if (next.done) {
            broken = "error" in next ? next.error : undefined;
            break;
          }
          for (const data of parser.feed(next.value)) {
            const event = JSON.parse(data) as JobEvent;
            position = event.id;
            ended = isEnd(event);
            yield event;
          }
        }
      } finally {
        await parts.return(undefined);
      }
      signal?.throwIfAborted();
      if (broken === undefined && ended) return;
      if (broken === undefined && TERMINAL.has((await this.getJob(jobId, signal)).status)) {
        yield* await this.getHistory(jobId, position);
        return;
      }
      breaks = position > before || broken === undefined ? 0 : breaks + 1;
      if (breaks >= MAX_BREAKS) throw new NoAnswerError("The event stream broke again and again", false, broken);
      await this.#around.sleep(Math.min(8_000, 250 * 2 ** breaks), signal);
    }
  }

  /** Wait until a job has ended, and return it, however it ended. */
  async waitForJob(jobId: string, { timeoutMs, via = "events", signal }: WaitOptions = {}): Promise<Job> {
    const deadline = timeoutMs === undefined ? Infinity : this.#around.now() + timeoutMs;
    for (let pause = POLL_MS; ; pause = Math.min(POLL_MAX_MS, pause * 1.5)) {
      const job = await this.getJob(jobId, signal);
      if (TERMINAL.has(job.status)) return job;
      const left = deadline - this.#around.now();
      if (left <= 0) throw new WaitTimeoutError(job);
      if (via === "events" && left > STREAM_MIN_MS) await this.#follow(jobId, left - STREAM_MIN_MS, signal);
      else await this.#around.sleep(Math.min(pause, left), signal);
    }
  }

  /** Wait until a job has ended, and return its result; throws if it ended without success. */
  async getResult(jobId: string, options: WaitOptions = {}): Promise<unknown> {
    const job = await this.waitForJob(jobId, options);
    if (job.status !== "completed") throw new JobUnsuccessfulError(job);
    return job.result;
  }

  /** Return one page of jobs from the catalog, newest first. */
  async listJobs(filter: JobFilter & { limit?: number; cursor?: string } = {}): Promise<JobPage> {
    return unwrap(await this.#api.GET("/v1/jobs", { params: { query: filter } }));
  }

  /** Yield the jobs that a filter finds in the catalog, newest first, page by page. */
  searchJobs(filter: JobFilter = {}): AsyncGenerator<JobSummary, void> {
    return pages(async (query): Promise<Page<JobSummary>> => {
      const page = await this.listJobs({ ...filter, ...query });
      return { items: page.jobs, next: page.next_cursor };
    });
  }

  /** Ask a job to stop. Steps under way end first, and the workflow's own cleaning up runs. */
  async cancel(jobId: string, reason = ""): Promise<StatusChange> {
    const params = { path: { job_id: jobId } };
    return unwrap(await this.#api.POST("/v1/jobs/{job_id}/cancel", { params, body: { reason } }));
  }

  /** Have a job start nothing new. */
  async pause(jobId: string): Promise<StatusChange> {
    return unwrap(await this.#api.POST("/v1/jobs/{job_id}/pause", { params: { path: { job_id: jobId } } }));
  }

  /** Have a paused job go on, with a budget instead of the one that it has used up. */
  async resume(jobId: string, body: Schemas["ResumeIn"] = {}): Promise<StatusChange> {
    const params = { path: { job_id: jobId } };
    return unwrap(await this.#api.POST("/v1/jobs/{job_id}/resume", { params, body, fetch: this.#fetch("unserved") }));
  }

  /** Run a job that ended without success again: from its failed steps, a named step, or scratch. */
  async retry(jobId: string, body: { from_step?: string; scratch?: boolean } = {}): Promise<StatusChange> {
    const params = { path: { job_id: jobId } };
    return unwrap(await this.#api.POST("/v1/jobs/{job_id}/retry", { params, body, fetch: this.#fetch("unserved") }));
  }

  /** Delete a job that has ended, with everything that is stored of it. */
  async delete(jobId: string): Promise<void> {
    const params = { path: { job_id: jobId } };
    done(await this.#api.DELETE("/v1/jobs/{job_id}", { params, fetch: this.#fetch("unserved") }));
  }

  /** Hand an event to a job, which may wait for it now or later. One event id counts once; without one it gets one. */
  async sendEvent(jobId: string, name: string, data: unknown = null, eventId?: string): Promise<void> {
    const params = { path: { job_id: jobId, name } };
    const body = { data, id: eventId ?? this.#around.newKey() };
    done(await this.#api.POST("/v1/jobs/{job_id}/events/{name}", { params, body }));
  }

  /** Complete a token with its own access token; completing it again changes nothing. */
  async completeToken(tokenId: string, accessToken: string, data: unknown = null): Promise<void> {
    const params = { path: { token_id: tokenId } };
    const headers = { authorization: `Bearer ${accessToken}` };
    done(await this.#api.POST("/api/v1/waitpoints/tokens/{token_id}/complete", { params, body: { data }, headers }));
  }

  /** Act on many jobs, those named or those that a filter finds, and yield what became of each. */
  bulk(
    action: Schemas["BulkIn"]["action"],
    which: { ids: string[] } | { filter: NonNullable<Schemas["BulkIn"]["filter"]> },
    reason = "",
  ): AsyncGenerator<BulkItem, void> {
    return pages(async ({ cursor = null }): Promise<Page<BulkItem>> => {
      const body = { action, reason, cursor, ...which };
      const page = unwrap(await this.#api.POST("/v1/jobs/bulk", { body, fetch: this.#fetch("unserved") }));
      return { items: page.results, next: page.next_cursor };
    });
  }

  /** Yield jobs and messages that gave up, newest first, each with its cause. */
  deadLetters(filter: LetterFilter & { redriven?: boolean } = {}): AsyncGenerator<DeadLetter, void> {
    return pages(async (query): Promise<Page<DeadLetter>> => {
      const page = unwrap(await this.#api.GET("/v1/dead-letters", { params: { query: { ...filter, ...query } } }));
      return { items: page.dead_letters, next: page.next_cursor };
    });
  }

  /** Try a dead letter again: a failed job runs again, a message is sent again. */
  async redrive(letterId: string): Promise<Schemas["RedrivenOut"]> {
    const params = { path: { letter_id: letterId } };
    const path = "/v1/dead-letters/{letter_id}/redrive";
    return unwrap(await this.#api.POST(path, { params, body: {}, fetch: this.#fetch("unserved") }));
  }

  /** Try many dead letters again, those named or those that a filter finds, and yield what became of each. */
  redriveMany(which: { ids: string[] } | { filter: LetterFilter }): AsyncGenerator<BulkItem, void> {
    return pages(async ({ cursor = null }): Promise<Page<BulkItem>> => {
      const body = { cursor, ...which };
      const page = unwrap(await this.#api.POST("/v1/dead-letters/redrive", { body, fetch: this.#fetch("unserved") }));
      return { items: page.results, next: page.next_cursor };
    });
  }

  /** Return the workflows that jobs may be of, each with the JSON schema of its payload. */
  async workflows(): Promise<Workflow[]> {
    return unwrap(await this.#api.GET("/v1/workflows")).workflows;
  }

  /** Return the lanes of the workflows: limits, what runs, what waits and why. */
  async lanes(): Promise<Lane[]> {
    return unwrap(await this.#api.GET("/v1/lanes")).lanes;
  }

  /** Return one lane. */
  async getLane(name: string): Promise<Lane> {
    return unwrap(await this.#api.GET("/v1/lanes/{name}", { params: { path: { name } } }));
  }

  /** Have a lane start nothing more; what runs goes on. */
  async pauseLane(name: string): Promise<Lane> {
    return unwrap(await this.#api.POST("/v1/lanes/{name}/pause", { params: { path: { name } } }));
  }

  /** Have a lane start jobs again. */
  async resumeLane(name: string): Promise<Lane> {
    return unwrap(await this.#api.POST("/v1/lanes/{name}/resume", { params: { path: { name } } }));
  }

  /** Return the alerts, and what people have not been told. */
  async getAlerts(): Promise<Schemas["AlertsOut"]> {
    return unwrap(await this.#api.GET("/v1/alerts"));
  }

  /** Return the shards of the catalog, and whether each knows every job of its own. */
  async getCatalog(): Promise<Catalog> {
    return unwrap(await this.#api.GET("/v1/catalog"));
  }

  /** Have shards of the catalog, all of them unless told otherwise, ask the jobs for everything again. */
  async rebuildCatalog(shards?: string[]): Promise<Catalog> {
    return unwrap(await this.#api.POST("/v1/catalog/rebuild", { body: { shards: shards ?? null } }));
  }

  /** Make an API key; what opens it is in this answer only, so it is not asked for twice. */
  async createKey(key: Schemas["KeyIn"]): Promise<Schemas["NewKeyOut"]> {
    return unwrap(await this.#api.POST("/v1/keys", { body: key, fetch: this.#fetch("unserved") }));
  }

  /** End a key's use, within 30 seconds everywhere; again changes nothing. */
  async revokeKey(keyId: string): Promise<void> {
    done(await this.#api.DELETE("/v1/keys/{key_id}", { params: { path: { key_id: keyId } } }));
  }

  /** Return what the key of this client may do. */
  async getCurrentKey(): Promise<Schemas["CurrentKeyOut"]> {
    return unwrap(await this.#api.GET("/v1/keys/current"));
  }

  /** Yield the API keys, newest first. */
  keys(): AsyncGenerator<Schemas["KeyOut"], void> {
    return pages(async (query): Promise<Page<Schemas["KeyOut"]>> => {
      const page = unwrap(await this.#api.GET("/v1/keys", { params: { query } }));
      return { items: page.keys, next: page.next_cursor };
    });
  }

  /** Yield control actions, newest first, refused ones included. */
  audit(filter: { target?: string; key_id?: string } = {}): AsyncGenerator<Schemas["AuditEntryOut"], void> {
    return pages(async (query): Promise<Page<Schemas["AuditEntryOut"]>> => {
      const page = unwrap(await this.#api.GET("/v1/audit", { params: { query: { ...filter, ...query } } }));
      return { items: page.entries, next: page.next_cursor };
    });
  }

  /** Yield the schedules, in the order of their ids. */
  schedules(filter: { workflow?: string; tag?: string } = {}): AsyncGenerator<ScheduleSummary, void> {
    return pages(async (query): Promise<Page<ScheduleSummary>> => {
      const page = unwrap(await this.#api.GET("/v1/schedules", { params: { query: { ...filter, ...query } } }));
      return { items: page.schedules, next: page.next_cursor };
    });
  }

  /** Make a schedule; without an id it gets one. Asking again for just the same one returns what is there. */
  async createSchedule(schedule: Schemas["ScheduleIn"]): Promise<Schedule> {
    const id = schedule.id ?? `sch_${this.#around.newKey()}`;
    return unwrap(await this.#api.POST("/v1/schedules", { body: { ...schedule, id } }));
  }

  /** Return a schedule with its planned times and what became of the past ones. */
  async getSchedule(scheduleId: string): Promise<Schedule> {
    return unwrap(await this.#api.GET("/v1/schedules/{schedule_id}", scheduleAt(scheduleId)));
  }

  /** Change members of a schedule; the others stay. */
  async changeSchedule(scheduleId: string, changes: Schemas["ScheduleChangeIn"]): Promise<Schedule> {
    const path = "/v1/schedules/{schedule_id}";
    return unwrap(await this.#api.PATCH(path, { ...scheduleAt(scheduleId), body: changes }));
  }

  /** Forget a schedule. Its jobs go on. */
  async deleteSchedule(scheduleId: string): Promise<void> {
    const path = "/v1/schedules/{schedule_id}";
    done(await this.#api.DELETE(path, { ...scheduleAt(scheduleId), fetch: this.#fetch("unserved") }));
  }

  /** Let planned times pass. */
  async pauseSchedule(scheduleId: string): Promise<Schedule> {
    return unwrap(await this.#api.POST("/v1/schedules/{schedule_id}/pause", scheduleAt(scheduleId)));
  }

  /** Go on with the next planned time. */
  async resumeSchedule(scheduleId: string): Promise<Schedule> {
    return unwrap(await this.#api.POST("/v1/schedules/{schedule_id}/resume", scheduleAt(scheduleId)));
  }

  /** Start a schedule's job now. */
  async runSchedule(scheduleId: string, idempotencyKey?: string): Promise<Accepted> {
    const header = { "Idempotency-Key": idempotencyKey ?? this.#around.newKey() };
    const params = { ...scheduleAt(scheduleId).params, header };
    return unwrap(await this.#api.POST("/v1/schedules/{schedule_id}/run", { params }));
  }

  /** Run past planned times, both ends included; those that were run before are not run again. */
  async backfillSchedule(scheduleId: string, from: Date, to: Date): Promise<Schemas["BackfillOut"]> {
    const body = { from: from.toISOString(), to: to.toISOString() };
    return unwrap(await this.#api.POST("/v1/schedules/{schedule_id}/backfill", { ...scheduleAt(scheduleId), body }));
  }

  /** Return, as a stream, one JSON file with everything that is stored of a job. */
  async exportJob(jobId: string): Promise<ReadableStream<Uint8Array>> {
    const answer = await this.#api.GET("/v1/jobs/{job_id}/export", {
      params: { path: { job_id: jobId } },
      parseAs: "stream",
      fetch: this.#fetch("always", { stream: true }),
    });
    return unwrap(answer) as ReadableStream<Uint8Array>;
  }

  #fetch(repeat: Repeat, options: { stream?: boolean } = {}): (request: Request) => Promise<Response> {
    return persistentFetch(this.#around, this.#retries, this.#timeoutMs, repeat, options);
  }

  #keyed(options: Options, key: string): Options {
    // Calls to be debounced share a key of the caller's: one of our own would keep them apart.
    const isKeyed = options.idempotency_key || options.idempotency || options.debounce;
    return isKeyed ? options : { ...options, idempotency_key: key };
  }

  async #openEvents(jobId: string, after: number, signal?: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const answer = await this.#api.GET("/v1/jobs/{job_id}/events", {
      params: { path: { job_id: jobId }, query: { after }, header: { "Last-Event-ID": after } },
      headers: { accept: "text/event-stream" },
      parseAs: "stream",
      fetch: this.#fetch("always", { stream: true }),
      ...(signal === undefined ? {} : { signal }),
    });
    return unwrap(answer) as unknown as ReadableStream<Uint8Array>;
  }

  /** Read a job's event stream until it ends, but for no longer than so long. */
  async #follow(jobId: string, forMs: number, signal?: AbortSignal): Promise<void> {
    const own = new AbortController();
    const timer = Number.isFinite(forMs) ? setTimeout(() => own.abort(), Math.min(forMs, 2 ** 31 - 1)) : undefined;
    const both = signal === undefined ? own.signal : AbortSignal.any([signal, own.signal]);
    try {
      for await (const event of this.streamEvents(jobId, 0, both)) void event;
    } catch (error) {
      if (!own.signal.aborted || signal?.aborted) throw error;
    } finally {
      clearTimeout(timer);
    }
  }
}

interface Page<T> {
  items: readonly T[];
  next?: string | null | undefined;
}

/** Yield the items of every page. */
async function* pages<T>(ask: (query: { limit: number; cursor?: string }) => Promise<Page<T>>): AsyncGenerator<T, void> {
  let page = await ask({ limit: PAGE });
  yield* page.items;
  while (page.next) {
    page = await ask({ limit: PAGE, cursor: page.next });
    yield* page.items;
  }
}

/** Return a path; a part that is empty or dots would lead to another one. */
function checkedPath(pathname: string, parts: Record<string, unknown>): string {
  for (const [name, part] of Object.entries(parts)) {
    if (/^\.*$/.test(String(part))) throw new ConfigurationError(`${name} is no id or name: ${JSON.stringify(part)}`);
  }
  return defaultPathSerializer(pathname, parts);
}

function scheduleAt(scheduleId: string): { params: { path: { schedule_id: string } } } {
  return { params: { path: { schedule_id: scheduleId } } };
}

/** Return an answer's body, or throw the refusal. */
function unwrap<T>(result: Result<T>): T {
  done(result);
  return result.data as T;
}

function done(result: Result<unknown>): void {
  if (!result.response.ok) throw problemError(result.response.status, result.error);
}
