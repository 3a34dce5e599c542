// The same trivial steps on Cloudflare Workflows, and a bare Durable Object that inserts one row per step.
import { DurableObject, WorkflowEntrypoint } from "cloudflare:workers";

async function add(total, number) {
  return total + number;
}

export class Steps extends WorkflowEntrypoint {
  async run(event, step) {
    const { steps } = event.payload;
    const began = Date.now();
    let total = 0;
    for (let number = 0; number < steps; number += 1) {
      const before = total;
      total = await step.do(`add ${number}`, () => add(before, number));
    }
    return { steps, total, elapsed_ms: Date.now() - began };
  }
}

export class Floor extends DurableObject {
  async run(steps) {
    const { sql } = this.ctx.storage;
    sql.exec("create table step (name text primary key, result text)");
    const began = Date.now();
    let total = 0;
    for (let number = 0; number < steps; number += 1) {
      total = await add(total, number);
      sql.exec("insert into step (name, result) values (?, ?)", `add:${number}`, JSON.stringify(total));
    }
    return { steps, total, elapsed_ms: Date.now() - began };
  }
}

const ROUTES = {
  async "/workflow/start"({ STEPS }, query) {
    const instance = await STEPS.create({ params: { steps: Number(query.get("steps")) } });
    return { id: instance.id };
  },
  async "/workflow/status"({ STEPS }, query) {
    const { status, output, error } = await (await STEPS.get(query.get("id"))).status();
    return { status, output: output ?? null, error: error ? String(error.message ?? error) : null };
  },
  async "/floor"({ FLOORS }, query) {
    return FLOORS.getByName(query.get("name")).run(Number(query.get("steps")));
  },
};

export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    const route = ROUTES[pathname];
    return route ? Response.json(await route(env, searchParams)) : new Response("no such route", { status: 404 });
  },
};
