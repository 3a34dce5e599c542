// What the launcher alone may ask of the running Worker, answered inside workerd. control.mjs passes on what it is asked.
//
// Not through miniflare's own stubs (getWorker, unsafeEvictDurableObject, bindings): their first calls block Node until
// workerd answers, and workerd may be waiting for Node to read what it has printed (decision 0050).
import unsafe from "workerd:unsafe";
import settings from "./settings.json";

/** Answers a request whose boot token was right; what goes wrong is in the answer. */
export async function backstage(...given) {
  try {
    return await answer(...given);
  } catch (error) {
    return Response.json({ error: String(error?.message ?? error) }, { status: 500 });
  }
}

async function answer(request, ctx, env, interpreter) {
  const { pathname, searchParams } = new URL(request.url);
  const [, route, name] = pathname.split("/").map(decodeURIComponent);
  switch (route) {
    case "r2": {
      const bucket = env[searchParams.get("bucket") ?? settings.bucket];
      return name === undefined ? keys(bucket) : blob(bucket, request, name);
    }
    case "evict": {
      const { class: className, name: objectName } = await request.json();
      const objects = ctx.exports[className];
      if (objects === undefined) return Response.json({ error: "no such class" }, { status: 404 });
      await unsafe.evict(objects.getByName(objectName), {});
      return Response.json({});
    }
    case "scheduled": {
      const { cron, scheduledTime } = await request.json();
      return Response.json(await ctx.exports.default.scheduled({ cron, scheduledTime: new Date(scheduledTime) }));
    }
    case "queue": {
      const messages = (await request.json()).map((message) => ({ ...message, timestamp: new Date(message.timestamp) }));
      return Response.json(await ctx.exports.default.queue(name, messages));
    }
    case "heap":
      return Response.json({ heap_bytes: interpreter.heapBytes() });
    default:
      return Response.json({ error: "no such control" }, { status: 404 });
  }
}

async function keys(bucket) {
  const found = [];
  let cursor;
  do {
    const page = await bucket.list({ cursor });
    found.push(...page.objects.map((object) => object.key));
    cursor = page.truncated ? page.cursor : undefined;
  } while (cursor !== undefined);
  return Response.json({ keys: found });
}

/** The launcher's own access to the buckets: a test or the demo puts its documents there. */
async function blob(bucket, request, key) {
  if (request.method === "PUT") {
    const { size, etag } = await bucket.put(key, request.body ?? "");
    return Response.json({ key, size, etag });
  }
  if (request.method === "DELETE") {
    await bucket.delete(key);
    return Response.json({ key });
  }
  const object = await bucket.get(key);
  if (object === null) return Response.json({ error: "no such object" }, { status: 404 });
  return new Response(object.body, { headers: { "content-type": "application/octet-stream" } });
}
