/** When a request is sent again: a pure decision, and a `fetch` that carries it out. */

import { NoAnswerError } from "./errors.js";

/** How often and how soon a request is sent again; times in milliseconds. */
export interface Retries {
  /** Requests in all, the first included. */
  maxAttempts: number;
  /** Wait before the second attempt; each wait is twice the one before. */
  initialMs: number;
  /** No wait of our own is longer. */
  maxMs: number;
  /** A `Retry-After` beyond this is not waited for; the refusal is thrown at once. */
  maxAskedMs: number;
}

export const DEFAULT_RETRIES: Retries = { maxAttempts: 6, initialMs: 250, maxMs: 8_000, maxAskedMs: 60_000 };

/**
 * When a request may be sent again by itself: `always`, because repeating it changes nothing; or only while it
 * certainly has not taken effect (`unserved`): nobody was reached, or the server said that it did not begin.
 */
export type Repeat = "always" | "unserved";

/** What came of a request: an answer, or none. */
export type Reply = { status: number; headers: Headers; lasting?: boolean } | { lost: true; sent: boolean };

const NOT_BEGUN = new Set([429, 503]);
const FAILED = new Set([500, 502, 504]);
/** Codes of refusals that do not pass by themselves. */
const LASTING = new Set(["no_api_key_configured", "no_secret_configured"]);
/** Causes of a failed fetch that say that nothing was sent. */
const UNSENT = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "UND_ERR_CONNECT_TIMEOUT"]);

/** Return how long to wait before a request is sent again, or undefined if it is not. */
export function waitMs(
  retries: Retries,
  repeat: Repeat,
  reply: Reply,
  attempt: number,
  random: number,
): number | undefined {
  if (attempt >= retries.maxAttempts || !mayRepeat(repeat, reply)) return undefined;
  const own = Math.min(retries.maxMs, retries.initialMs * 2 ** Math.min(attempt - 1, 30)) * (0.5 + random / 2);
  const asked = "lost" in reply ? undefined : retryAfterMs(reply.headers);
  if (asked === undefined) return own;
  return asked > retries.maxAskedMs ? undefined : Math.max(asked, own);
}

function mayRepeat(repeat: Repeat, reply: Reply): boolean {
  if ("lost" in reply) return repeat === "always" || !reply.sent;
  if (NOT_BEGUN.has(reply.status)) return !reply.lasting;
  return FAILED.has(reply.status) && repeat === "always";
}

/** Return what a `Retry-After` asks for (RFC 9110 §10.2.3): seconds, or a date by the server's own clock. */
export function retryAfterMs(headers: Headers): number | undefined {
  const text = (headers.get("retry-after") ?? "").trim();
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  const [until, now] = [Date.parse(text), Date.parse(headers.get("date") ?? "")];
  return Number.isNaN(until) || Number.isNaN(now) ? undefined : Math.max(0, until - now);
}

export type Fetch = (request: Request) => Promise<Response>;

/** Surroundings of a client; tests bring their own. */
export interface Surroundings {
  fetch: Fetch;
  sleep: (ms: number, signal?: AbortSignal | undefined) => Promise<void>;
  random: () => number;
  newKey: () => string;
  now: () => number;
}

export const SURROUNDINGS: Surroundings = {
  fetch: (request) => globalThis.fetch(request),
  sleep,
  random: Math.random,
  newKey: () => globalThis.crypto.randomUUID(),
  now: () => performance.now(),
};

function sleep(ms: number, signal?: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}

/** Return a `fetch` that sends a request again as the retries say, and throws when nobody answers. */
export function persistentFetch(
  around: Surroundings,
  retries: Retries,
  timeoutMs: number,
  repeat: Repeat,
  { stream = false } = {},
): Fetch {
  return async (request) => {
    for (let attempt = 1; ; attempt += 1) {
      const outcome = await once(around, request.clone(), timeoutMs, stream);
      if (outcome instanceof Response && outcome.ok) return outcome;
      const reply = outcome instanceof Response ? await replyOf(outcome) : outcome;
      const wait = waitMs(retries, repeat, reply, attempt, around.random());
      if (wait !== undefined) {
        await around.sleep(wait, request.signal);
      } else if (outcome instanceof Response) {
        return outcome;
      } else {
        const maybeDone = outcome.sent && request.method !== "GET";
        throw new NoAnswerError(`${new URL(request.url).origin} does not answer`, maybeDone, outcome.cause);
      }
    }
  };
}

interface Lost {
  lost: true;
  sent: boolean;
  cause: unknown;
}

/** Send a request once. Its answer is read here, so that the timeout is that of the whole; a stream's is left open. */
async function once(
  around: Surroundings,
  request: Request,
  timeoutMs: number,
  stream: boolean,
): Promise<Response | Lost> {
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(new Error("timed out")), timeoutMs);
  try {
    const signal = AbortSignal.any([request.signal, patience.signal]);
    const response = await around.fetch(new Request(request, { signal }));
    if (stream && response.ok) return response;
    const body = response.status === 204 ? null : await response.arrayBuffer();
    return new Response(body, { status: response.status, headers: response.headers });
  } catch (cause) {
    if (request.signal.aborted) throw request.signal.reason;
    return { lost: true, sent: !UNSENT.has(codeOf(cause)), cause };
  } finally {
    clearTimeout(timer);
  }
}

function codeOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : "";
}

async function replyOf(response: Response): Promise<Reply> {
  const problem: unknown = NOT_BEGUN.has(response.status) ? await response.clone().json().catch(() => null) : null;
  const code = typeof problem === "object" && problem !== null && "code" in problem ? problem.code : "";
  return { status: response.status, headers: response.headers, lasting: LASTING.has(String(code)) };
}
