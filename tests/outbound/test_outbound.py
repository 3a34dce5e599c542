"""What may be called of the addresses that customers name."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.bundle import ROOT
from local.http import HttpxHttp
from orchestrator.errors import NonRetryableError
from orchestrator.ports import HttpResponse
from steps.outbound import REFUSED_V4, OutboundHttp, OutboundSettings, checked_url
from tests.embeddings.stub_server import Received, Reply, StubServer

PUBLIC = OutboundSettings()
LOCAL = OutboundSettings(allow_loopback=True)


def wide(text: str) -> str:
    """Return plain letters and digits as full-width ones, which name the same host."""
    return "".join(chr(ord(character) + 0xFEE0) for character in text)


ALLOWED = {
    "https://example.com": "https://example.com/",
    " HTTPS://Example.COM:8443/a%20b?q=1&r=\\x#part ": "https://example.com:8443/a%20b?q=1&r=\\x",
    "http://example.com./a": "http://example.com/a",
    "http://8.8.8.8/": "http://8.8.8.8/",
    "http://0x08.8.0x808/": "http://8.8.8.8/",
    "http://134744072/": "http://8.8.8.8/",
    "http://[2606:4700::1111]:80/": "http://[2606:4700::1111]:80/",
    "http://[::ffff:8.8.8.8]/": "http://[::ffff:808:808]/",
    "http://[64:ff9b::808:808]/": "http://[64:ff9b::808:808]/",
    "https://münchen.example/ä": "https://xn--mnchen-3ya.example/ä",
    f"https://{wide('example')}\u3002com/": "https://example.com/",
    "https://a_b.example.com/": "https://a_b.example.com/",
    "https://123.example/": "https://123.example/",
}
LOOPBACK = [
    *("http://127.0.0.1/", "http://127.1/", "http://127.255.0.9:80/", "http://2130706433/", "http://0177.0.0.1/"),
    *(
        "http://0x7f.0.0.1/",
        "http://0x7F000001/",
        "http://127.0.0.1./",
        f"http://{wide('127')}\u30020.0\uff0e1/",
        "http://[::1]/",
    ),
    *("http://[0:0:0:0:0:0:0:1]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://localhost/"),
    *("http://LOCALHOST./", "http://a.localhost:8787/", "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/"),
]
REFUSED = [
    *("http://0/", "http://0.0.0.0/", "http://10.1.2.3/", "http://100.64.0.1/", "http://100.100.100.200/"),
    *(
        "http://169.254.169.254/latest/meta-data/",
        "http://0xA9FEA9FE/",
        "http://2852039166/",
        "http://0251.0376.43518/",
    ),
    *(
        "http://172.16.0.1/",
        "http://172.31.255.255/",
        "http://192.168.1.1/",
        "http://192.0.0.192/",
        "http://198.18.0.1/",
    ),
    *("http://224.0.0.1/", "http://255.255.255.255/", "http://203.0.113.7/"),
    *("http://[::]/", "http://[fe80::1]/", "http://[fe80::1%25eth0]/", "http://[fc00::1]/", "http://[fd00:ec2::254]/"),
    *("http://[ff02::1]/", "http://[::127.0.0.1]/", "http://[::ffff:169.254.169.254]/", "http://[2001:db8::1]/"),
    *("http://[2002:a9fe:a9fe::]/", "http://[64:ff9b::a00:1]/", "http://[2001:0:1::]/", "http://[::1%25lo]/"),
    *("http://metadata.google.internal/", "http://metadata/", "http://instance-data/", "http://router.lan/"),
    *("http://printer.local/", "http://db.internal:5432/", "http://10-0-0-1.nip.io/", "http://lvh.me/"),
    *("ftp://example.com/", "file:///etc/passwd", "javascript:alert(1)", "//example.com/", "example.com", ""),
    *(
        "http:example.com",
        "http:/example.com",
        "http:///example.com",
        "http://",
        "http://:80/",
        "http://[",
        "http://[]/",
    ),
    *("http://user@example.com/", "http://user:pass@example.com/", "http://example.com\\@10.0.0.1/"),
    *("http://10.0.0.1\\.example.com/", "http://exa mple.com/", "http://example.com\n.evil/", "http://exam\tple.com/"),
    *("http://example.com:99999/", "http://example.com:x/", "http://%31%30.0.0.1/", "http://a..b/", "http://-a.com/"),
    *(
        "http://1.2.3.4.5/",
        "http://1.2.3.256/",
        "http://256.0.0.1/",
        "http://0x/",
        "http://a.08/",
        "http://1.0x1ffffffff/",
    ),
    *("http://example.com/" + "a" * 9_000, "http://" + "a" * 64 + ".com/", "http://ex%61mple.com/"),
]


def refusal(url: str, settings: OutboundSettings = PUBLIC) -> str:
    with pytest.raises(NonRetryableError) as caught:
        checked_url(url, settings)
    assert caught.value.error_code == "url_refused"
    return str(caught.value)


@pytest.mark.parametrize("url", ALLOWED)
def test_public_addresses_pass_in_their_plain_form(url: str) -> None:
    assert checked_url(url, PUBLIC) == ALLOWED[url]


@pytest.mark.parametrize("url", LOOPBACK)
def test_loopback_passes_where_it_is_allowed_only(url: str) -> None:
    refusal(url)
    checked_url(url, LOCAL)


@pytest.mark.parametrize("url", REFUSED)
def test_everything_else_is_refused_with_and_without_loopback(url: str) -> None:
    refusal(url)
    refusal(url, LOCAL)


def test_a_refusal_shows_no_path_and_no_query() -> None:
    assert "secret" not in refusal("http://10.0.0.1/secret?signature=secret#secret")
    assert "secret" not in refusal("http://secret:secret@example.com/")


@given(
    number=st.integers(0, 2**32 - 1) | st.sampled_from([int(net[0]) for net in REFUSED_V4]),
    parts=st.integers(1, 4),
    spellings=st.lists(st.sampled_from(["{:d}", "0{:o}", "{:#x}", "0x00{:X}"]), min_size=4, max_size=4),
)
def test_every_spelling_of_an_ipv4_address_is_judged_as_that_address(
    number: int, parts: int, spellings: list[str]
) -> None:
    high, rest = divmod(number, 256 ** (5 - parts))
    values = [*high.to_bytes(parts - 1, "big"), rest]
    host = ".".join(spelling.format(value) for spelling, value in zip(spellings, values, strict=False))
    address = IPv4Address(number)
    try:
        assert checked_url(f"http://{host}/", PUBLIC) == f"http://{address}/"
    except NonRetryableError:
        # Python calls a few addresses of these networks global.
        special = address in IPv4Network("192.0.0.0/24") or address in IPv4Network("192.88.99.0/24")
        assert not address.is_global or address.is_multicast or special
    else:
        assert address.is_global
        assert not address.is_multicast


def test_what_was_checked_is_what_fetch_calls() -> None:
    """The runtime's own URL parser (Node's is the same standard's) sees the host that was checked."""
    checked = [checked_url(url, LOCAL) for url in [*ALLOWED, *LOOPBACK]]
    script = "process.stdout.write(JSON.stringify(JSON.parse(process.argv[1]).map(u => new URL(u).host)))"
    node = [str(ROOT / ".venv" / "bin" / "node"), "-e", script, json.dumps(checked)]
    hosts = json.loads(subprocess.run(node, capture_output=True, check=True, timeout=30).stdout)
    ours = [url.split("/")[2].removesuffix(":80") for url in checked]
    assert hosts == ours


