"""Commands against the API, in a world of virtual time: output, exit codes, and what they ask the server."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from orchestrator.cli import command, jobs, target, values
from orchestrator.cli.exits import MEANINGS, Exit
from orchestrator.cli.main import app
from orchestrator.cli.root import session_options_last
from orchestrator.client import Client, ConfigurationError
from orchestrator.client.answers import JobPage
from orchestrator.client.settings import Target
from tests.clients.support import QUICK, URL, InProcess
from tests.http.support import KEY, Api

Run = Callable[..., Result]


@pytest.fixture
def run(api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs the command line against the API in this process."""

    def connect(_target: Target, **_options: object) -> Client:
        return Client(URL, KEY, retries=QUICK, transport=InProcess(api))

    def pass_time(_seconds: float) -> None:
        api.run(for_ms=500)

    monkeypatch.setattr(command.Client, "at", connect)
    monkeypatch.setattr(jobs.Client, "at", connect)
    for name in ("ORCHESTRATOR_URL", "ORCHESTRATOR_API_KEY", "QUEUE_PRODUCER_URL", "STATE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ORCHESTRATOR_URL", URL)
    monkeypatch.setenv("ORCHESTRATOR_API_KEY", KEY)
    monkeypatch.setattr("orchestrator.cli.watch.time.sleep", pass_time)
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str, exit_code: int = 0, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(app, arguments, input=stdin, env={"COLUMNS": "120"})
        assert result.exit_code == exit_code, result.output
        return result

    return invoke


KEY_OPTIONS = ("--expires-in", "1d", "--max-priority", "60", "--lane-key", "organization=t1", "--json")


def lines(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def error(result: Result) -> dict[str, str]:
    (line,) = result.stderr.splitlines()
    return json.loads(line)["error"]


def test_a_job_from_enqueue_to_result(run: Run, api: Api) -> None:
    (accepted,) = lines(run("enqueue", "keep", '{"value": [1, "é"]}', "-k", "mine", "-t", "a", "-t", "b", "--json"))
    assert accepted == {"id": accepted["id"], "status": "queued", "deduplicated": False}
    again = run("enqueue", "keep", '{"value": [1, "é"]}', "-k", "mine", "-t", "a", "-t", "b")
    assert "was recorded before" in again.stdout
    shown = lines(run("status", str(accepted["id"]), "--watch", "--json"))
    assert [(item["status"], item["result"]) for item in shown] == [("queued", None), ("completed", [1, "é"])]
    panel = run("status", str(accepted["id"]), "--steps").stdout
    assert "✔ completed" in panel
    assert '[1,"é"]' in panel
    kinds = [item["kind"] for item in lines(run("events", str(accepted["id"]), "--json"))]
    assert kinds == ["job.created", "job.started", "job.completed"]
    assert len(lines(run("events", str(accepted["id"]), "--no-follow", "--after", "1", "--json"))) == 2
    (listed,) = lines(run("list", "--tag", "b", "--status", "completed", "--since", "30d", "--json"))
    assert listed["id"] == accepted["id"]
    assert lines(run("list", "--status", "failed", "--json")) == []
    assert "no jobs" in run("search", "nothing like this").stdout
    assert [item["id"] for item in lines(run("search", str(accepted["id"])[4:12].upper(), "--json"))] == [
        accepted["id"]
    ]


def test_every_option_of_enqueue_reaches_the_job(run: Run, api: Api, tmp_path: Path) -> None:
    (tmp_path / "payload.json").write_text('{"steps": 2}')
    run(
        *("enqueue", "diagnostic-echo", "@payload.json", "--delay", "1h30m", "--ttl", "2d", "--priority", "7"),
        *("--lane-key", "ns", "--direct", "--key", "k"),
    )
    (request,) = api.backend.requests
    assert request.payload == {"steps": 2}
    options = request.options
    assert (options.delay_ms, options.ttl_ms, options.priority) == (5_400_000, 172_800_000, 7)
    tomorrow = datetime.fromtimestamp(api.world.clock.now_ms() / 1000 + 86_400, UTC).isoformat()
    run("enqueue", "keep", "{}", "--at", tomorrow, "--tenant", "org_1")
    run("enqueue", "keep", "{}", "--debounce", "5s", "--key", "d")
    at, debounced = (item.options for item in api.backend.requests[1:])
    run("enqueue", "keep", "{}", "--budget", "0.5")
    assert api.backend.requests.pop().options.budget.estimated_usd == 0.5
    assert (at.tenant, at.delay_ms > 0, debounced.debounce_ms) == ("org_1", True, 5_000)
    assert (options.lane_keys, options.mode, options.idempotency_key) == ({"key": "ns"}, "direct", "k")
    run("enqueue", "diagnostic-echo", "-", stdin='{"steps": 3}')
    assert api.backend.requests[-1].payload == {"steps": 3}


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code"),
    [
        (("status", "run_00000000000000000000000000"), Exit.NOT_FOUND, "unknown_job"),
        (("enqueue", "no-such-workflow"), Exit.NOT_FOUND, "unknown_workflow"),
        (("enqueue", "diagnostic-echo", '{"steps": -1}'), Exit.REFUSED, "invalid_payload"),
        (("lanes", "pause", "nowhere"), Exit.NOT_FOUND, "unknown_lane"),
        (("schedules", "show", "nothing"), Exit.NOT_FOUND, "unknown_schedule"),
        (("schedules", "create", "keep", "0 0 30 2 *"), Exit.REFUSED, "invalid_cron"),
        (("cancel",), Exit.USAGE, "usage"),
        (("cancel", "run_x", "--status", "failed"), Exit.USAGE, "usage"),
        (("cancel", "--status", "failed"), Exit.USAGE, "usage"),
        (("redrive",), Exit.USAGE, "usage"),
    ],
)
def test_failures_are_one_line_with_a_code_and_an_exit_code(
    run: Run, arguments: tuple[str, ...], exit_code: int, code: str
) -> None:
    found = error(run(*arguments, "--json", exit_code=exit_code))
    assert found["code"] == code
    people = run(*arguments, exit_code=exit_code)
    assert people.stdout == ""
    assert people.stderr.startswith(f"error: {found['message']} ({code})\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("enqueue", "keep", "{"),
        ("enqueue", "keep", "@missing"),
        ("list", "--since", "soon"),
        ("enqueue", "keep", "--at", "1h"),
        ("list", "--limit", "0"),
    ],
)
def test_a_wrong_command_line_is_told_at_once(run: Run, arguments: tuple[str, ...]) -> None:
    assert "Usage:" in run(*arguments, exit_code=Exit.USAGE).stderr
    assert error(run(*arguments, "--json", exit_code=Exit.USAGE))["code"] == "usage"


