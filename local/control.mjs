// A loopback server for tests and the demo: does to the running Worker what no HTTP caller of a deployment can.
//
//   POST /evict {"class", "name"}             forget the object's memory; its storage stays
//   PUT|GET|DELETE /r2/KEY?bucket=BINDING     write, read or remove an object, streamed; of the first bucket by default
//   GET /r2?bucket=BINDING                    every key: {"keys"}
//   POST /queue/NAME {"messages": [{body}]}   hand messages to the consumer at once, for instance duplicates
//   POST /scheduled {"cron", "scheduledTime"} run the scheduled handler; both fields may be left out
//   GET /heap                                 the interpreter's peak memory: {"heap_bytes"}
import http from "node:http";
import { timingSafeEqual } from "node:crypto";
import { Readable } from "node:stream";
import { json } from "node:stream/consumers";

class ControlError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function readJson(request) {
  try {
    return await json(request);
  } catch {
    throw new ControlError(400, "the body is not JSON");
  }
}

function sendJson(response, status, body) {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

async function evict(mf, options, request) {
  return backstage(mf, options, "/evict", await readJson(request));
}

async function scheduled(mf, options, request) {
  const { cron = options.crons[0], scheduledTime } = await readJson(request);
  return runScheduled(mf, options, cron, scheduledTime);
}

async function queue(mf, options, request, name) {
  const { messages } = await readJson(request);
  const now = Date.now();
  const batch = messages.map((message, index) => ({
    id: message.id ?? `control-${now}-${index}`,
    timestamp: now,
    attempts: message.attempts ?? 1,
    body: message.body,
  }));
  return backstage(mf, options, `/queue/${encodeURIComponent(name)}`, batch);
}

async function heap(mf, options) {
  return backstage(mf, options, "/heap");
}

/** Passes the request on to the bucket: inside workerd the body streams, whatever its size. */
async function blob(mf, { bootToken }, request, key, response) {
  const { search } = new URL(request.url, "http://control.local");
  const hasBody = request.method === "PUT";
  const headers = { "x-local-boot": bootToken };
  if (hasBody) headers["content-length"] = request.headers["content-length"] ?? "0";
  const path = key === undefined ? "r2" : `r2/${encodeURIComponent(key)}`;
  const answer = await mf.dispatchFetch(`http://stack.local/${path}${search}`, {
    method: request.method,
    headers,
    ...(hasBody && { body: Readable.toWeb(request), duplex: "half" }),
  });
  response.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "application/json" });
  if (answer.body === null) response.end();
  else Readable.fromWeb(answer.body).pipe(response);
}

/** Asks what runs inside workerd (backstage.mjs); resolves to its JSON. */
async function backstage(mf, { bootToken }, path, body) {
  const answer = await mf.dispatchFetch(`http://stack.local${path}`, {
    method: body === undefined ? "GET" : "POST",
    headers: { "x-local-boot": bootToken },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const result = await answer.json();
  if (!answer.ok) throw new ControlError(answer.status, result.error ?? result.detail);
  return result;
}

/** Runs the Worker's scheduled handler, which is to end well. */
export async function runScheduled(mf, options, cron, scheduledTime = Date.now()) {
  const result = await backstage(mf, options, "/scheduled", { cron, scheduledTime });
  if (result.outcome !== "ok") throw new ControlError(500, `the scheduled handler ended with ${result.outcome}`);
  return result;
}

const ROUTES = [
  [/^POST \/evict$/, evict],
  [/^POST \/scheduled$/, scheduled],
  [/^GET \/heap$/, heap],
  [/^POST \/queue\/([^/]+)$/, queue],
  [/^GET \/r2$/, blob],
  [/^(?:PUT|GET|DELETE) \/r2\/(.+)$/, blob],
];

function authorized(request, apiKey) {
  const given = Buffer.from(request.headers.authorization ?? "");
  const expected = Buffer.from(`Bearer ${apiKey}`);
  return given.length === expected.length && timingSafeEqual(given, expected);
}

async function answer(mf, options, request, response) {
  if (!authorized(request, options.apiKey)) throw new ControlError(401, "a bearer key is needed");
  const target = `${request.method} ${decodeURIComponent(new URL(request.url, "http://control.local").pathname)}`;
  for (const [pattern, handler] of ROUTES) {
    const match = pattern.exec(target);
    if (match === null) continue;
    const result = await handler(mf, options, request, match[1], response);
    if (result !== undefined) sendJson(response, 200, result);
    return;
  }
  throw new ControlError(404, "no such control");
}

/** Starts the server on a free loopback port; resolves to its URL. */
export async function startControl(mf, options) {
  const server = http.createServer((request, response) => {
    answer(mf, options, request, response).catch((error) => {
      if (response.headersSent) response.destroy(error);
      else sendJson(response, error.status ?? 500, { error: error.message });
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${server.address().port}`;
}