def fetch(
    url: str,
    *,
    settings: OutboundSettings = LOCAL,
    method: str = "GET",
    hops: int = 5,
    headers: Mapping[str, str] | None = None,
) -> HttpResponse:
    async def call() -> HttpResponse:
        async with HttpxHttp() as http:
            outbound = OutboundHttp(http, settings, max_redirects=hops)
            return await outbound.request(method, url, headers=headers, body=b"abc" if method == "POST" else None)

    return asyncio.run(call())


def redirecting(target: Callable[[Received], str | None], status: int = 302) -> StubServer:
    def answer(request: Received) -> Reply:
        location = target(request)
        return Reply(200, request.body) if location is None else Reply(status, b"", {"location": location})

    return StubServer(answer)


def test_redirects_are_followed() -> None:
    steps = {"/a": "b", "/b": "/c d", "/c%20d": "//127.0.0.1:{port}/e"}
    with redirecting(lambda r: steps[r.path].format(port=server.url.rpartition(":")[2]) if r.path in steps else None) as server:  # fmt: skip  # noqa: E501
        assert fetch(server.url + "/a").status == 200
        assert [request.path for request in server.received] == ["/a", "/b", "/c%20d", "/e"]


@pytest.mark.parametrize(
    "target", ["http://169.254.169.254/latest", "//10.0.0.1/", "file:///etc/passwd", "http://[::]/"]
)
def test_a_redirect_to_a_refused_address_is_refused(target: str) -> None:
    with redirecting(lambda _: target) as server, pytest.raises(NonRetryableError) as caught:
        fetch(server.url)
    assert caught.value.error_code == "url_refused"
    assert len(server.received) == 1


def test_redirects_end() -> None:
    with redirecting(lambda _: "/again") as server:
        with pytest.raises(NonRetryableError) as caught:
            fetch(server.url)
        assert caught.value.error_code == "too_many_redirects"
        assert len(server.received) == 6
        assert fetch(server.url, hops=0).status == 302


@pytest.mark.parametrize(
    ("status", "method", "body"), [(301, "GET", b""), (302, "GET", b""), (303, "GET", b""), (307, "POST", b"abc")]
)
def test_a_redirected_post(status: int, method: str, body: bytes) -> None:
    with redirecting(lambda r: "/there" if r.path == "/here" else None, status) as server:
        fetch(server.url + "/here", method="POST", headers={"Content-Type": "text/plain"})
        last = server.received[-1]
        assert (last.path, last.method, last.body) == ("/there", method, body)
        assert ("content-type" in last.headers) == (method == "POST")


def test_secrets_stay_with_their_origin() -> None:
    with StubServer(lambda _: Reply()) as other, redirecting(lambda r: f"{other.url}/x" if r.path == "/b" else "/b") as server:  # fmt: skip  # noqa: E501
        fetch(server.url + "/a", headers={"Authorization": "Bearer secret", "Range": "bytes=0-9"})
        assert [request.headers.get("authorization") for request in server.received] == ["Bearer secret"] * 2
        assert "authorization" not in other.received[0].headers
        assert other.received[0].headers["range"] == "bytes=0-9"


def test_the_setting() -> None:
    assert OutboundSettings.from_env({}) == OutboundSettings.from_env({"OUTBOUND_ALLOW_LOOPBACK": "true"}) == PUBLIC
    assert OutboundSettings.from_env({"OUTBOUND_ALLOW_LOOPBACK": "1"}) == LOCAL
