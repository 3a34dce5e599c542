"""Addresses that let others read an object of the main bucket for a while: S3 query signing (AWS Signature Version 4).

R2's bindings cannot make such an address, so the parser service is given one signed with the bucket's S3 keys.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from orchestrator.errors import NonRetryableError

_ALGORITHM = "AWS4-HMAC-SHA256"
#: A query-signed request says nothing about its body.
_UNSIGNED_BODY = "UNSIGNED-PAYLOAD"


class S3Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The main bucket's S3 interface.

    Attributes:
        endpoint: ``S3_ENDPOINT``, such as ``https://<account>.r2.cloudflarestorage.com``.
        access_key: ``S3_ACCESS_KEY``.
        secret_key: ``S3_SECRET_KEY``.
        bucket: ``S3_BUCKET``.
        region: ``auto`` is R2's only one.
    """

    endpoint: str | None = None
    access_key: str | None = None
    secret_key: str | None = None
    bucket: str | None = None
    region: str = "auto"

    def __repr__(self) -> str:
        return "S3Settings(…)"

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> S3Settings:
        """Pick the settings out of the environment's variables; empty counts as unset."""
        return cls(
            endpoint=env.get("S3_ENDPOINT") or None,
            access_key=env.get("S3_ACCESS_KEY") or None,
            secret_key=env.get("S3_SECRET_KEY") or None,
            bucket=env.get("S3_BUCKET") or None,
        )


def presigned_get(settings: S3Settings, key: str, *, now_ms: int, expires_s: int) -> str:
    """Return an address that reads an object without further credentials.

    Args:
        settings: the bucket.
        key: the object's.
        now_ms: from when on it is valid.
        expires_s: for how long; at most seven days.

    Raises:
        NonRetryableError: code ``s3_not_configured``, with the settings that are missing.
    """
    values = {
        "S3_ENDPOINT": settings.endpoint,
        "S3_ACCESS_KEY": settings.access_key,
        "S3_SECRET_KEY": settings.secret_key,
        "S3_BUCKET": settings.bucket,
    }
    if missing := [name for name, value in values.items() if not value]:
        raise NonRetryableError(
            f"The S3 interface is not configured: set {', '.join(missing)}", code="s3_not_configured"
        )
    url = f"{(settings.endpoint or '').rstrip('/')}/{quote(f'{settings.bucket}/{key}', safe='/~')}"
    return signed_url(url, settings, now_ms=now_ms, expires_s=expires_s)


def signed_url(url: str, settings: S3Settings, *, now_ms: int, expires_s: int) -> str:
    """Return a GET address with its signature.

    Args:
        url: the object's address, its path encoded, without a query.
        settings: whose keys sign.
        now_ms: see :func:`presigned_get`.
        expires_s: see :func:`presigned_get`.
    """
    moment = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{moment[:8]}/{settings.region}/s3/aws4_request"
    query = urlencode(
        {
            "X-Amz-Algorithm": _ALGORITHM,
            "X-Amz-Credential": f"{settings.access_key}/{scope}",
            "X-Amz-Date": moment,
            "X-Amz-Expires": str(expires_s),
            "X-Amz-SignedHeaders": "host",
        },
        quote_via=quote,
        safe="~",
    )
    parts = urlsplit(url)
    request = "\n".join(("GET", parts.path, query, f"host:{parts.netloc}\n", "host", _UNSIGNED_BODY))
    to_sign = "\n".join((_ALGORITHM, moment, scope, hashlib.sha256(request.encode()).hexdigest()))
    key = f"AWS4{settings.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return f"{url}?{query}&X-Amz-Signature={hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()}"
