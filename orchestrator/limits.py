"""Every bound of the engine in one place, each with its reason."""

from __future__ import annotations

from typing import Final

#: Largest value stored in one row. Production refuses rows above 2 MB, the local runtime does not (platform.md §1.1).
MAX_VALUE_BYTES: Final = 1_900_000
#: Largest result of a job: a parent keeps it in one row, with how its child ended.
MAX_RESULT_BYTES: Final = MAX_VALUE_BYTES - 20_000
#: Values of a job's row that are larger lie in rows of their own: three of them and the rest must fit one.
MAX_INLINE_BYTES: Final = 400_000
#: Longest text of an error that is kept.
MAX_ERROR_CHARS: Final = 4_000
#: Largest result of a step; above a row's size it goes to object storage. It is in memory whole, of 128 MB for all.
MAX_LARGE_VALUE_BYTES: Final = 16_000_000
#: Largest payload of a job (Trigger.dev's 3 MB, anchors.md §1a row 10); it is in memory whole while its job works.
MAX_PAYLOAD_BYTES: Final = 3_000_000
#: Largest HTTP request body: a payload, its other form as JSON, and the options.
MAX_BODY_BYTES: Final = 3_500_000
#: Deepest nesting of a JSON body; deeper ones are made to exhaust parsers.
MAX_JSON_DEPTH: Final = 64
#: Most headers of a request and bytes in them, and in its address: Cloudflare allows 128 KB in all, which no caller
#: of ours needs.
MAX_HEADERS: Final = 100
MAX_HEADER_BYTES: Final = 32_768
MAX_URI_BYTES: Final = 8_192
#: Requests per second that one caller may send to one isolate, unless set otherwise: about what an isolate can answer.
RATE_PER_S: Final = 500
MAX_RATE_PER_S: Final = 10_000
#: Most workflows that a key names.
MAX_KEY_WORKFLOWS: Final = 100
#: Longest name of a step, event or key: it is a primary key and is shown to people.
MAX_NAME_CHARS: Final = 256
#: Longest idempotency key; hashed, so only a guard against misuse.
MAX_IDEMPOTENCY_KEY_CHARS: Final = 1_024
#: Most items in one batch enqueue (design.md §5).
MAX_BATCH_JOBS: Final = 1_000
#: Most tags of a job, and the longest tag.
MAX_TAGS: Final = 16
MAX_TAG_CHARS: Final = 128
#: Furthest start in the future (a year, as Temporal and Cloudflare Workflows allow).
MAX_DELAY_MS: Final = 366 * 86_400_000
#: A debounced job waits at most this many times its debounce, unless told otherwise: calls that never stop must not
#: keep it from starting.
DEBOUNCE_MAX_TIMES: Final = 10

#: What a job may cost before it is paused, unless its workflow or its caller says otherwise: ten million rows, or
#: seventy days of work without a pause.
MAX_JOB_USD: Final = 10.0

#: An ended job is kept this long unless its options say otherwise (Temporal's and Cloudflare Workflows' 30 days).
RETENTION_MS: Final = 30 * 86_400_000
#: It is kept a little longer, by up to a tenth of that and an hour: jobs that ended together are not deleted together.
RETENTION_SPREAD: Final = 0.1
RETENTION_SPREAD_MS: Final = 3_600_000
#: Pages of a thousand large values that one tick of a deletion removes.
DELETE_PAGES: Final = 20
#: What a deleted job leaves behind for its idempotency key goes when nobody was sent on for this long: far longer than
#: a request lasts.
STUB_IDLE_MS: Final = 600_000
#: While the key's later job is there, this is asked only so often.
STUB_POLL_MS: Final = 86_400_000

#: A page of a job's export ends after this much: an answer between objects is in memory several times.
EXPORT_PAGE_BYTES: Final = 2_000_000

#: Most operations of one job: beyond it, replay and the step list stop being cheap. ``job.each`` counts as one.
MAX_OPERATIONS: Final = 25_000
#: Most events kept per job; older ones are dropped.
MAX_EVENTS: Final = 30_000
#: Steps of one job that are kept as dead letters; all of them are in its journal.
MAX_DEAD_STEPS: Final = 20
#: Most failures a fan-out remembers in full; the count is always exact.
MAX_FAILURES_KEPT: Final = 20

