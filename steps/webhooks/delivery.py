"""One attempt at handing an event to a receiver (domain.md §5.4)."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import urljoin

import msgspec

from orchestrator.errors import HttpError, NonRetryableError
from orchestrator.ports import Http, HttpResponse
from steps.outbound import OutboundSettings, checked_url

#: A receiver has this long to answer.
TIMEOUT_MS = 20_000
#: What is read of an answer; receivers have nothing to say but their status.
MAX_ANSWER_BYTES = 65_536
#: What is kept of it, in the job's journal and in the log of deliveries.
MAX_KEPT_CHARS = 4_000
#: What the platform reports for a receiver that did not answer.
UNREACHABLE_STATUS = 503
#: Redirects are followed with the event, which a GET would lose; 303 says that the event was taken (RFC 9110 §15.4.4).
REDIRECTS = frozenset({301, 302, 307, 308})
MAX_REDIRECTS = 3
SEE_OTHER = 303


class Answer(msgspec.Struct, frozen=True):
    """What came of an attempt."""

    status: int
    response: str = ""
    #: No answer came: a timeout or a lost connection.
    unreachable: bool = False

    @property
    def delivered(self) -> bool:
        """Whether the receiver has the event."""
        return 200 <= self.status < 300 or self.status == SEE_OTHER


def signature(secret: str, body: bytes) -> str:
    """Return the signature of a body: hex of its HMAC-SHA256 under the secret's characters, prefix included."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


async def deliver(http: Http, outbound: OutboundSettings, url: str, secret: str, body: bytes, attempt: int) -> Answer:
    """Send an event to a receiver, and say what came of it. Raises nothing that the receiver can cause.

    Args:
        http: the way out.
        outbound: what may be called; every redirect is checked as well.
        url: the receiver's.
        secret: the receiver's.
        body: the event.
        attempt: 1-based; the receiver is told.
    """
    if not secret:
        return Answer(UNREACHABLE_STATUS, "The webhook has no secret")
    headers = {
        "content-type": "application/json",
        "agentset-signature": signature(secret, body),
        "user-agent": "Agentset-Webhook/1.0",
        "x-retry-count": str(attempt),
    }
    for _ in range(MAX_REDIRECTS + 1):
        try:
            url = checked_url(url, outbound)
            response = await http.request(
                "POST", url, headers=headers, body=body, timeout_ms=TIMEOUT_MS, max_body_bytes=MAX_ANSWER_BYTES
            )
        except HttpError as error:
            return _begun(error)
        except NonRetryableError as error:
            return Answer(UNREACHABLE_STATUS, str(error))
        location = response.headers.get("location")
        if response.status not in REDIRECTS or location is None:
            return Answer(response.status, _text(response))
        url = urljoin(url, location)
    return Answer(UNREACHABLE_STATUS, f"More than {MAX_REDIRECTS} redirects")


def _begun(error: HttpError) -> Answer:
    """Return the answer whose body was too long, too slow or cut: its status counts all the same."""
    status = error.details.get("status")
    if isinstance(status, int):
        return Answer(status, f"({error.error_code})")
    return Answer(UNREACHABLE_STATUS, "", unreachable=True)


def _text(response: HttpResponse) -> str:
    return response.body.decode(errors="replace")[:MAX_KEPT_CHARS]
