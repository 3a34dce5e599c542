// Completes package-lock.json: `npm ci` wants an entry for every optional dependency, but npm writes none for a
// platform whose binary the registry in use does not have. Entries for other platforms are never installed.
import fs from "node:fs";

const OS = { darwin: "darwin", windows: "win32", linux: "linux" };
const lock = JSON.parse(fs.readFileSync("package-lock.json", "utf8"));
for (const { optionalDependencies = {} } of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(optionalDependencies)) {
    const platform = /^@cloudflare\/workerd-(\w+)-(arm64|64)$/.exec(name);
    if (platform === null) continue;
    const [, os, cpu] = platform;
    const only = { os: [OS[os]], cpu: [cpu === "64" ? "x64" : cpu] };
    lock.packages[`node_modules/${name}`] ??= { version, optional: true, ...only };
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
fs.writeFileSync("package-lock.json", `${JSON.stringify(lock, null, 2)}\n`);
