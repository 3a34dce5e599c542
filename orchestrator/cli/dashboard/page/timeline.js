// Where each step of a job lies in its time: pure, so that it is tested without a browser.

const GROUPS = {
  good: ["completed"],
  busy: ["queued", "running", "cancelling"],
  rest: ["suspended", "waiting", "paused", "retrying"],
  bad: ["failed", "cancelled", "expired"],
};

/** Which of the four colours a status has. */
export function tone(status) {
  return Object.keys(GROUPS).find((name) => GROUPS[name].includes(status)) ?? "dim";
}

/** A moment for somebody who looks at `now`: the time of today, or also the day. */
export function moment(at, now) {
  const clock = at.toLocaleTimeString();
  return at.toDateString() === now.toDateString() ? clock : `${at.toLocaleDateString()} ${clock}`;
}

/** A length of time in words, from ms. */
export function duration(ms) {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  const units = [
    ["d", 86_400_000],
    ["h", 3_600_000],
    ["min", 60_000],
    ["s", 1_000],
  ];
  const first = units.findIndex(([, size]) => ms >= size);
  const [name, size] = units[first];
  const [smaller, smallerSize] = units[Math.min(first + 1, units.length - 1)];
  const rest = Math.floor((ms % size) / smallerSize);
  return rest && smaller !== name ? `${Math.floor(ms / size)} ${name} ${rest} ${smaller}` : `${Math.floor(ms / size)} ${name}`;
}

/**
 * The rows of a job's timeline.
 *
 * @param {object} job as the API answers it
 * @param {object[]} steps as the API answers them
 * @param {number} nowMs the time, Unix ms
 * @param {number} most rows at most: the latest steps
 * @returns {{rows: object[], left: number}} rows with `begin` and `width` in percent of the job's time, and how many
 *   earlier steps are left out
 */
export function layout(job, steps, nowMs, most = 200) {
  const beginMs = Date.parse(job.started_at ?? job.created_at);
  const endMs = Math.max(beginMs + 1, job.finished_at ? Date.parse(job.finished_at) : nowMs);
  const shown = steps.slice(-most);
  const percent = (ms) => (100 * Math.min(Math.max(ms - beginMs, 0), endMs - beginMs)) / (endMs - beginMs);
  const rows = shown.map((step) => {
    const fromMs = Date.parse(step.started_at);
    const toMs = step.finished_at ? Date.parse(step.finished_at) : endMs;
    const width = Math.max(percent(toMs) - percent(fromMs), 0.4);
    return {
      key: step.key,
      kind: step.kind,
      tone: tone(step.status),
      status: step.status,
      begin: Math.min(percent(fromMs), 100 - width), // what took no time at the very end is to be seen, too
      width,
      took: duration(Math.max(toMs - fromMs, 0)),
      note: note(step),
    };
  });
  return { rows, left: steps.length - shown.length };
}

function note(step) {
  const parts = [];
  if (step.attempt > 1) parts.push(`attempt ${step.attempt}`);
  for (const [name, value] of Object.entries(step.counters ?? {})) parts.push(`${value} ${name}`);
  if (step.error) parts.push(`${step.error.code}: ${step.error.message}`);
  return parts.join(", ");
}