@pytest.mark.parametrize("arguments", [("enqeue", "keep"), ("list", "--bogus"), ("status",), ("list", "--status", "x")])
def test_programs_are_told_of_unknown_words_in_one_line(run: Run, arguments: tuple[str, ...]) -> None:
    found = error(run("--json", *arguments, exit_code=Exit.USAGE))
    assert found["code"] == "usage"
    assert not found["message"].startswith("Value error")


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["--json", "list"], ["list", "--json"]),
        (["--url", "u", "--api-key=k", "lanes", "pause", "x"], ["lanes", "pause", "x", "--url", "u", "--api-key=k"]),
        (["--json", "send-event", "j", "e", "--", "-1"], ["send-event", "j", "e", "--json", "--", "-1"]),
        (["list", "--json"], ["list", "--json"]),
        (["--url"], ["--url"]),
        (["--version"], ["--version"]),
        ([], []),
    ],
)
def test_options_of_every_command_may_stand_first(given: list[str], read: list[str]) -> None:
    assert session_options_last(given) == read


def test_waiting_tells_by_its_exit_code_how_it_ended(run: Run, api: Api) -> None:
    (*_, last) = lines(run("enqueue", "broken", "--wait", "--json", exit_code=Exit.UNSUCCESSFUL))
    assert last["status"] == "failed"
    run("enqueue", "keep", '{"value": 1}', "--wait")
    late = run("enqueue", "stuck", "--wait", "--timeout", "0", "--json", exit_code=Exit.TIMEOUT)
    assert error(late)["code"] == "timeout"


