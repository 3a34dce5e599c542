"""``provision`` and ``doctor``: what they would create, what they find wrong, and how they say to mend it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import venv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import msgspec
import pytest
from typer.testing import CliRunner

from orchestrator.cli import checks, doctor, provision, wrangler
from orchestrator.cli.checks import State
from orchestrator.cli.main import app
from orchestrator.cli.wrangler import Done, Wrangler
from orchestrator.client import Client, ConfigurationError
from orchestrator.client.answers import JobError
from orchestrator.client.operator_answers import Alert, Alerts, Lane
from orchestrator.client.settings import Target
from tests.clients.support import QUICK, URL, InProcess
from tests.clients.test_render import ENDED
from tests.http.support import KEY, Api

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "wrangler.toml"
NOW = datetime(2026, 11, 26, tzinfo=UTC)


def changed(old: str, new: str) -> Wrangler:
    """Return our configuration with a change to it."""
    text = CONFIG.read_text()
    assert re.search(old, text)
    return msgspec.convert(tomllib.loads(re.sub(old, new, text)), Wrangler)


def wrong(config: Wrangler) -> dict[str, str]:
    return {item.name: item.text for item in checks.check_config(config) if item.state is State.WRONG}


def test_our_own_configuration_is_right() -> None:
    found = list(checks.check_config(wrangler.read(CONFIG)))
    assert [item for item in found if item.state is State.WRONG] == []
    assert [(item.name, item.state) for item in found if item.name == "database"] == [("database", State.NOTE)]


@pytest.mark.parametrize(
    ("name", "old", "new", "text"),
    [
        ("runtime", 'compatibility_date = "[^"]+"', 'compatibility_date = "2026-09-01"', "2026-09-01"),
        ("runtime", "compatibility_flags = .*", "", "python_workers"),
        ("objects", 'new_sqlite_classes = ."LaneObject".', "", "no migration makes it"),
        (
            "queues",
            'consumers\\]\\]\nqueue = "agentset-ingest-queue"',
            'consumers]]\nqueue = "another"',
            "nobody consumes",
        ),
        ("queues", "retry_delay = 5\nmax_concurrency = 20\ndead_letter_queue = .*", "", "no dead-letter queue"),
        ("buckets", "r2_buckets", "other_buckets", "no R2 bucket"),
        ("database", "hyperdrive", "other", "no Hyperdrive"),
        ("secrets", "API_KEY", "OTHER", "API_KEY"),
        ("cron", r'crons = \["[^"]+"', 'crons = ["0 * * * *"', "every minute"),
    ],
)
def test_a_mistake_is_found_and_a_way_to_mend_it_is_told(name: str, old: str, new: str, text: str) -> None:
    config = changed(old, new)
    assert list(wrong(config)) == [name]
    assert text in wrong(config)[name]
    assert all(item.mend for item in checks.check_config(config) if item.state is not State.RIGHT)


def test_clock_switch_and_lanes() -> None:
    assert [item.state for item in checks.check_clock(NOW, NOW + timedelta(seconds=1))] == [State.RIGHT]
    (behind,) = checks.check_clock(NOW, NOW + timedelta(seconds=60))
    assert (behind.state, "60 s behind" in behind.text) == (State.WRONG, True)
    assert list(checks.check_switch({})) == []
    assert [item.state for item in checks.check_switch({"USE_CLOUDFLARE_QUEUES": "true"})] == [State.WRONG]
    (dev,) = checks.check_switch({"USE_CLOUDFLARE_QUEUES": "false", "TRIGGER_SECRET_KEY": "tr_secret"})
    assert (dev.state, "tr_secret" in dev.text) == (State.RIGHT, False)
    lane = Lane("l", [], 1, None, False, [], True, 0, 4, {}, [], None)
    (paused,) = checks.check_lanes([lane])
    assert (paused.state, paused.mend) == (State.NOTE, "`orchestrator lanes resume l`")


def test_alerts_and_the_cron_behind_them() -> None:
    firing = Alert("dead_letters", "all", "firing", 3, 0, {}, NOW, NOW, None, None)
    found = Alerts(NOW - timedelta(hours=1), [], [firing], [], "ALERT_WEBHOOK_URL is not set")
    states = {item.name: item.state for item in checks.check_alerts(found, NOW)}
    assert states == {"alert dead_letters": State.NOTE, "cron": State.NOTE, "alerts": State.NOTE}
    assert list(checks.check_alerts(Alerts(NOW, [], [], [], None), NOW)) == []


def test_the_report_of_the_platforms_own_job() -> None:
    part = {"name": "database", "ok": False, "detail": "database_lost"}
    result = {
        "parts": [part, {"name": "bucket blobs", "ok": True, "detail": "fine"}],
        "settings": {"a.x": True, "a.y": False, "b.x": False, "b.y": False, "c": False},
    }
    job = msgspec.structs.replace(ENDED, status="completed", error=None, result=result)
    found = {item.name: item for item in checks.check_job(job)}
    assert (found["database"].state, found["bucket blobs"].state) == (State.WRONG, State.RIGHT)
    assert found["settings"].text == "1 set; not set: a.y, b, c"
    (failed,) = checks.check_job(msgspec.structs.replace(ENDED, error=JobError("boom", "m", None, None, None)))
    assert (failed.state, "boom" in failed.text) == (State.WRONG, True)


def test_doctor_reads_everything_and_exits_with_the_verdict(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(_target: Target, **_options: object) -> Client:
        return Client(URL, KEY, retries=QUICK, transport=InProcess(api))

    monkeypatch.setattr(doctor.Client, "at", connect)
    monkeypatch.chdir(ROOT)
    arguments = ["doctor", "--no-job", "--url", URL, "--api-key", KEY]
    good = CliRunner().invoke(app, arguments)
    assert (good.exit_code, "Everything that was checked is right." in good.stdout) == (0, True)
    # This world has no workflow of the platform.
    bad = CliRunner().invoke(app, ["doctor", "--json", "--url", URL, "--api-key", KEY])
    found = [cast("dict[str, str]", json.loads(line)) for line in bad.stdout.splitlines()]
    assert (bad.exit_code, found[-1]["state"], found[-1]["mend"]) == (1, "wrong", found[-1]["mend"])
    assert "diagnostic-platform" in found[-1]["text"]


def test_what_is_created_for_our_configuration() -> None:
    steps = provision.plan(wrangler.read(CONFIG))
    names = {kind: [step.name for step in steps if step.kind == kind] for kind in ("queue", "bucket", "secret")}
    raw = tomllib.loads(CONFIG.read_text())
    ends = [*raw["queues"]["producers"], *raw["queues"]["consumers"]]
    assert sorted(names["queue"]) == sorted({end["queue"] for end in ends})
    assert names["queue"][0] == "orchestrator-dead-letter-queue"
    assert names["bucket"] == [bucket["bucket_name"] for bucket in raw["r2_buckets"]]
    assert names["secret"] == raw["secrets"]["required"]
    lines = [step.line() for step in steps]
    retention = "npx wrangler queues create orchestrator-dead-letter-queue --message-retention-period-secs 1209600"
    assert lines[0] == retention
    assert (
        'npx wrangler hyperdrive create durable-orchestrator-db --connection-string="$DATABASE_URL" --caching-disabled'
        in lines
    )
    assert 'printf %s "$API_KEY" | npx wrangler secret put API_KEY' in lines


def test_a_database_that_is_there_is_not_created_again_and_environments_have_their_own_names(tmp_path: Path) -> None:
    path = tmp_path / "wrangler.toml"
    path.write_text(
        CONFIG.read_text().replace("0" * 32, "c" * 32)
        + '\n[env.staging]\nr2_buckets = [{ binding = "BLOBS", bucket_name = "staging-blobs" }]\n'
        + '[env.staging.secrets]\nrequired = ["API_KEY", "STRIPE"]\n'
    )
    steps = provision.plan(wrangler.read(path, "staging"), "staging")
    assert not [step for step in steps if step.kind == "hyperdrive"]
    assert [step.name for step in steps if step.kind == "bucket"] == ["staging-blobs"]
    assert [step.arguments for step in steps if step.name == "STRIPE"] == [
        ("secret", "put", "STRIPE", "--env", "staging")
    ]
    with pytest.raises(ConfigurationError, match="production"):
        wrangler.read(path, "production")
    path.write_text("name = ")
    with pytest.raises(ConfigurationError):
        wrangler.read(path)


def fake_wrangler(folder: Path) -> list[str]:
    """Return a program that writes down how it is called, and answers as wrangler does."""
    script = folder / "wrangler.py"
    script.write_text(
        "import json, sys\n"
        f"with open({str(folder / 'calls')!r}, 'a') as file:\n"
        "    file.write(json.dumps([sys.argv[1:], sys.stdin.read()]) + '\\n')\n"
        "if 'agentset-ingest-queue' in sys.argv:\n"
        "    sys.exit('Queue name agentset-ingest-queue is already taken. [code: 11009]')\n"
        "if 'agentset-images' in sys.argv:\n"
        "    sys.exit('Authentication error with postgres://u:pw@h/d [code: 10000]')\n"
    )
    return [sys.executable, str(script)]


def test_commands_are_run_and_secrets_are_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def program(_root: Path) -> list[str]:
        return fake_wrangler(tmp_path)

    monkeypatch.setattr(wrangler, "program", program)
    monkeypatch.setenv("DATABASE_URL", "postgres://u:pw@h/d")
    monkeypatch.delenv("API_KEY", raising=False)
    done = CliRunner().invoke(app, ["provision", "--run", "--json", "--config", str(CONFIG)])
    assert done.exit_code == 1
    found = {item["name"]: item for item in map(json.loads, done.stdout.splitlines())}
    calls = [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]
    assert len(calls) == len(found) - 1
    outcomes = {name: item["outcome"] for name, item in found.items()}
    assert outcomes["agentset-ingest-queue"] == "exists"
    assert outcomes["agentset-images"] == "failed"
    assert outcomes["API_KEY"] == "skipped"
    assert set(outcomes.values()) == {"created", "exists", "failed", "skipped"}
    assert ["hyperdrive", "create", "durable-orchestrator-db", "--connection-string=postgres://u:pw@h/d", "--caching-disabled"] in [arguments for arguments, _ in calls]  # fmt: skip # noqa: E501
    assert "pw" not in done.stdout


def test_a_secret_goes_through_standard_input(tmp_path: Path) -> None:
    (step,) = (step for step in provision.plan(wrangler.read(CONFIG)) if step.name == "API_KEY")
    outcome = provision.carry_out(step, fake_wrangler(tmp_path), tmp_path, {"API_KEY": "s3cret"})
    assert outcome.outcome == "created"
    assert json.loads((tmp_path / "calls").read_text()) == [["secret", "put", "API_KEY"], "s3cret"]


def test_without_run_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(command: list[str], root: Path, stdin: str | None = None) -> Done:
        raise AssertionError(command)

    monkeypatch.setattr(wrangler, "run", refuse)
    shown = CliRunner().invoke(app, ["provision", "--config", str(CONFIG)])
    assert (shown.exit_code, "Nothing was run" in shown.stdout) == (0, True)


def test_a_program_that_is_not_there_is_a_failed_command(tmp_path: Path) -> None:
    assert not wrangler.run([str(tmp_path / "nothing")], tmp_path).succeeded


def test_the_package_installs_without_a_network_and_brings_the_command(tmp_path: Path) -> None:
    """As `make install` does, into an environment of its own that borrows this one's packages."""
    venv.create(tmp_path, with_pip=False)
    (site,) = tmp_path.glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(str(Path(pytest.__file__).resolve().parents[1]))
    python = tmp_path / "bin" / "python"
    options = ["--quiet", "--no-index", "--no-build-isolation", "--no-deps", "--disable-pip-version-check"]
    subprocess.run([python, "-m", "pip", "install", *options, "--editable", str(ROOT)], check=True, cwd=tmp_path)
    shown = subprocess.run(
        [tmp_path / "bin" / "orchestrator", "--version"], check=True, cwd=tmp_path, capture_output=True, text=True
    )
    assert shown.stdout.strip() == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_what_users_install_is_the_engine_with_its_clients() -> None:
    """The Worker's own dependencies are for Emscripten alone."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    everywhere = {
        item.partition("=")[0].strip("<>") for item in project["dependencies"] if "== 'emscripten'" not in item
    }
    assert everywhere == {"cronsim", "msgspec", "pydantic", "tzdata"}
    worker = {item.partition("=")[0].strip("<>") for item in project["dependencies"] if "!= 'emscripten'" not in item}
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    assert worker - {"asyncpg"} == {item.partition("=")[0].strip("<>") for item in groups["worker"]}


def test_dev_becomes_the_local_stack_of_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[str, list[str], Path]] = []

    def become(program: str, arguments: list[str]) -> None:
        started.append((program, arguments, Path.cwd()))

    monkeypatch.setattr(os, "execv", become)
    monkeypatch.chdir(ROOT / "docs")
    done = CliRunner().invoke(app, ["dev", "--port", "1234", "--state", str(tmp_path)])
    assert (done.exit_code, done.output) == (0, "")
    python = str(ROOT / ".venv" / "bin" / "python")
    assert started == [(python, [python, "-m", "local", "--reload", "--port", "1234", "--state", str(tmp_path)], ROOT)]
