"""The emails that an organization's owner gets about a webhook that fails (domain.md §5.4), sent by Resend."""

from __future__ import annotations

from html import escape

import msgspec

from orchestrator.ports import Http
from steps.json_api import JsonApi
from steps.platform.webhooks import DISABLED_AFTER, Counted, Owner
from steps.webhooks.settings import WebhookSettings

_FROM, _REPLY_TO = "Agentset.ai <system@agentset.ai>", "support@agentset.ai"
FAILING = "Webhook is failing to deliver"
DISABLED = "Webhook has been disabled"


class Email(msgspec.Struct, frozen=True):
    """What is sent."""

    to: str
    subject: str
    html: str


class _Sent(msgspec.Struct, frozen=True):
    id: str


def failure_email(owner: Owner, webhook_id: str, counted: Counted, app_domain: str) -> Email:
    """Return the email about a count of failures."""
    origin = app_domain if "://" in app_domain else f"https://{app_domain}"
    link = escape(f"{origin.rstrip('/')}/{owner.slug}/webhooks/{webhook_id}/edit")
    url = escape(owner.url)
    if counted.disabled:
        subject = DISABLED
        text = (
            f"Your webhook {url} has failed to deliver {counted.failures} events in a row and has been disabled. "
            "Enable it again once it answers."
        )
    else:
        subject = FAILING
        text = (
            f"Your webhook {url} has failed to deliver {counted.failures} events in a row. "
            f"It will be disabled after {DISABLED_AFTER}."
        )
    return Email(owner.email, subject, f'<p>{text}</p><p><a href="{link}">{link}</a></p>')


async def send_email(http: Http, settings: WebhookSettings, email: Email, key: str) -> bool:
    """Send an email; tell whether emails are sent at all.

    Args:
        http: the way out.
        settings: who sends.
        email: what.
        key: the same key is one email, for 24 hours.

    Raises:
        RetryableError: it was not taken now.
        NonRetryableError: it never will be.
    """
    if settings.resend_key is None:
        return False
    headers = {"authorization": f"Bearer {settings.resend_key}", "idempotency-key": key}
    api = JsonApi(
        http,
        name="Resend",
        area="email",
        base_url=settings.resend_url.rstrip("/"),
        headers=headers,
        secret=settings.resend_key,
    )
    body = {
        "from": _FROM, "to": [email.to], "reply_to": _REPLY_TO, "subject": email.subject, "html": email.html,
    }  # fmt: skip
    await api.post("/emails", body, _Sent)
    return True
