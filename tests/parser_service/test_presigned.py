"""S3 query signing."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest

from orchestrator.errors import NonRetryableError
from steps.presigned import S3Settings, presigned_get, signed_url

KEYS = {"access_key": "AKIAIOSFODNN7EXAMPLE", "secret_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}


def test_the_example_of_the_s3_documentation() -> None:
    """Amazon S3 API reference, "Authenticating requests: using query parameters"."""
    now_ms = int(datetime(2013, 5, 24, tzinfo=UTC).timestamp() * 1000)
    settings = S3Settings(region="us-east-1", **KEYS)
    url = signed_url("https://examplebucket.s3.amazonaws.com/test.txt", settings, now_ms=now_ms, expires_s=86_400)
    assert url == (
        "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


def test_keys_of_objects_are_encoded_once() -> None:
    settings = S3Settings(endpoint="https://acc.r2.cloudflarestorage.com/", bucket="b", **KEYS)
    url = presigned_get(settings, "namespaces/n s/ä+b~(1).pdf", now_ms=0, expires_s=60)
    assert urlsplit(url).path == "/b/namespaces/n%20s/%C3%A4%2Bb~%281%29.pdf"
    assert "%2Fauto%2Fs3%2Faws4_request&X-Amz-Date=19700101T000000Z&X-Amz-Expires=60&" in url


def test_missing_settings_are_named_and_secrets_are_not_shown() -> None:
    env = {"S3_ENDPOINT": "https://x", "S3_ACCESS_KEY": "", "S3_SECRET_KEY": KEYS["secret_key"]}
    settings = S3Settings.from_env(env)
    with pytest.raises(NonRetryableError) as caught:
        presigned_get(settings, "k", now_ms=0, expires_s=60)
    assert caught.value.error_code == "s3_not_configured"
    assert str(caught.value) == "The S3 interface is not configured: set S3_ACCESS_KEY, S3_BUCKET"
    assert KEYS["secret_key"] not in f"{settings!r} {caught.value}"
