// JavaScript classes that stand for the Worker's Python classes.
import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
import { backstage } from "./backstage.mjs";
import { boot } from "./boot.mjs";

// One interpreter per isolate, as when deployed.
let interpreter;
let booting;

/** Resolves to the interpreter; boots it at the first call, and again at the next one when that failed. */
async function python(ctx) {
  if (interpreter !== undefined) return interpreter;
  booting ??= start();
  // Keeps the boot alive when the request that began it goes away.
  ctx.waitUntil(booting.catch(() => {}));
  return booting;
}

async function start() {
  try {
    interpreter = await boot(onFatal);
    return interpreter;
  } catch (error) {
    console.error(JSON.stringify({ event: "python_boot_failed", error: String(error?.stack ?? error) }));
    throw error;
  } finally {
    booting = undefined;
  }
}

function onFatal(error) {
  // The launcher restarts the runtime when it reads this: an interpreter does not survive a WebAssembly trap.
  console.error(JSON.stringify({ event: "python_fatal", error: String(error?.stack ?? error) }));
}

async function construct(className, ctx, env) {
  const { main, construct } = await python(ctx);
  return construct.callWithOptions({ promising: true }, main, className, ctx, env);
}

async function call(ctx, instance, method, args) {
  const { call, moveClock } = await python(ctx);
  moveClock();
  return call.callWithOptions({ promising: true }, instance, method, ...args);
}

/** A Durable Object class whose `methods` call the Python class `className`. */
export function durableObject(className, methods) {
  const Stub = class extends DurableObject {
    pythonInstance() {
      this.instance ??= construct(className, this.ctx, this.env).catch((error) => {
        this.instance = undefined;
        throw error;
      });
      return this.instance;
    }
  };
  for (const method of methods) {
    Stub.prototype[method] = async function (...args) {
      return call(this.ctx, await this.pythonInstance(), method, args);
    };
  }
  return Stub;
}

/** The answer to a request that met an interpreter that did not boot. */
function bootFailure(error) {
  const message = "The Python Worker did not start; its traceback is in the log.";
  return Response.json(
    { type: "about:blank", title: message, status: 500, code: "python_boot_failed", detail: String(error) },
    { status: 500, headers: { "content-type": "application/problem+json" } },
  );
}

/** An entrypoint class whose `methods` call the Python class `className`; one instance per event, as when deployed. */
export function entrypoint(className, methods) {
  const Stub = class extends WorkerEntrypoint {};
  for (const method of methods) {
    Stub.prototype[method] = async function (...args) {
      const instance = await construct(className, this.ctx, this.env);
      try {
        return await call(this.ctx, instance, method, args);
      } finally {
        instance.destroy();
      }
    };
  }
  const { fetch } = Stub.prototype;
  Stub.prototype.fetch = async function (request) {
    const isLocal = request.headers.get("x-local-boot") === this.env.BOOT_TOKEN;
    const { pathname } = new URL(request.url);
    // The first request of all, which boots the interpreter, wants to know why that failed.
    const needsPython = !isLocal || pathname === "/heap";
    let interpreter;
    try {
      if (needsPython) interpreter = await python(this.ctx);
    } catch (error) {
      return bootFailure(error);
    }
    if (isLocal) return backstage(request, this.ctx, this.env, interpreter);
    return fetch.call(this, request);
  };
  return Stub;
}