#: A dead slice comes back this long after it began (design.md §4.4 rule 1).
WATCHDOG_MS: Final = 10_000
#: An alarm is set at least this far ahead: inside ``alarm()`` one that is due by the time workerd sees it is dropped.
ALARM_LEAD_MS: Final = 5
#: An alarm that has not fired this long after its time is taken for lost: it may be a minute late (platform.md §1.4).
ALARM_LOST_MS: Final = 90_000
#: Jobs of one idempotency key asked in a row; more than two are a sign of many new jobs at this very moment.
MAX_GENERATIONS_ASKED: Final = 100
#: Most events kept for a workflow that does not wait for them.
MAX_WAITING_EVENTS: Final = 1_000
#: A slice takes no new work after this much wall time, read after I/O only (design.md §4.4).
SLICE_WALL_MS: Final = 5_000
#: Steps of a slice at first; halved when a slice dies, doubled up to the ceiling when it does not.
SLICE_UNITS: Final = 500
SLICE_UNITS_MAX: Final = 2_000
#: Operations of one job that run at the same time: a request has 6 outgoing connections (platform.md §1.1).
MAX_PARALLEL_STEPS: Final = 6
#: A step that kills its slice this often, run alone and with nothing finished in between, is poison.
MAX_STEP_CRASHES: Final = 4
#: A job whose slices die this often in a row, with nothing finished and no step to blame, fails.
MAX_SLICE_CRASHES: Final = 12
#: ``job.each`` grows its batches while one takes less than this, and shrinks above four times this.
BATCH_TARGET_MS: Final = 400

#: What the platform bills for a message: it is written, read and deleted (platform.md §7.1).
QUEUE_OPERATIONS: Final = 3
#: A queued job nobody picked up sends itself again after this, doubling to the maximum.
REQUEUE_MS: Final = 15_000
REQUEUE_MAX_MS: Final = 600_000
#: An outbox row that could not be delivered is tried again after this, doubling to the maximum.
OUTBOX_RETRY_MS: Final = 1_000
OUTBOX_RETRY_MAX_MS: Final = 300_000
#: Outbox rows delivered per tick, so that a tick stays bounded.
OUTBOX_BATCH: Final = 50
#: A parent asks after its children itself when no notice came for this long.
CHILD_HEAL_MS: Final = 60_000
#: Who waits for a job that it has started asks less and less often, up to this.
CHILD_HEAL_MAX_MS: Final = 3_600_000
#: After the second dead slice in a row the next one waits about this long, doubling to the maximum: about 20 s in all
#: before a step is called poison.
CRASH_PAUSE_MS: Final = 1_500
CRASH_PAUSE_MAX_MS: Final = 60_000
#: A tick that failed for a reason of the platform's comes back after this, doubling to the maximum.
TICK_RETRY_MS: Final = 1_000
TICK_RETRY_MAX_MS: Final = 60_000

#: A step's timeout unless the author sets one: well under the 15 min an alarm may take (platform.md §1.1).
STEP_TIMEOUT_MS: Final = 300_000
#: A step's heartbeats are stored this far apart: each is a row written, which is billed.
HEARTBEAT_STORE_MS: Final = 1_000
#: Largest details of a heartbeat: they are to be small, a cursor and some counters.
MAX_HEARTBEAT_BYTES: Final = 64_000
#: Longest timeout of a step: with what its slice did before, it ends before its alarm does.
MAX_STEP_TIMEOUT_MS: Final = 840_000

#: A permit that its job has not given back is verified after this: far longer than a slice, since it costs a call.
LANE_LEASE_MS: Final = 600_000
#: Jobs that a lane asks at the same time.
LANE_OFFERS: Final = 20
#: Most kinds of key that a job has values for.
MAX_LANE_KEYS: Final = 8
#: Most permits asked for in one call.
MAX_LANE_BATCH: Final = 1_000
#: Tokens of a shared bucket are promised no further ahead than this; who needs one later asks again.
LANE_ASK_AGAIN_MS: Final = 60_000
#: A job whose lane does not answer asks again after this, doubling to ``OUTBOX_RETRY_MAX_MS``.
LANE_RETRY_MS: Final = 1_000

#: The sweeper looks at a job that waits at least this often: what it waits for may have come, and its alarm been lost.
LOOK_AGAIN_MS: Final = 6 * 3_600_000

#: Longest schedule id: its jobs carry it in a tag, ``schedule:<id>``.
MAX_SCHEDULE_ID_CHARS: Final = 100
#: Longest cron expression; lists of every minute fit.
MAX_CRON_CHARS: Final = 256
#: A planned time that is this old at most counts as on time: a lost alarm is healed by the second platform tick after.
SCHEDULE_ON_TIME_MS: Final = 120_000
#: Missed times are caught up within this window unless the schedule says otherwise.
SCHEDULE_CATCH_UP_MS: Final = 86_400_000
#: Most planned times of one schedule that wait to be started: by a backfill, or by catching up.
MAX_SCHEDULE_BACKLOG: Final = 1_000
#: Jobs a schedule starts per tick, so that a tick stays bounded.
SCHEDULE_STARTS_PER_TICK: Final = 50
#: While a waiting start is held up by a job that runs, the schedule looks again after this, doubling to the maximum.
SCHEDULE_POLL_MS: Final = 250
SCHEDULE_POLL_MAX_MS: Final = 60_000
#: Planned times shown ahead, and lines of its history that a schedule keeps.
SCHEDULE_UPCOMING: Final = 10
SCHEDULE_HISTORY: Final = 50
