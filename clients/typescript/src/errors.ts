/** What calls throw. */

import type { components } from "./schema.js";

type Job = components["schemas"]["JobOut"];
export type Problem = components["schemas"]["Problem"];

/** Base of what calls throw. */
export class ClientError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** A setting is missing or contradicts another. */
export class ConfigurationError extends ClientError {}

/** Nobody answered. */
export class NoAnswerError extends ClientError {
  /** Whether the request may have taken effect all the same. */
  readonly maybeDone: boolean;

  constructor(message: string, maybeDone: boolean, cause?: unknown) {
    super(maybeDone ? `${message}; the request may have taken effect` : message, { cause });
    this.maybeDone = maybeDone;
  }
}

/** The server refused the request, or failed to serve it: a problem document (RFC 9457). */
export class ProblemError extends ClientError {
  readonly status: number;
  /** Stable, for programs. */
  readonly code: string;
  /** The whole document. */
  readonly problem: Problem;

  constructor(status: number, problem: Problem) {
    super(problem.detail);
    this.status = status;
    this.code = problem.code;
    this.problem = problem;
  }
}

/** The job failed, was cancelled, or expired. */
export class JobUnsuccessfulError extends ClientError {
  readonly job: Job;

  constructor(job: Job) {
    super(`${job.id} is ${job.status}${job.error ? `: ${job.error.code}: ${job.error.message}` : ""}`);
    this.job = job;
  }
}

/** The job has not ended in time. It goes on. */
export class WaitTimeoutError extends ClientError {
  readonly job: Job;

  constructor(job: Job) {
    super(`${job.id} is still ${job.status}`);
    this.job = job;
  }
}

/** Return the error of a refusal; Trigger.dev's are `{error}`, other servers' may be anything. */
export function problemError(status: number, body: unknown): ProblemError {
  const document = typeof body === "object" && body !== null ? (body as Partial<Problem> & { error?: unknown }) : {};
  if (typeof document.code === "string") return new ProblemError(status, document as Problem);
  const [code, detail] =
    typeof document.error === "string"
      ? ["trigger_dev", document.error]
      : ["no_problem_document", `The server answered ${status}`];
  return new ProblemError(status, { type: "about:blank", title: "", status, code, detail });
}
