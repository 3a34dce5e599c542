"""Addresses that customers name, and what may be called of them (W-27): files, pages to crawl, webhooks.

Refused are other schemes than http and https, credentials in the address, addresses that are not public (private,
loopback, link-local, carrier, documentation, multicast, cloud metadata) in every spelling that a URL parser accepts,
and names that mean such a place. What was checked is what is sent: the address is rebuilt from its checked parts.
Redirects are followed hop by hop, each checked the same way.

What is not checked: where a name leads. A Worker cannot resolve names itself, so a public name that points to a
private address passes here; ``fetch`` on Cloudflare's network does not reach a private network, a self-hosted runtime
might. See ``docs/decisions/0030-outbound-addresses.md``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

import msgspec

from orchestrator.errors import NonRetryableError
from orchestrator.ports import Http, HttpResponse

MAX_REDIRECTS = 5
MAX_URL_CHARS = 8_192
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: Headers that go to the origin they were meant for, and those that describe a body.
_ORIGIN_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})
_BODY_HEADERS = frozenset({"content-type", "content-length", "content-encoding", "content-language"})

_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f\\]")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")

#: IANA's special-purpose registry of IPv4, and multicast, reserved and broadcast addresses.
REFUSED_V4 = [
    ipaddress.IPv4Network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    )
]
#: Everything in use of IPv6 lies in here, but for what is refused or carries an IPv4 address.
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_REFUSED_V6 = [ipaddress.IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "3fff::/20")]
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_6TO4 = ipaddress.IPv6Network("2002::/16")

#: Domains that name a place on this machine, in this network, or in a cloud's own (RFC 6761, 6762, 8375, 9476), and
#: public ones that exist to point to any private address.
_REFUSED_DOMAINS = frozenset(
    {
        *("localhost", "localdomain", "local", "internal", "intranet", "private", "corp", "home", "lan", "home.arpa"),
        *("alt", "onion", "invalid", "nip.io", "sslip.io", "xip.io", "localtest.me", "lvh.me", "vcap.me"),
    }
)

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class OutboundSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What may be called beyond public addresses.

    Attributes:
        allow_loopback: ``OUTBOUND_ALLOW_LOOPBACK=1``: this machine, for the local stack and for tests.
    """

    allow_loopback: bool = False

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> OutboundSettings:
        """Pick the settings out of the environment's variables."""
        return cls(allow_loopback=env.get("OUTBOUND_ALLOW_LOOPBACK") == "1")


class OutboundHttp:
    """An ``Http`` for addresses that customers name. Implements :class:`orchestrator.ports.Http`.

    Args:
        http: the way out, which answers redirects like anything else.
        settings: what may be called.
        max_redirects: hops that are followed; the redirect itself is the answer for 0.
    """

    def __init__(self, http: Http, settings: OutboundSettings, *, max_redirects: int = MAX_REDIRECTS) -> None:
        self._http = http
        self._settings = settings
        self._max_redirects = max_redirects

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_ms: int = 30_000,
        max_body_bytes: int = 16_000_000,
    ) -> HttpResponse:
        """Send a request, and follow its redirects as browsers do.

        Raises:
            NonRetryableError: code ``url_refused``, or ``too_many_redirects``.
            HttpError: see :class:`orchestrator.ports.Http`; every hop has the whole timeout.
        """
        sent = {name.lower(): value for name, value in (headers or {}).items()}
        url = checked_url(url, self._settings)
        for hop in range(self._max_redirects + 1):
            answer = await self._http.request(
                method, url, headers=sent, body=body, timeout_ms=timeout_ms, max_body_bytes=max_body_bytes
            )
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTS or location is None or not self._max_redirects:
                return answer
            if hop == self._max_redirects:
                break
            target = checked_url(urljoin(url, location.replace(" ", "%20")), self._settings)
            if _origin(target) != _origin(url):
                sent = {name: value for name, value in sent.items() if name not in _ORIGIN_HEADERS}
            if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):
                method, body = ("HEAD" if method == "HEAD" else "GET"), None
                sent = {name: value for name, value in sent.items() if name not in _BODY_HEADERS}
            url = target
        message = f"{_origin(url)} redirects more than {self._max_redirects} times"
        raise NonRetryableError(message, code="too_many_redirects")


