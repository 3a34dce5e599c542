import { duration, layout, moment, tone } from "./timeline.js";

// The address names the job that is looked at, so that it can be kept, and gone back to.
const [token, first] = location.hash.slice(1).split("/");
const filters = document.querySelector("#filters");
const ENDED = ["completed", "failed", "cancelled", "expired"];
const REFRESH_MS = 1_500;
let selected = first || null;
let cursors = [null];

async function call(path, body) {
  const answer = await fetch(path, {
    method: body === undefined ? "GET" : "POST",
    headers: { "x-dashboard-token": token },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const found = await answer.json();
  if (!answer.ok) throw new Error(`${found.code}: ${found.detail}`);
  return found;
}

// What jobs hold is text of strangers: it only ever becomes text nodes and attributes.
function make(tag, options = {}, ...children) {
  const { on = {}, ...attributes } = options;
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  for (const [name, handler] of Object.entries(on)) node.addEventListener(name, handler);
  node.append(...children.filter((child) => child !== null));
  return node;
}

const status = (name) => make("span", { class: `status ${tone(name)}` }, name);
const time = (at) => make("time", { datetime: at, title: at }, moment(new Date(at), new Date()));
const section = (title, value) =>
  value === null || value === undefined
    ? []
    : [make("h3", {}, title), make("pre", {}, typeof value === "string" ? value : JSON.stringify(value, null, 2))];

async function showList() {
  const query = new URLSearchParams({ limit: "50", partial: "true" });
  for (const name of ["status", "workflow", "tag"]) if (filters[name].value) query.set(name, filters[name].value);
  if (cursors.at(-1)) query.set("cursor", cursors.at(-1));
  const page = await call(`/v1/jobs?${query}`);
  const rows = page.jobs.map((job) =>
    make(
      "tr",
      { "aria-selected": String(job.id === selected), tabindex: "0", on: { click: () => select(job.id), keydown: (event) => event.key === "Enter" && select(job.id) } },
      make("td", {}, status(job.status)),
      make("td", {}, job.workflow, make("br"), make("code", { class: "dim" }, job.id)),
      make("td", { class: "whole" }, time(job.created_at)),
      make("td", { class: "dim whole" }, duration(Date.parse(job.finished_at ?? new Date().toISOString()) - Date.parse(job.created_at))),
      make("td", { class: "more" }, job.tags.join(", "), job.error ? make("div", { class: "bad" }, job.error) : ""),
    ),
  );
  const head = make("tr", {}, ...["status", "workflow", "created", "took"].map((name) => make("th", {}, name)), make("th", { class: "more" }, "tags, error"));
  const turn = (change) => () => {
    change();
    refresh();
  };
  document.querySelector("#list").replaceChildren(
    make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)),
    rows.length ? "" : make("p", { class: "dim" }, "No job matches."),
    make(
      "p",
      { class: "actions" },
      cursors.length > 1 ? make("button", { on: { click: turn(() => cursors.pop()) } }, "newer") : "",
      page.next_cursor ? make("button", { on: { click: turn(() => cursors.push(page.next_cursor)) } }, "older") : "",
    ),
  );
}

async function showJob() {
  document.querySelector("main").className = selected ? "split" : "";
  if (!selected) return;
  const [job, { steps }] = await Promise.all([call(`/v1/jobs/${selected}`), call(`/v1/jobs/${selected}/steps`)]);
  document.querySelector("#job").replaceChildren(
    make("h2", {}, job.workflow, " ", status(job.status), make("button", { class: "close", "aria-label": "close", on: { click: () => select(null) } }, "×")),
    make("code", { class: "dim" }, job.id),
    facts(job),
    actions(job),
    job.progress ? progress(job.progress) : "",
    ...job.waits.map((wait) => make("p", {}, `waits: ${wait.reason}`, wait.due_at ? " until " : "", wait.due_at ? time(wait.due_at) : "")),
    ...section("Error", job.error && `${job.error.code}: ${job.error.message}${job.error.cause ? `\n${job.error.cause}` : ""}`),
    steps.length ? timeline(job, steps) : "",
    ...section("Result", job.result),
    ...section("Metadata", Object.keys(job.metadata).length ? job.metadata : null),
  );
}