def test_a_wrong_key_and_a_server_that_is_away(run: Run, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def with_(key: str, *faults: str) -> Callable[..., Client]:
        def connect(_target: Target, **_options: object) -> Client:
            return Client(URL, key, retries=QUICK, transport=InProcess(api, faults))

        return connect

    monkeypatch.setattr(command.Client, "at", with_("wrong"))
    assert error(run("list", "--json", exit_code=Exit.UNAUTHORIZED))["code"] == "unauthorized"
    monkeypatch.setattr(command.Client, "at", with_(KEY, *["refused"] * 20))
    assert "orchestrator dev" in error(run("list", "--json", exit_code=Exit.UNAVAILABLE))["hint"]


def test_jobs_are_controlled_by_id(run: Run, api: Api) -> None:
    job_id = api.start("stuck")
    api.run(for_ms=1_000)
    for name, status in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelling")):
        assert lines(run(name, job_id, "--json")) == [{"id": job_id, "job_id": None, "status": status, "error": None}]
    api.run()
    assert "running" in run("retry", job_id, "--scratch").stdout
    run("retry", job_id, "--scratch", "--from-step", "x", exit_code=Exit.USAGE)
    run("cancel", job_id, "--reason", "enough")
    api.run()
    assert error(run("pause", job_id, "--json", exit_code=Exit.REFUSED))["code"] == "conflict"
    both = run("delete", job_id, "run_00000000000000000000000000", "--json", exit_code=Exit.UNSUCCESSFUL)
    assert [item["status"] for item in lines(both)] == ["deleted", None]


def test_jobs_are_controlled_by_filter_after_a_yes(run: Run, api: Api) -> None:
    started = [api.start("stuck", tags=["t"]) for _ in range(3)]
    api.run(for_ms=1_000)
    done = run("cancel", "--workflow", "stuck", "--tag", "t", "--yes")
    assert all(job_id in done.stdout for job_id in started)
    assert done.stdout.endswith("3 done, 0 refused\n")
    api.run()
    refused = run("cancel", "--workflow", "stuck", "--yes", "--json")
    assert {item["status"] for item in lines(refused)} == {"cancelled"}
    ended = run("pause", "--workflow", "stuck", "--yes")
    assert ended.stdout == "0 done, 0 refused, 3 left alone, whose status does not allow it\n"


def test_events_are_sent(run: Run, api: Api) -> None:
    job_id = api.start("approval")
    run("send-event", job_id, "signed", '{"by": "x"}', "--id", "e1")
    run("send-event", job_id, "signed", '{"by": "x"}', "--id", "e1")
    assert api.world.objects[job_id].engine.journal.inbox.count() == 1


def test_dead_letters(run: Run, api: Api) -> None:
    job_id = api.start("broken")
    api.run()
    (letter,) = lines(run("dead-letters", "--json"))
    assert (letter["job_id"], letter["workflow"]) == (job_id, "broken")
    assert "broken_thing" in run("dead-letters", "--workflow", "broken", "--kind", "job").stdout
    assert lines(run("redrive", str(letter["id"]), "--json"))[0]["status"] == "running"
    api.run()
    run("redrive", "--all", exit_code=Exit.USAGE)
    assert "1 done" in run("redrive", "--all", "--yes").stdout
    run("redrive", "job:run_nothing", exit_code=Exit.UNSUCCESSFUL)


def test_lanes_and_schedules(run: Run, api: Api) -> None:
    assert "3 at once" in run("lanes").stdout
    assert lines(run("lanes", "pause", "diagnostic", "--json"))[0]["paused"] is True
    assert "paused" in run("lanes", "--url", URL).stdout
    assert lines(run("lanes", "resume", "diagnostic", "--json"))[0]["paused"] is False
    made = run("schedules", "create", "keep", "0 12 * * *", "--id", "noon", "--payload", '{"value": 1}', "-t", "x")
    assert "noon" in made.stdout
    assert [item["id"] for item in lines(run("schedules", "--tag", "x", "--json"))] == ["noon"]
    assert "At 12:00 every day" in run("schedules", "show", "noon").stdout
    assert lines(run("schedules", "pause", "noon", "--json"))[0]["paused"] is True
    run("schedules", "resume", "noon")
    assert str(lines(run("schedules", "run", "noon", "--json"))[0]["id"]).startswith("run_")
    now = datetime.fromtimestamp(api.world.clock.now_ms() / 1000, UTC)
    since, until = ((now - timedelta(days=days)).isoformat() for days in (2, 0))
    assert lines(run("schedules", "backfill", "noon", "--since", since, "--until", until, "--json"))[0]["times"] == 2
    run("schedules", "delete", "noon")
    assert "no schedules" in run("schedules", "--workflow", "keep").stdout


def test_workflows_and_the_catalog(run: Run, api: Api) -> None:
    assert "steps?, sleep_ms?, fail_at?" in run("workflows").stdout
    assert "keep" in [item["name"] for item in lines(run("workflows", "--json"))]
    (shard, *_) = lines(run("catalog", "--json"))
    assert [item["name"] for item in lines(run("catalog", "rebuild", str(shard["name"]), "--json"))] == [shard["name"]]
    assert "complete" in run("catalog").stdout
    assert "nothing is wrong" in run("alerts").stdout
    assert lines(run("alerts", "--json"))[0]["alerts"] == []


def test_keys_and_the_audit_log(run: Run, api: Api) -> None:
    created = run("keys", "create", "the app", "-s", "enqueue", "-s", "read", "--tenant", "t1", *KEY_OPTIONS)
    (made,) = lines(created)
    assert (made["lane_keys"], made["max_priority"]) == ({"organization": "t1"}, 60)
    run("keys", "create", "x", "-s", "read", "--lane-key", "organization", exit_code=Exit.USAGE)
    assert (made["scopes"], made["tenant"], str(made["key"]).startswith("dok_")) == (["enqueue", "read"], "t1", True)
    shown = run("keys").stdout
    assert ("the app" in shown, "tenant t1" in shown, str(made["key"]) in shown) == (True, True, False)
    assert lines(run("keys", "current", "--json"))[0]["id"] == "root"
    run("keys", "revoke", str(made["id"]))
    assert "revoked" in run("keys").stdout
    assert error(run("keys", "revoke", "key_nothing", "--json", exit_code=Exit.NOT_FOUND))["code"] == "unknown_key"
    entries = lines(run("audit", "--target", str(made["id"]), "--json"))
    assert {entry["operation"] for entry in entries} == {"revoke_key", "create_key"}
    assert "create_key" in run("audit", "--key", "root").stdout


def test_a_list_that_is_not_whole_says_so(run: Run, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def some(_client: Client, **_where: object) -> JobPage:
        return JobPage(jobs=[], next_cursor=None, incomplete=["catalog-4-0"])

    monkeypatch.setattr(Client, "list_jobs", some)
    assert "catalog-4-0" in run("list").stderr
    assert "catalog-4-0" in json.loads(run("search", "x", "--json").stderr)["warning"]


def test_an_export_is_a_whole_file_or_none(run: Run, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = api.start("keep", {"value": 5})
    api.run()
    run("export", job_id, "-o", "job.json")
    saved, printed = json.loads((tmp_path / "job.json").read_text()), json.loads(run("export", job_id).stdout)
    assert saved["job"]["job_id"] == job_id
    assert printed.keys() == saved.keys()

    def broken(_client: Client, _job_id: str) -> Iterator[bytes]:
        yield b'{"format":1,"job":{}'

    monkeypatch.setattr(Client, "export", broken)
    assert (
        error(run("export", job_id, "-o", "broken.json", "--json", exit_code=Exit.UNAVAILABLE))["code"] == "no_answer"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["job.json"]


def test_job_ids_are_completed(run: Run, api: Api) -> None:
    job_id = api.start("keep")
    api.run()
    assert jobs.complete_job(job_id[:8]) == [job_id]
    assert jobs.complete_job("nothing") == []
    assert jobs.complete_workflow("diagnostic-e") == ["diagnostic-echo"]


def test_help_and_version(run: Run) -> None:
    assert "enqueue" in run("--help").stdout
    assert run("--version").stdout.strip()


def test_every_exit_code_has_its_meaning() -> None:
    assert set(MEANINGS) == set(Exit)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90m", 5_400), ("1d12h", 129_600), ("2h5s", 7_205)])
def test_durations(text: str, seconds: int) -> None:
    assert values.duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "1x", "h", "-5", "5m1h", "1.5h"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        values.duration(text)


def test_moments() -> None:
    assert values.moment("2026-11-26T12:00") == datetime(2026, 11, 26, 12, tzinfo=UTC)
    assert values.moment("2026-11-26T12:00+02:00") == datetime(2026, 11, 26, 10, tzinfo=UTC)
    assert abs(datetime.now(UTC) - timedelta(hours=1) - values.moment("1h")) < timedelta(minutes=1)


def test_the_server_is_named_or_found(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    with pytest.raises(ConfigurationError):
        target.find(None, None, {}, inner)
    state = tmp_path / ".state"
    state.mkdir()
    (state / "dev.json").write_text('{"url": "http://127.0.0.1:1/", "api_key": "local", "pid": 1}')
    assert target.find(None, None, {}, inner).target == Target("http://127.0.0.1:1", "local")
    assert target.find("http://127.0.0.1:1", None, {}, inner).target.api_key == "local"
    env = {"ORCHESTRATOR_URL": "https://o", "ORCHESTRATOR_API_KEY": "e"}
    assert target.find(None, None, env, inner).target == Target("https://o", "e")
    assert target.find(None, "mine", env, inner).target.api_key == "mine"
    assert target.find("http://x", "k", env, inner).target == Target("http://x", "k")
    with pytest.raises(ConfigurationError, match="key"):
        target.find("http://y", None, {}, inner)
    with pytest.raises(ConfigurationError):
        target.find(None, None, {"STATE": "other"}, tmp_path)


def test_the_clients_need_nothing_of_the_worker() -> None:
    """A user's application installs the extras without what only the Worker imports."""
    names = ("fastapi", "starlette", "asyncpg", "pg8000", "pypdf", "workers", "numpy", "steps", "durable", "local")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({names!r})); import orchestrator.client, orchestrator.cli.main"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_reader_who_has_had_enough_is_no_error(api: Api) -> None:
    class Closed(io.StringIO):
        def write(self, text: str, /) -> int:
            raise BrokenPipeError

    output = command.Output(Closed(), io.StringIO(), as_json=True)
    with pytest.raises(typer.Exit) as ended, command.failures(output):
        output.line(1)
    assert ended.value.exit_code == Exit.OK
