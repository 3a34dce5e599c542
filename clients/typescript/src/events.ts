/** A job's event stream (server-sent events), resumed whenever it breaks. */

import type { components } from "./schema.js";

export type JobEvent = components["schemas"]["EventOut"];

const LINE_END = /\r\n|\n/;
/** Statuses in which a job has ended. */
export const TERMINAL: ReadonlySet<string> = new Set(["completed", "failed", "cancelled", "expired"]);

/** Tell whether an event is the end of a job. */
export function isEnd(event: JobEvent): boolean {
  return event.kind.startsWith("job.") && TERMINAL.has(event.kind.slice("job.".length));
}

/**
 * Read a stream of server-sent events, in whatever parts it arrives. Of the format
 * (https://html.spec.whatwg.org/multipage/server-sent-events.html) it takes the `data` fields; the rest passes by, since
 * an event's data names its id and kind too.
 */
export class SseParser {
  #decoder = new TextDecoder();
  #rest = "";
  #data: string[] = [];

  /** Take the next part; return the data of every event that is complete with it. */
  feed(part: Uint8Array): string[] {
    const lines = (this.#rest + this.#decoder.decode(part, { stream: true })).split(LINE_END);
    this.#rest = lines.pop() ?? "";
    const found: string[] = [];
    for (const line of lines) {
      if (line.startsWith("data:")) {
        this.#data.push(line.slice("data:".length).replace(/^ /, ""));
      } else if (line === "" && this.#data.length > 0) {
        found.push(this.#data.join("\n"));
        this.#data = [];
      }
    }
    return found;
  }
}

/** Yield the parts of a body; a connection that is silent for too long counts as broken. */
export async function* partsOf(body: ReadableStream<Uint8Array>, silenceMs: number): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  try {
    for (;;) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const silence = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error("the stream is silent")), silenceMs);
      });
      const { done, value } = await Promise.race([reader.read(), silence]).finally(() => clearTimeout(timer));
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