def checked_url(url: str, settings: OutboundSettings) -> str:
    """Return the address to call: the given one, rebuilt from its checked parts, without its fragment.

    Raises:
        NonRetryableError: code ``url_refused``; the message shows no path or query, which may hold a signature.
    """
    text = url.strip()
    if len(text) > MAX_URL_CHARS:
        raise _refused("it is too long")
    if _UNPRINTABLE.search(text.partition("?")[0]) or re.search(r"[\x00-\x20\x7f]", text):
        raise _refused("it has blanks, control characters or backslashes")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise _refused("it is no valid address") from None
    if parts.scheme not in ("http", "https") or not text[len(parts.scheme) :].startswith("://"):
        raise _refused("only http and https are allowed")
    if "@" in parts.netloc:
        raise _refused("it carries credentials")
    if "%" in parts.netloc:
        raise _refused("its host is no valid name")
    host = _checked_host(parts, settings)
    netloc = host if port is None else f"{host}:{port}"
    return urlunsplit((parts.scheme, netloc, parts.path or "/", parts.query, ""))


def _checked_host(parts: SplitResult, settings: OutboundSettings) -> str:
    host = parts.hostname or ""
    if parts.netloc.startswith("["):
        try:
            address = ipaddress.IPv6Address(host)
        except ValueError:
            raise _refused("its host is no IPv6 address") from None
        _check_address(address, settings)
        return f"[{address}]"
    name = _ascii(host).removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise _refused("its host is no valid name")
    if _NUMBER.fullmatch(labels[-1]):
        address = _ipv4(labels)
        _check_address(address, settings)
        return str(address)
    _check_name(name, labels, settings)
    return name


def _ascii(host: str) -> str:
    """Return a name as the domain system has it: full-width letters and dots become plain ones."""
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode().lower()
    except UnicodeError:
        raise _refused("its host is no valid name") from None


def _ipv4(labels: list[str]) -> ipaddress.IPv4Address:
    """Read an IPv4 address the way browsers do: decimal, octal and hexadecimal, in one to four parts (URL standard)."""
    try:
        *first, last = [_number(label) for label in labels]
        value = last
        for index, number in enumerate(first):
            if number > 255:
                raise ValueError
            value += number << (8 * (3 - index))
        if len(labels) > 4 or last >= 256 ** (5 - len(labels)):
            raise ValueError
        return ipaddress.IPv4Address(value)
    except ValueError:
        raise _refused("its host is no IPv4 address") from None


def _number(label: str) -> int:
    if label.startswith("0x"):
        return int(label[2:] or "0", 16)
    return int(label, 8) if len(label) > 1 and label.startswith("0") else int(label)


def _check_address(address: _Address, settings: OutboundSettings) -> None:
    inner = _inner(address)
    if inner.is_loopback and settings.allow_loopback:
        return
    if isinstance(inner, ipaddress.IPv4Address):
        public = not any(inner in network for network in REFUSED_V4)
    else:
        public = inner in _GLOBAL_V6 and not any(inner in network for network in _REFUSED_V6)
    if not public:
        raise _refused(f"{address} is not a public address")


def _inner(address: _Address) -> _Address:
    """Return the IPv4 address that an IPv6 address stands for, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if address in _6TO4:
        return ipaddress.IPv4Address(int(address) >> 80 & 0xFFFF_FFFF)
    return address


def _check_name(name: str, labels: list[str], settings: OutboundSettings) -> None:
    if labels[-1] == "localhost" and settings.allow_loopback:
        return
    domains = {".".join(labels[at:]) for at in range(len(labels))}
    if len(labels) == 1 or domains & _REFUSED_DOMAINS:
        raise _refused(f"{name} is not a public name")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _refused(reason: str) -> NonRetryableError:
    return NonRetryableError(f"The address is refused: {reason}", code="url_refused")
