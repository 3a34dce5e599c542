// The peer Worker in miniflare, the release that the local runtime uses too. Started by the bench, which sends one line
// of JSON, {"state"}; prints {"url"} when it answers; ends when its standard input does.
import fs from "node:fs";
import path from "node:path";
import readline from "node:readline";
import { createRequire } from "node:module";
import { Miniflare } from "miniflare";

const require = createRequire(import.meta.url);
const here = import.meta.dirname;
const name = "workflows-peer";

const line = await new Promise((resolve) => readline.createInterface({ input: process.stdin }).once("line", resolve));
const { state } = JSON.parse(line);

// workerd is to end with this process, however that ends: see local/workerd.
process.env.WORKERD_BINARY = require("workerd").default;
process.env.WORKERD_PARENT = String(process.pid);
process.env.WORKERD_PID_FILE = path.join(state, "workerd.pid");
process.env.MINIFLARE_WORKERD_PATH = path.join(here, "..", "..", "local", "workerd");

const mf = new Miniflare({
  host: "127.0.0.1",
  port: 0,
  cf: false,
  enableDevRegistry: false,
  logRequests: false,
  telemetry: { enabled: false },
  resourcePersistencePath: path.join(state, "worker"),
  resourceTmpPath: path.join(state, "tmp"),
  workers: [
    {
      config: {
        name,
        compatibilityDate: "2026-11-01",
        manifest: {
          mainModule: "worker.mjs",
          modulesRoot: "/",
          modules: { "worker.mjs": { type: "esm", contents: fs.readFileSync(path.join(here, "worker.mjs"), "utf8") } },
        },
        env: {
          STEPS: { type: "workflow", name: "steps", worker: name, exportName: "Steps", unsafeConfig: { limits: { steps: 25_000 } } },
          FLOORS: { type: "durable-object", worker: name, exportName: "Floor" },
        },
        exports: { Floor: { type: "durable-object", storage: "sqlite" } },
      },
    },
  ],
});

process.stdin.once("end", async () => {
  await mf.dispose();
  process.exit(0);
});
console.log(JSON.stringify({ url: String(await mf.ready) }));
