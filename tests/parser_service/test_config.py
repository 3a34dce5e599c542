"""The parser service's settings."""

from __future__ import annotations

import pytest

from orchestrator.errors import NonRetryableError
from steps.parser_service.config import POLL_MS, ParserServiceSettings


def test_the_base_of_the_routes() -> None:
    for url in ("https://parser.example.com", "https://parser.example.com/", "https://parser.example.com/ingest"):
        assert ParserServiceSettings.from_env({"PARTITION_API_URL": url}).url == "https://parser.example.com"
    assert ParserServiceSettings.from_env({"PARTITION_API_URL": ""}) == ParserServiceSettings(poll_ms=POLL_MS)


def test_the_key_is_not_shown() -> None:
    assert "secret" not in repr(ParserServiceSettings.from_env({"PARTITION_API_KEY": "secret"}))


def test_how_soon_the_service_is_asked() -> None:
    assert ParserServiceSettings.from_env({"PARTITION_POLL_MS": "1500"}).poll_ms == 1500
    for text in ("soon", "-1", "99", "1e3", "99999999"):
        with pytest.raises(NonRetryableError) as caught:
            ParserServiceSettings.from_env({"PARTITION_POLL_MS": text})
        assert caught.value.error_code == "invalid_setting"
