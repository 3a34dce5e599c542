// Compiles Python sources to bytecode with the interpreter that will run them: Pyodide, here under Node.
// Reads {"jobs": [{"source", "shown", "target"}]} from standard input; writes the files named as targets. Sources that do
// not compile are told as {"errors": ["file, line: what is wrong"]}.
import { loadPyodide } from "pyodide";
import { text } from "node:stream/consumers";

const { jobs } = JSON.parse(await text(process.stdin));
const pyodide = await loadPyodide();
pyodide.FS.mkdirTree("/host");
pyodide.FS.mount(pyodide.FS.filesystems.NODEFS, { root: "/" }, "/host");
pyodide.globals.set("jobs", JSON.stringify(jobs));
const errors = JSON.parse(
  pyodide.runPython(`
import json, py_compile

errors = []
for job in json.loads(jobs):
    try:
        py_compile.compile(
            "/host" + job["source"],
            cfile="/host" + job["target"],
            dfile=job["shown"],
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
    except py_compile.PyCompileError as error:
        cause = error.exc_value
        place = f", line {cause.lineno}" if getattr(cause, "lineno", None) else ""
        text = f": {cause.text.strip()}" if getattr(cause, "text", None) else ""
        errors.append(f"{job['source']}{place}: {error.exc_type_name}: {getattr(cause, 'msg', cause)}{text}")
json.dumps(errors)
`),
);
if (errors.length) {
  process.stdout.write(JSON.stringify({ errors }));
  process.exitCode = 1;
}
