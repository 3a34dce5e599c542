// The Worker in miniflare. Started by the launcher, which sends one line of JSON with the settings; ends when its
// standard input does. Standard output carries one JSON object a line: log lines, and events for the launcher.
import fs from "node:fs";
import path from "node:path";
import readline from "node:readline";
import { randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import { Log, LogLevel, Miniflare } from "miniflare";
import { runScheduled, startControl } from "./control.mjs";

/** How long workerd may take to end before the process ends without it. */
const STOP_TIMEOUT_MS = 3_000;
const MINUTE_MS = 60_000;

const require = createRequire(import.meta.url);
const emit = (record) => process.stdout.write(`${JSON.stringify(record)}\n`);
const event = (name, fields = {}) => emit({ launcher: name, ...fields });

/** One log line: what is a JSON object already keeps its fields. */
function logLine(level, message, source, timestamp = Date.now()) {
  let fields = { message };
  if (message.startsWith("{")) {
    try {
      fields = JSON.parse(message);
    } catch {
      // Not JSON after all: a plain message.
    }
  }
  emit({ time: new Date(Number(timestamp)).toISOString(), level, source, ...fields });
  if (fields.event === "python_fatal" && source === "worker") killRuntime();
}

class StackLog extends Log {
  log(message) {
    logLine("info", message, "miniflare");
  }
  logWithLevel(level, message) {
    if (level > this.level) return;
    const name = { [LogLevel.ERROR]: "error", [LogLevel.WARN]: "warn" }[level] ?? "info";
    logLine(name, message, "miniflare");
  }
}

function modules(settings) {
  const here = import.meta.dirname;
  const pyodide = path.dirname(require.resolve("pyodide/package.json"));
  const text = (folder, name) => fs.readFileSync(path.join(folder, name), "utf8");
  const bytes = (folder, name) => fs.readFileSync(path.join(folder, name));
  return {
    "main.mjs": { type: "esm", contents: settings.mainModule },
    "host.mjs": { type: "esm", contents: text(here, "host.mjs") },
    "backstage.mjs": { type: "esm", contents: text(here, "backstage.mjs") },
    "boot.mjs": { type: "esm", contents: text(here, "boot.mjs") },
    "settings.json": { type: "json", contents: JSON.stringify(settings.python) },
    "adapter.py.txt": { type: "text", contents: text(here, "adapter.py") },
    "pyodide.mjs": { type: "esm", contents: text(pyodide, "pyodide.mjs") },
    "pyodide.asm.mjs": { type: "esm", contents: text(pyodide, "pyodide.asm.mjs") },
    "pyodide.asm.wasm": { type: "wasm", contents: bytes(pyodide, "pyodide.asm.wasm") },
    "pyodide-lock.json": { type: "text", contents: text(pyodide, "pyodide-lock.json") },
    "stdlib.zip": { type: "data", contents: fs.readFileSync(settings.archives.stdlib) },
    "library.zip": { type: "data", contents: fs.readFileSync(settings.archives.library) },
    "files.zip": { type: "data", contents: fs.readFileSync(settings.archives.files) },
  };
}

/** The first line of standard input; what follows is never sent, but its end is noticed. */
function firstLine(input) {
  return new Promise((resolve) => readline.createInterface({ input }).once("line", resolve));
}

let mf;
let stopping = false;
async function stop() {
  if (stopping) return;
  stopping = true;
  setTimeout(() => process.exit(1), STOP_TIMEOUT_MS).unref();
  await mf?.dispose();
  process.exit(0);
}

const settings = JSON.parse(await firstLine(process.stdin));
process.stdin.once("end", stop);

const pidFile = path.join(settings.state, "workerd.pid");
const runtimePid = () => Number(fs.readFileSync(pidFile, "utf8"));
function killRuntime() {
  process.kill(runtimePid(), "SIGKILL");
}
process.env.WORKERD_BINARY = require("workerd").default;
process.env.WORKERD_PARENT = String(process.pid);
process.env.WORKERD_PID_FILE = pidFile;
process.env.MINIFLARE_WORKERD_PATH = path.join(import.meta.dirname, "workerd");

const bootToken = randomBytes(16).toString("hex");

/** Waits until the interpreter has imported the main module; a failure is in the log already. */
async function bootPython(mf) {
  const answer = await mf.dispatchFetch("http://stack.local/heap", { headers: { "x-local-boot": bootToken } });
  const body = await answer.text();
  if (answer.ok) return undefined;
  const lines = (body.startsWith("{") ? JSON.parse(body).detail : body).trim().split("\n");
  // The last error line of a Python traceback says what went wrong, and its last line in our code where; the log has the rest.
  const error = lines.findLast((line) => /^[\w.]+(Error|Exception|Exit|Interrupt)\b/.test(line)) ?? lines.at(-1);
  const places = [...body.matchAll(/\/site-packages\/([^"\\]+)\\*", line (\d+)/g)];
  return places.length ? `${error} (${places.at(-1)[1]}, line ${places.at(-1)[2]})` : error;
}

/** Fires the crons at every full minute: miniflare knows them but has no clock for them. */
function startCrons() {
  const wait = MINUTE_MS - (Date.now() % MINUTE_MS);
  setTimeout(async () => {
    startCrons();
    const scheduledTime = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS;
    for (const cron of settings.crons) {
      try {
        await runScheduled(mf, { bootToken }, cron, scheduledTime);
      } catch (error) {
        logLine("error", JSON.stringify({ event: "cron_failed", cron, error: String(error) }), "launcher");
      }
    }
  }, wait).unref();
}

const startedAt = Date.now();
mf = new Miniflare({
  host: "127.0.0.1",
  port: settings.port,
  cf: false,
  enableDevRegistry: false,
  log: new StackLog(LogLevel.WARN),
  logRequests: false,
  telemetry: { enabled: false },
  resourcePersistencePath: path.join(settings.state, "worker"),
  resourceTmpPath: path.join(settings.state, "tmp"),
  handleStructuredLogs: ({ level, message, timestamp }) => logLine(level, message, "worker", timestamp),
  unsafeHandleRuntimeRestart: async () => {
    event("workerd_restarted", { workerd_pid: runtimePid() });
    const failure = await bootPython(mf);
    if (failure === undefined) event("python_restarted");
  },
  workers: [
    {
      config: {
        ...settings.worker,
        env: { ...settings.worker.env, BOOT_TOKEN: { type: "text", value: bootToken } },
        manifest: { mainModule: "main.mjs", modulesRoot: "/", modules: modules(settings) },
      },
      dev: { unsafeEvalBinding: "UNSAFE_EVAL" },
    },
  ],
});

try {
  await mf.ready;
  const runtimeMs = Date.now() - startedAt;
  event("workerd_started", { workerd_pid: runtimePid(), runtime_ms: runtimeMs });
  const failure = await bootPython(mf);
  if (failure !== undefined) throw new Error(`the Worker did not start: ${failure}`);
  const { apiKey, crons } = settings;
  const controlUrl = await startControl(mf, { apiKey, bootToken, crons });
  startCrons();
  event("ready", {
    workerd_pid: runtimePid(),
    control_url: controlUrl,
    runtime_ms: runtimeMs,
    python_ms: Date.now() - startedAt - runtimeMs,
  });
} catch (error) {
  event("failed", { code: error.code, message: error.message });
  process.exit(1);
}
