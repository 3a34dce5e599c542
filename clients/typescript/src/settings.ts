/** Where calls go: read from the environment, whose `USE_CLOUDFLARE_QUEUES` is the plan's switch. */

import { ConfigurationError } from "./errors.js";

export type Backend = "orchestrator" | "trigger.dev";

/** A server and the key to it. */
export interface Target {
  url: string;
  apiKey: string;
  backend: Backend;
}

export type Environment = Readonly<Record<string, string | undefined>>;

const TRIGGER_DEV_URL = "https://api.trigger.dev";

/** Return the process's environment; none where there is no process. */
export function environment(): Environment {
  const { process } = globalThis as { process?: { env: Environment } };
  return process?.env ?? {};
}

/**
 * Return where the plan's functions send their jobs.
 *
 * `USE_CLOUDFLARE_QUEUES=true` needs `QUEUE_PRODUCER_URL` and `ORCHESTRATOR_API_KEY`. `false`, and nothing at all, is
 * Trigger.dev: `TRIGGER_SECRET_KEY`, and `TRIGGER_API_URL` if it is hosted elsewhere.
 */
export function producerTarget(env: Environment = environment()): Target {
  const wish = env["USE_CLOUDFLARE_QUEUES"]?.trim().toLowerCase() || "false";
  switch (wish) {
    case "true":
      return {
        url: requiredUrl(env, "QUEUE_PRODUCER_URL"),
        apiKey: required(env, "ORCHESTRATOR_API_KEY"),
        backend: "orchestrator",
      };
    case "false":
      return {
        url: checkedUrl(env["TRIGGER_API_URL"] || TRIGGER_DEV_URL, "TRIGGER_API_URL"),
        apiKey: required(env, "TRIGGER_SECRET_KEY"),
        backend: "trigger.dev",
      };
    default:
      throw new ConfigurationError(`USE_CLOUDFLARE_QUEUES is true or false, not ${JSON.stringify(wish)}`);
  }
}

/** Return the orchestrator that `ORCHESTRATOR_URL`, or else `QUEUE_PRODUCER_URL`, names. */
export function clientTarget(env: Environment = environment()): Target {
  const name = env["ORCHESTRATOR_URL"] || !env["QUEUE_PRODUCER_URL"] ? "ORCHESTRATOR_URL" : "QUEUE_PRODUCER_URL";
  return { url: requiredUrl(env, name), apiKey: required(env, "ORCHESTRATOR_API_KEY"), backend: "orchestrator" };
}

function requiredUrl(env: Environment, name: string): string {
  return checkedUrl(required(env, name), name);
}

function required(env: Environment, name: string): string {
  const value = env[name]?.trim();
  if (!value) throw new ConfigurationError(`The environment variable ${name} is not set`);
  return value;
}

function checkedUrl(url: string, name: string): string {
  if (!/^https?:\/\//.test(url)) throw new ConfigurationError(`${name} is not an http(s) address`);
  return url.replace(/\/+$/, "");
}
