// Compiles Python sources to bytecode with the interpreter that will run them: Pyodide, here under Node.
// Reads {"jobs": [{"source", "shown", "target"}]} from standard input; writes the files named as targets.
import { loadPyodide } from "pyodide";
import { text } from "node:stream/consumers";

const { jobs } = JSON.parse(await text(process.stdin));
const pyodide = await loadPyodide();
pyodide.FS.mkdirTree("/host");
pyodide.FS.mount(pyodide.FS.filesystems.NODEFS, { root: "/" }, "/host");
pyodide.globals.set("jobs", JSON.stringify(jobs));
pyodide.runPython(`
import json, py_compile

for job in json.loads(jobs):
    py_compile.compile(
        "/host" + job["source"],
        cfile="/host" + job["target"],
        dfile=job["shown"],
        doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
`);
