"""Upstash's REST API with a store behind it, as strict as the original about requests."""

from __future__ import annotations

import hmac
from fnmatch import fnmatchcase

import msgspec

from tests.embeddings.stub_server import Received, Reply, json_reply

TOKEN = "redis-Stub-Secret-0123456789"
#: The original's own limit.
MAX_REQUEST_BYTES = 10_000_000
MAX_KEY_BYTES = 32_768


class RedisStub:
    """Serves ``POST /`` (one command) and ``POST /pipeline``; keeps strings, and lists to have keys of another kind.

    Time passes for nothing: what has an end is only noted.
    """

    def __init__(self) -> None:
        self.strings: dict[str, str] = {}
        self.lists: dict[str, list[str]] = {}
        #: Seconds to live, of keys that have an end.
        self.lifetimes: dict[str, int] = {}
        #: Every command that was run, in order.
        self.commands: list[list[str]] = []
        #: Commands that the token may not use.
        self.refused: set[str] = set()

    def __call__(self, request: Received) -> Reply:
        bearer = request.headers.get("authorization", "")
        if not hmac.compare_digest(bearer, f"Bearer {TOKEN}"):
            return _refused("WRONGPASS invalid or missing auth token", 401)
        if request.method != "POST" or request.path not in ("/", "/pipeline"):
            return _refused("ERR not found", 404)
        if len(request.body) > MAX_REQUEST_BYTES:
            return _refused("ERR max request size exceeded", 400)
        try:
            if request.path == "/":
                answer = self._run(msgspec.json.decode(request.body, type=list[str]))
                return json_reply(answer, 400 if "error" in answer else 200)
            commands = msgspec.json.decode(request.body, type=list[list[str]])
        except msgspec.DecodeError:
            return _refused("ERR failed to parse request", 400)
        if not commands:
            return _refused("ERR empty pipeline", 400)
        return json_reply([self._run(command) for command in commands])

    def _run(self, command: list[str]) -> dict[str, object]:
        self.commands.append(command)
        if command[0] in self.refused:
            return {"error": f"NOPERM this user has no permissions to run the '{command[0].lower()}' command"}
        match command:
            case ["GET", key]:
                if key in self.lists:
                    return {"error": "WRONGTYPE Operation against a key holding the wrong kind of value"}
                return {"result": self.strings.get(key)}
            case ["SET", key, value]:
                if len(key.encode()) > MAX_KEY_BYTES:
                    return {"error": f"ERR max key size exceeded. Limit: {MAX_KEY_BYTES} bytes"}
                self.strings[key] = value
                return {"result": "OK"}
            case ["DEL", _, *_]:
                keys = {key for key in command[1:] if key in self.strings or key in self.lists}
                for key in keys:
                    self.strings.pop(key, None)
                    self.lists.pop(key, None)
                    self.lifetimes.pop(key, None)
                return {"result": len(keys)}
            case ["SCAN", cursor, "MATCH", pattern, "COUNT", count] if cursor.isdecimal() and count.isdecimal():
                keys = sorted([*self.strings, *self.lists])
                after = int(cursor) + int(count)
                found = [key for key in keys[int(cursor) : after] if fnmatchcase(key, pattern)]
                return {"result": [str(after) if after < len(keys) else "0", found]}
            case ["EXPIRE", key, seconds, "NX"] if seconds.isdecimal():
                if key in self.lifetimes or (key not in self.strings and key not in self.lists):
                    return {"result": 0}
                self.lifetimes[key] = int(seconds)
                return {"result": 1}
            case ["GET" | "SET" | "DEL" | "SCAN" | "EXPIRE", *_]:
                return {"error": f"ERR wrong number of arguments for '{command[0].lower()}' command"}
            case _:
                return {"error": "ERR Command is not available"}


def _refused(message: str, status: int) -> Reply:
    return json_reply({"error": message}, status)
