/** Client of the durable orchestrator. */

export * from "./client.js";
export * from "./errors.js";
export type { JobEvent } from "./events.js";
export { DEFAULT_RETRIES, type Retries, type Surroundings } from "./retries.js";
export type { components, paths } from "./schema.js";
export { clientTarget, producerTarget, type Target } from "./settings.js";
export * from "./triggers.js";