function facts(job) {
  const found = [
    ["created", time(job.created_at)],
    ["took", job.started_at && duration(Date.parse(job.finished_at ?? new Date().toISOString()) - Date.parse(job.started_at))],
    ["steps", job.steps],
    ["slices", job.slices],
    ["crashes", job.crashes || null],
    ["tenant", job.tenant],
    ["tags", job.tags.join(", ") || null],
    ["cost", `$${job.cost.estimated_usd.toPrecision(2)}`],
  ];
  const shown = found.filter(([, value]) => value !== null && value !== undefined);
  const parent = job.parent_id
    ? [make("span", {}, make("span", { class: "dim" }, "parent "), make("button", { on: { click: () => select(job.parent_id) } }, job.parent_id))]
    : [];
  return make("div", { class: "facts" }, ...shown.map(([name, value]) => make("span", {}, make("span", { class: "dim" }, `${name} `), value instanceof Node ? value : String(value))), ...parent);
}

function actions(job) {
  const offered = ENDED.includes(job.status) ? (job.status === "completed" ? [] : ["retry"]) : job.status === "paused" ? ["resume", "cancel"] : ["pause", "cancel"];
  const act = (name) => async () => {
    if (name === "cancel" && !confirm(`Cancel ${job.id}?`)) return;
    await say(() => call(`/v1/jobs/${job.id}/${name}`, {}));
    refresh();
  };
  return make("div", { class: "actions" }, ...offered.map((name) => make("button", { on: { click: act(name) } }, name)));
}

function progress({ done, total, unit }) {
  const text = total ? `${done} / ${total} ${unit}` : `${done} ${unit}`;
  return make("p", {}, total ? make("progress", { value: done, max: total }) : "", text);
}

function timeline(job, steps) {
  const { rows, left } = layout(job, steps, Date.now());
  const bars = rows.map((row) =>
    make(
      "tr",
      { title: `${row.kind}, ${row.status}${row.note ? `, ${row.note}` : ""}` },
      make("td", {}, make("span", { class: row.tone }, row.key), row.note ? make("div", { class: "dim" }, row.note) : ""),
      make("td", {}, bar(row)),
      make("td", { class: "dim" }, row.took),
    ),
  );
  return make(
    "div",
    {},
    make("h3", {}, "Timeline"),
    left ? make("p", { class: "dim" }, `${left} earlier steps are not shown`) : "",
    make("table", { class: "timeline" }, make("tbody", {}, ...bars)),
  );
}

function bar({ begin, width, tone: colour }) {
  const space = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(space, "svg");
  picture.setAttribute("class", `bar ${colour}`);
  const shape = document.createElementNS(space, "rect");
  const shown = { x: `${begin}%`, width: `${width}%`, height: "100%", rx: "2", fill: "currentColor" };
  for (const [name, value] of Object.entries(shown)) shape.setAttribute(name, value);
  picture.append(shape);
  return picture;
}

function select(id) {
  location.hash = id ? `${token}/${id}` : token;
}

window.addEventListener("hashchange", () => {
  selected = location.hash.slice(1).split("/")[1] || null;
  document.querySelector("#job").replaceChildren();
  refresh();
});

async function say(work) {
  const state = document.querySelector("#state");
  try {
    await work();
    state.textContent = `live, ${new Date().toLocaleTimeString()}`;
    state.className = "";
  } catch (error) {
    state.textContent = error.message;
    state.className = "bad";
  }
}

const refresh = () => say(() => Promise.all([showList(), showJob()]));

async function follow() {
  if (!document.hidden) await refresh();
  setTimeout(follow, REFRESH_MS);
}

filters.addEventListener("submit", (event) => event.preventDefault());
filters.addEventListener("change", () => {
  cursors = [null];
  if (filters.job.value) select(filters.job.value.trim());
  filters.job.value = "";
  refresh();
});
say(async () => {
  const { workflows } = await call("/v1/workflows");
  for (const { name } of workflows) filters.workflow.append(make("option", {}, name));
});
follow();
