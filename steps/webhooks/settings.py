"""The deployment's settings of webhooks. See docs/decisions/0036-webhook-delivery.md for the choices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

#: Characters of a TEXT document that an event carries unless told otherwise.
TEXT_CHARS = 100_000
#: Most that may be asked for: a character takes up to six bytes of JSON, and a job's payload up to 1.9 MB.
MAX_TEXT_CHARS = 250_000

#: Which waits follow an attempt that got no answer: those of any failed attempt, or the platform's two short ones.
UnreachablePolicy = Literal["ladder", "brief"]


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Delivery, its log and its emails; secrets stay out of its repr.

    Attributes:
        unreachable: ``WEBHOOK_UNREACHABLE_RETRIES``: what follows a timeout or a lost connection (W-25).
        text_chars: ``WEBHOOK_TEXT_CHARS``: longest text of a document that events carry (W-27).
        tinybird_url: ``TINYBIRD_API_URL``: where deliveries are logged; without it they are not.
        tinybird_key: ``TINYBIRD_API_KEY``.
        resend_url: ``RESEND_API_URL``.
        resend_key: ``RESEND_API_KEY``: sends the owners' emails; without it none are sent.
        app_domain: ``APP_DOMAIN``: where the emails' links lead.
    """

    unreachable: UnreachablePolicy = "ladder"
    text_chars: int = TEXT_CHARS
    tinybird_url: str | None = None
    tinybird_key: str | None = None
    resend_url: str = "https://api.resend.com"
    resend_key: str | None = None
    app_domain: str = "app.agentset.ai"

    def __repr__(self) -> str:
        return "WebhookSettings(…)"

    @property
    def logs(self) -> bool:
        """Whether deliveries are logged."""
        return self.tinybird_url is not None and self.tinybird_key is not None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> WebhookSettings:
        """Pick the settings out of the environment's variables; empty counts as unset."""
        chars = env.get("WEBHOOK_TEXT_CHARS", "")
        return cls(
            unreachable="brief" if env.get("WEBHOOK_UNREACHABLE_RETRIES") == "brief" else "ladder",
            text_chars=min(int(chars), MAX_TEXT_CHARS) if chars.isdecimal() else TEXT_CHARS,
            tinybird_url=env.get("TINYBIRD_API_URL") or None,
            tinybird_key=env.get("TINYBIRD_API_KEY") or None,
            resend_url=env.get("RESEND_API_URL") or "https://api.resend.com",
            resend_key=env.get("RESEND_API_KEY") or None,
            app_domain=env.get("APP_DOMAIN") or "app.agentset.ai",
        )
