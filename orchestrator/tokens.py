"""Tokens that route themselves: the id names the job and the wait, and a signature says who may complete it.

No table is looked up. The bearer token is derived from the id, its expiry and the deployment's secret, so it can be
checked without asking the job, and it is worth nothing for any other wait.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

import msgspec

from orchestrator.errors import UnauthorizedError, UnknownTokenError
from orchestrator.ids import JOB_ID_PREFIX, is_job_id
from orchestrator.operations import Token

TOKEN_PREFIX = "waitpoint_"  # noqa: S105 - Trigger.dev's own prefix, which its clients expect


class TokenAddress(msgspec.Struct, frozen=True):
    """Where a token leads."""

    job_id: str
    key: str


class TokenSigner:
    """Makes and checks tokens.

    Args:
        secret: the deployment's; tokens of another secret are refused.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def make(self, job_id: str, key: str, expires_at_ms: int) -> Token:
        """Return the token of a wait."""
        name = base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")
        token_id = f"{TOKEN_PREFIX}{job_id.removeprefix(JOB_ID_PREFIX)}_{name}"
        return Token(token_id, f"{expires_at_ms}.{self._sign(token_id, expires_at_ms)}", expires_at_ms)

    def check(self, token_id: str, access_token: str) -> TokenAddress:
        """Return where a token leads, when the bearer may complete it.

        Raises:
            UnknownTokenError: the id is not one of ours.
            UnauthorizedError: the bearer token belongs to another wait or another deployment.
        """
        address = parse(token_id)
        expires, _, signature = access_token.partition(".")
        genuine = expires.isascii() and expires.isdigit() and len(expires) < 16
        if not genuine or not hmac.compare_digest(signature, self._sign(token_id, int(expires))):
            raise UnauthorizedError("This bearer token does not belong to this token")
        return address

    def _sign(self, token_id: str, expires_at_ms: int) -> str:
        return hmac.new(self._secret, f"{token_id}\x1f{expires_at_ms}".encode(), hashlib.sha256).hexdigest()


def parse(token_id: str) -> TokenAddress:
    """Read a token's id.

    Raises:
        UnknownTokenError: it has another form.
    """
    body = token_id.removeprefix(TOKEN_PREFIX)
    ulid, _, name = body.partition("_")
    job_id = JOB_ID_PREFIX + ulid
    try:
        key = base64.urlsafe_b64decode(name + "=" * (-len(name) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        key = ""
    if body == token_id or not is_job_id(job_id) or not key:
        raise UnknownTokenError
    return TokenAddress(job_id, key)
