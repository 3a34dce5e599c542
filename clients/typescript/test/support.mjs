/** Surroundings of the tests: scripted answers, no clock, no randomness. */

export function json(body, status = 200, headers = {}) {
  return new Response(JSON.stringify(body), { status, headers: { "content-type": "application/json", ...headers } });
}

export function problem(status, code, headers = {}) {
  return json({ type: "about:blank", title: "t", status, code, detail: "what happened" }, status, headers);
}

/** A failed fetch as Node throws it. */
export function lost(code = "ECONNRESET") {
  return Object.assign(new TypeError("fetch failed"), { cause: Object.assign(new Error(code), { code }) });
}

/** An event stream; an error at the end breaks it. */
export function stream(parts, broken = false) {
  const body = new ReadableStream({
    async start(controller) {
      for (const part of parts) controller.enqueue(typeof part === "string" ? new TextEncoder().encode(part) : part);
      // The parts that were written are read before the stream breaks.
      await new Promise((resolve) => setTimeout(resolve, 5));
      if (broken) controller.error(lost());
      else controller.close();
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}

/** Surroundings that answer requests from a list, and write down what was asked and waited for. */
export function script(...replies) {
  const requests = [];
  const sleeps = [];
  let keys = 0;
  let time = 0;
  return {
    requests,
    sleeps,
    around: {
      async fetch(request) {
        const body = request.body === null ? null : await request.clone().json();
        requests.push({ method: request.method, url: request.url, headers: request.headers, body });
        const reply = replies.shift();
        if (reply === undefined) throw new Error(`nothing was scripted for ${request.method} ${request.url}`);
        if (reply instanceof Error) throw reply;
        return reply;
      },
      async sleep(ms) {
        sleeps.push(ms);
        time += ms;
      },
      random: () => 0.5,
      newKey: () => `key-${(keys += 1)}`,
      now: () => time,
    },
  };
}
