"""The scenarios' platform on real workerd, and one run of all of them at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import msgspec

from local.process import LocalStack
from orchestrator.errors import OrchestratorError, RetryableError
from tests.conformance.platform import Scenario

PROBE = Path(__file__).parent / "platform_probe"
PACKAGES = [PROBE, *(PROBE.parents[2] / name for name in ("orchestrator", "steps", "durable"))]
ARGUMENTS = [
    *("--no-services", "--frozen-clock", "--config", str(PROBE / "wrangler.toml"), "--main", "platform_probe.worker"),
    *(argument for package in PACKAGES for argument in ("--package", str(package))),
]
#: What each scenario raised, if anything.
Outcomes = Mapping[str, BaseException | None]


class _Answer(msgspec.Struct, frozen=True):
    ok: str = ""
    error: str | None = None
    retryable: bool = False
    text: str = ""


class RealPlatform:
    """Implements ``Platform``.

    Args:
        stack: the running stack.
        crashes: meets everybody who wants every process to end: it ends once for all.
    """

    is_simulated = False

    def __init__(self, stack: LocalStack, client: httpx.AsyncClient, crashes: asyncio.Barrier) -> None:
        self._stack = stack
        self._client = client
        self._crashes = crashes

    def now_ms(self) -> int:
        return int(time.time() * 1000)

    async def act(self, name: str, act: str, *args: str) -> str:
        return await self.ask("act", name, msgspec.json.encode([act, *args]))

    async def ask(self, kind: str, name: str, body: bytes) -> str:
        """Call the probe's Worker.

        Raises:
            RetryableError: the object did not answer.
            OrchestratorError: it failed.
        """
        try:
            found = await self._client.post(f"/{kind}/{name}", content=body)
            answer = msgspec.json.decode(found.raise_for_status().content, type=_Answer)
        except httpx.HTTPError as error:
            raise RetryableError(str(error), code="object_unreachable") from error
        if answer.error is not None:
            raise (RetryableError if answer.retryable else OrchestratorError)(answer.text, code=answer.error)
        return answer.ok

    async def wait(self, delay_ms: int) -> None:
        await asyncio.sleep(delay_ms / 1000)

    async def evict(self, name: str) -> None:
        await asyncio.to_thread(self._stack.evict, "Probe", name)

    async def crash(self) -> None:
        if await self._crashes.wait() == 0:
            self._stack.kill_workerd()
            await asyncio.to_thread(self._stack.wait_ready)
        await self._crashes.wait()

    async def send(self, queue: str, text: str, *, delay_s: int = 0) -> None:
        await self.ask("send", queue, msgspec.json.encode([queue, text, delay_s]))


def run_real(directory: Path, scenarios: Sequence[Scenario], sql_scenarios: Sequence[str]) -> Outcomes:
    """Run scenarios on a stack of their own: first those that leave it alone, then those that end it.

    Args:
        directory: the stack's state.
        scenarios: what to run.
        sql_scenarios: what to run inside an object.
    """
    with LocalStack(directory, arguments=ARGUMENTS) as stack:
        return asyncio.run(_run(stack, scenarios, sql_scenarios))


async def _run(stack: LocalStack, scenarios: Sequence[Scenario], sql_scenarios: Sequence[str]) -> Outcomes:
    outcomes: dict[str, BaseException | None] = {}
    crashing = [item for item in scenarios if item.crashes]
    barrier = asyncio.Barrier(max(1, len(crashing)))
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=stack.url, timeout=60, limits=limits) as client:
        platform = RealPlatform(stack, client, barrier)
        calm = [item for item in scenarios if not item.crashes]
        results = await asyncio.gather(
            *(item.run(platform) for item in calm),
            *(_check_sql(platform, name) for name in sql_scenarios),
            return_exceptions=True,
        )
        outcomes.update(zip([*(item.name for item in calm), *sql_scenarios], results, strict=True))
        results = await asyncio.gather(
            *(_guarded(item, platform, barrier) for item in crashing), return_exceptions=True
        )
        outcomes.update(zip([item.name for item in crashing], results, strict=True))
    return outcomes


async def _guarded(scenario: Scenario, platform: RealPlatform, barrier: asyncio.Barrier) -> None:
    """Run a scenario; when it fails, nobody is to wait for it."""
    try:
        await scenario.run(platform)
    except BaseException:
        await barrier.abort()
        raise


async def _check_sql(platform: RealPlatform, name: str) -> None:
    found = await platform.ask("check", f"sql {name}", name.encode())
    if found != "passed":
        raise AssertionError(found)
