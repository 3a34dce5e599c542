"""The deployment's settings of metering."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class StripeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Stripe; secrets stay out of its repr.

    Attributes:
        api_key: ``STRIPE_API_KEY``; without it nothing is metered.
        api_url: ``STRIPE_API_URL``.
        events_url: ``STRIPE_METER_EVENTS_URL``: where the stream of meter events is taken.
        decimals: ``METER_DECIMALS``: of the pages reported, whatever the way (W-23).
    """

    api_key: str | None = None
    api_url: str = "https://api.stripe.com"
    events_url: str = "https://meter-events.stripe.com"
    decimals: int = 2

    def __repr__(self) -> str:
        return "StripeSettings(…)"

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> StripeSettings:
        """Pick the settings out of the environment's variables; empty counts as unset."""
        return cls(
            api_key=env.get("STRIPE_API_KEY") or None,
            api_url=(env.get("STRIPE_API_URL") or "https://api.stripe.com").rstrip("/"),
            events_url=(env.get("STRIPE_METER_EVENTS_URL") or "https://meter-events.stripe.com").rstrip("/"),
            decimals=0 if env.get("METER_DECIMALS") == "0" else 2,
        )
