// Boots Pyodide inside workerd and imports the Worker's main module.
//
// A deployed Python Worker gets its interpreter from the platform. That bundle is downloaded at run time, so the
// local runtime loads the same Pyodide release from its npm package instead. workerd forbids what Pyodide does in a
// browser (compiling WebAssembly from bytes, fetching its own files), hence the stand-ins below.
import * as workersModule from "cloudflare:workers";
import * as socketsModule from "cloudflare:sockets";
import createPyodideModule from "./pyodide.asm.mjs";
import interpreterWasm from "./pyodide.asm.wasm";
import lockFile from "./pyodide-lock.json";
import { loadPyodide } from "./pyodide.mjs";
import settings from "./settings.json";
import adapterSource from "./adapter.py.txt";
import filesZip from "./files.zip";
import libraryZip from "./library.zip";
import stdlibZip from "./stdlib.zip";

const ORIGIN = "http://pyodide.local/";
const LIBRARY_PATH = "/lib/library.zip";

let compatibilityInstalled = false;

/**
 * Makes the clock stand still between I/O, as when deployed (platform.md §1.6): it moves when an event comes in, a
 * timer fires, a fetch is answered or a socket is read. What else is I/O when deployed does not move it: stricter.
 * Not before everything is imported: Python sees new files by the times of their folders.
 */
let moveClock = () => {};

function freezeClock() {
  const { setTimeout: realTimeout, fetch: realFetch } = globalThis;
  const realNow = Date.now;
  let now = realNow();
  const move = () => {
    now = realNow();
  };
  Date.now = () => now;
  performance.now = () => now - performance.timeOrigin;
  globalThis.setTimeout = (callback, delay, ...args) =>
    realTimeout(
      (...given) => {
        move();
        callback(...given);
      },
      delay,
      ...args,
    );
  globalThis.fetch = (...args) => realFetch(...args).finally(move);
  return move;
}

/** A socket whose reads move a frozen clock. */
function connect(...args) {
  const socket = socketsModule.connect(...args);
  if (!settings.frozenClock) return socket;
  const moving = new TransformStream({
    transform(chunk, controller) {
      moveClock();
      controller.enqueue(chunk);
    },
  });
  const readable = socket.readable.pipeThrough(moving);
  return new Proxy(socket, {
    get(target, name) {
      if (name === "readable") return readable;
      const value = target[name];
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** WebAssembly from bytes: Python's extension modules are compiled through workerd's debug-only eval binding. */
function installCompatibility() {
  if (compatibilityInstalled) return;
  const { instantiate, Module } = WebAssembly;
  const compile = (source) => {
    const bytes = ArrayBuffer.isView(source) ? source : new Uint8Array(source);
    return workersModule.env.UNSAFE_EVAL.newWasmModule(bytes);
  };
  WebAssembly.Module = new Proxy(Module, { construct: (_target, [source]) => compile(source) });
  WebAssembly.compile = async (source) => compile(source);
  WebAssembly.instantiate = async (source, imports) => {
    if (source instanceof Module) return instantiate(source, imports);
    const module = compile(source);
    return { module, instance: await instantiate(module, imports) };
  };
  WebAssembly.instantiateStreaming = async (_response, imports) => ({
    module: interpreterWasm,
    instance: await instantiate(interpreterWasm, imports),
  });
  globalThis.location ??= new URL(ORIGIN);
  compatibilityInstalled = true;
}

/** Runs `body` while Pyodide's own downloads are answered from the modules above. */
async function withBundledFiles(body) {
  const { fetch: realFetch, addEventListener: realListener } = globalThis;
  globalThis.addEventListener = () => {};
  globalThis.fetch = async (resource, options) => {
    const url = String(resource);
    if (url.endsWith("python_stdlib.zip")) return new Response(stdlibZip);
    if (url.endsWith("pyodide.asm.wasm")) return new Response("");
    return realFetch(resource, options);
  };
  try {
    return await body();
  } finally {
    globalThis.fetch = realFetch;
    globalThis.addEventListener = realListener;
  }
}

/** The two modules that the platform gives to its Python SDK. */
function registerPlatform(pyodide) {
  pyodide.registerJsModule("_pyodide_entrypoint_helper", {
    cloudflareWorkersModule: workersModule,
    cloudflareSocketsModule: socketsModule,
    doAnImport: (name) => import(name),
    patchWaitUntil() {},
  });
  pyodide.registerJsModule("_cloudflare_compat_flags", settings.compatibilityFlags);
}

/** Puts the packages on the path: pure ones stay in their archive, the rest is unpacked. */
function installPackages(pyodide) {
  const sitePackages = pyodide.runPython("import site; site.getsitepackages()[0]");
  pyodide.unpackArchive(filesZip, "zip", { extractDir: sitePackages });
  pyodide.FS.writeFile(LIBRARY_PATH, new Uint8Array(libraryZip), { canOwn: true });
  pyodide.globals.set("_library", LIBRARY_PATH);
  pyodide.runPython("import sys; sys.path.append(_library); del _library");
  pyodide.FS.writeFile(`${sitePackages}/_local_adapter.py`, adapterSource);
}

/**
 * Boots the interpreter and imports the main module.
 *
 * Resolves to the main module, the adapter's functions, a probe of the memory in use and what moves a frozen clock; rejects with the Python
 * traceback when an import fails.
 */
export async function boot(onFatal) {
  const phases = {};
  let last = Date.now();
  const mark = (phase) => {
    const now = Date.now();
    phases[`${phase}_ms`] = now - last;
    last = now;
  };
  installCompatibility();
  const pyodide = await withBundledFiles(() =>
    loadPyodide({
      indexURL: ORIGIN,
      packageBaseUrl: ORIGIN,
      lockFileContents: lockFile,
      createPyodideModule,
      stdout: (line) => console.log(line),
      stderr: (line) => console.error(line),
    }),
  );
  mark("interpreter");
  pyodide._api.on_fatal = onFatal;
  registerPlatform(pyodide);
  await pyodide._api.initializeNodeSockFS(connect);
  installPackages(pyodide);
  mark("packages");
  const importModule = pyodide.pyimport("importlib").import_module;
  const adapter = await importModule.callPromising("_local_adapter");
  mark("sdk");
  const main = await importModule.callPromising(settings.main);
  mark("main_module");
  if (settings.frozenClock) moveClock = freezeClock();
  console.log(JSON.stringify({ event: "python_ready", ...phases }));
  // WebAssembly memory never shrinks, so its size is its peak.
  const heapBytes = () => pyodide._module.HEAP8.length;
  return { main, construct: adapter.construct, call: adapter.call, heapBytes, moveClock: () => moveClock() };
}
