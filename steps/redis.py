"""Upstash Redis over its REST API: the parser's chunk batches, and the platform's cache of webhooks (domain.md §0.4).

Not every installation has Redis. :func:`redis_for` then gives None, and callers skip what they would have done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from orchestrator.errors import NonRetryableError, RetryableError
from orchestrator.ports import Http
from steps.json_api import JsonApi

#: Keys of one DEL (domain.md §2.2).
DELETE_KEYS = 150
#: Commands answered with an error that another attempt may mend: the plan's rate, or a server that is starting.
_PASSING = ("ERR max requests limit exceeded", "ERR max concurrent connections exceeded", "LOADING", "TRYAGAIN")

Command = Sequence[str]


class RedisSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where Redis is.

    Attributes:
        url: ``REDIS_URL``, the REST address.
        token: ``REDIS_TOKEN``.
    """

    url: str | None = None
    token: str | None = None

    def __repr__(self) -> str:
        return "RedisSettings(…)"

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> RedisSettings:
        """Pick the settings out of the environment's variables; empty counts as unset."""
        return cls(url=env.get("REDIS_URL") or None, token=env.get("REDIS_TOKEN") or None)


class _Answer(msgspec.Struct, frozen=True):
    result: object = None
    error: str | None = None


class Scanned(msgspec.Struct, frozen=True):
    """Some keys of a database.

    Attributes:
        cursor: where the next ones are; None at the end.
        keys: found on the way.
    """

    cursor: str | None
    keys: list[str]


class Redis:
    """A client of one database. Error codes begin with ``redis_``; see :class:`steps.json_api.JsonApi`.

    Args:
        http: the way out.
        url: the REST address.
        token: the database's token.
    """

    def __init__(self, http: Http, *, url: str, token: str) -> None:
        self._api = JsonApi(
            http,
            name="Redis",
            area="redis",
            base_url=url.rstrip("/"),
            headers={"authorization": f"Bearer {token}"},
            secret=token,
        )

    async def get(self, key: str) -> str | None:
        """Return a string, or None when there is none.

        Raises:
            RetryableError: another attempt may succeed.
            NonRetryableError: it cannot: a wrong token, or a value of another kind.
        """
        (value,) = await self.get_many([key])
        return value

    async def get_many(self, keys: Sequence[str]) -> list[str | None]:
        """Return strings in one request, None for those that are absent; no keys makes no request.

        Raises:
            RetryableError: another attempt may succeed.
            NonRetryableError: it cannot.
        """
        return [self._text(value) for value in await self.pipeline([("GET", key) for key in keys])]

    async def delete(self, keys: Sequence[str]) -> int:
        """Remove keys, 150 at a time; return how many there were.

        Raises:
            RetryableError: another attempt may succeed; some may be gone already, which is no harm.
            NonRetryableError: it cannot.
        """
        groups = [keys[at : at + DELETE_KEYS] for at in range(0, len(keys), DELETE_KEYS)]
        removed = 0
        for group in groups:
            (count,) = await self.pipeline([("DEL", *group)])
            removed += msgspec.convert(count, int)
        return removed

    async def scan(self, cursor: str | None, pattern: str, count: int) -> Scanned:
        """Look at about ``count`` keys; return those that fit a pattern. A full walk finds every key that stays there.

        Raises:
            RetryableError: another attempt may succeed.
            NonRetryableError: it cannot.
        """
        (answer,) = await self.pipeline([("SCAN", cursor or "0", "MATCH", pattern, "COUNT", str(count))])
        try:
            after, keys = msgspec.convert(answer, tuple[str | int, list[str]])
        except msgspec.ValidationError as error:
            raise self._api.bad_answer(f"unexpected result of SCAN: {error}") from error
        return Scanned(None if str(after) == "0" else str(after), keys)

    async def expire(self, keys: Sequence[str], seconds: int) -> None:
        """Give those keys a time to live that have none, in one request.

        Raises:
            RetryableError: another attempt may succeed; some may have got theirs already.
            NonRetryableError: it cannot.
        """
        await self.pipeline([("EXPIRE", key, str(seconds), "NX") for key in keys])

    async def pipeline(self, commands: Sequence[Command]) -> list[object]:
        """Run commands in order in one request; return their results. They are no transaction.

        Raises:
            RetryableError: another attempt may succeed; some commands may have been run.
            NonRetryableError: it cannot, or one of the commands failed.
        """
        if not commands:
            return []
        answers = await self._api.post("/pipeline", [list(command) for command in commands], list[_Answer])
        if len(answers) != len(commands):
            raise self._api.bad_answer(f"{len(commands)} commands were sent and {len(answers)} results came back")
        for answer in answers:
            if answer.error is not None:
                raise _failed(answer.error)
        return [answer.result for answer in answers]

    def _text(self, value: object) -> str | None:
        if value is None or isinstance(value, str):
            return value
        raise self._api.bad_answer("the value is no string")


def redis_for(settings: RedisSettings, http: Http) -> Redis | None:
    """Return a client of the installation's database, or None when it has none."""
    if settings.url is None or settings.token is None:
        return None
    return Redis(http, url=settings.url, token=settings.token)


def _failed(message: str) -> RetryableError | NonRetryableError:
    if message.startswith(_PASSING):
        return RetryableError(f"Redis: {message}", code="redis_rate_limited")
    return NonRetryableError(f"Redis: {message}", code="redis_refused")
