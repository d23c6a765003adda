"""The webhook channel against real receivers, good and bad."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import trustme
from aiohttp import web
from standardwebhooks import Webhook

from activations.channels.base import Outcome
from activations.channels.webhook import DOWN, REFUSALS, WebhookChannel
from tests.http_receiver import Answer, HttpReceiver, ok, status
from tests.outgoing import SECRET, delivery, webhook

WAITING = {401, 403, 404, 408, 423, 425, 500, 501, 520}


def send(channel: WebhookChannel, times: int = 1) -> list[Outcome]:
    """Send messages 1, 2, ... one after the other."""

    async def main() -> list[Outcome]:
        await channel.open()
        try:
            return [await channel.send(delivery(number)) for number in range(1, times + 1)]
        finally:
            await channel.close()

    return asyncio.run(main())


def answered(answer: Answer, **settings: object) -> Outcome:
    """How one message ends at a receiver that answers so."""
    with HttpReceiver(answer) as receiver:
        return send(webhook(receiver.url, **settings))[0]


def test_a_message_is_a_standard_webhook() -> None:
    """Its signature, id and time verify with the reference library, and the body is the delivery's, to the byte."""
    with HttpReceiver() as receiver:
        [outcome] = send(webhook(receiver.url))
    [got] = receiver.got
    assert outcome == Outcome("delivered", "200 OK", 200)
    assert got.id == delivery(1).delivery_id
    assert got.body == delivery(1).body
    assert got.headers["content-type"] == "application/json"
    assert Webhook(SECRET).verify(got.body, got.headers) == {"type": "points_at_the_till", "data": {"number": 1}}


def test_connections_are_kept() -> None:
    """Messages one after the other use one connection, also where the answers have bodies."""
    with HttpReceiver(status(200, "x" * 5000), status(204), status(500, "oh"), ok) as receiver:
        send(webhook(receiver.url), times=6)
    assert len({got.port for got in receiver.got}) == 1


@pytest.mark.parametrize("code", [200, 201, 202, 204, 299])
def test_every_2xx_is_delivery(code: int) -> None:
    """The receiver has taken the message."""
    assert answered(status(code)).state == "delivered"


@pytest.mark.parametrize("code", sorted(REFUSALS))
def test_a_refusal_rejects_the_message_with_the_receivers_words(code: int) -> None:
    """400, 410 and their like are final, and the reason is kept."""
    outcome = answered(status(code, "no such customer"))
    assert (outcome.state, outcome.status, outcome.channel_down) == ("rejected", code, False)
    assert outcome.detail.startswith(str(code))
    assert outcome.detail.endswith("no such customer")


@pytest.mark.parametrize("code", sorted(WAITING | DOWN))
def test_any_other_failure_waits(code: int) -> None:
    """A wrong path, a wrong password or a broken receiver loses nothing; a missing one holds the channel."""
    outcome = answered(status(code))
    assert (outcome.state, outcome.status, outcome.channel_down) == ("retry", code, code in DOWN)


def test_a_redirect_is_not_followed() -> None:
    """A message goes to the address that was configured and nowhere else; it waits for a person to mend that."""
    with HttpReceiver() as elsewhere, HttpReceiver(status(307, Location=elsewhere.url)) as receiver:
        [outcome] = send(webhook(receiver.url))
    assert (outcome.state, outcome.status) == ("retry", 307)
    assert "set the channel's url" in outcome.detail
    assert elsewhere.got == []


def test_retry_after_is_read_as_seconds_or_as_a_date() -> None:
    """Both forms of the header say how long to wait."""
    now = datetime.now(UTC)
    date = {"Date": format_datetime(now, usegmt=True)}
    until = format_datetime(now + timedelta(seconds=90), usegmt=True)
    assert answered(status(429, Retry_After="120")).retry_after == 120
    assert answered(status(503, Retry_After=until, **date)).retry_after == 90
    assert answered(status(500)).retry_after == 0


def test_a_receiver_that_does_not_answer_in_time_leaves_the_fate_unknown() -> None:
    """The message may have arrived, so the receipt says unknown; the wait ends at the timeout."""

    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    began = time.monotonic()
    outcome = answered(silent, timeout="300ms")
    assert 0.3 <= time.monotonic() - began < 3
    assert outcome == Outcome("unknown", "no answer within 0.3 s")


@pytest.mark.parametrize(("code", "state"), [(200, "delivered"), (400, "rejected"), (500, "retry")])
def test_a_slow_body_does_not_outlast_the_timeout(code: int, state: str) -> None:
    """The status counts as soon as it is there; the rest of the answer is waited for until the timeout only."""

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=code)
        await response.prepare(request)
        await response.write(b"the beginning")
        await asyncio.sleep(60)
        return response

    began = time.monotonic()
    outcome = answered(slow, timeout="300ms")
    assert time.monotonic() - began < 3
    assert outcome.state == state


@pytest.mark.parametrize(("code", "state"), [(200, "delivered"), (400, "rejected")])
def test_an_endless_body_is_cut_off(code: int, state: str) -> None:
    """A few kilobytes are read and the connection is closed, long before the timeout."""
    written = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse(status=code)
        await response.prepare(request)
        while True:
            await response.write(b"y" * 4096)
            written += 4096

    began = time.monotonic()
    outcome = answered(endless, timeout="30s")
    assert time.monotonic() - began < 5
    assert outcome.state == state
    assert len(outcome.detail) < 300
    assert written < 64 << 20


def test_a_connection_that_breaks_off_leaves_the_fate_unknown() -> None:
    """The receiver read the message and hung up; nobody knows whether it took it."""

    async def hang_up(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    outcome = answered(hang_up)
    assert outcome.state == "unknown"
    assert outcome.detail.startswith("no answer that can be read")


def test_an_answer_that_is_not_http_leaves_the_fate_unknown() -> None:
    """Something else listens there and took the bytes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        async def main() -> Outcome:
            channel = webhook(f"http://127.0.0.1:{server.getsockname()[1]}/hooks")
            await channel.open()
            sending = asyncio.ensure_future(channel.send(delivery(1)))
            connection, _ = await asyncio.to_thread(server.accept)
            with connection:
                connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
                outcome = await sending
            await channel.close()
            return outcome

        assert asyncio.run(main()).state == "unknown"


def test_nobody_there_means_that_the_channel_is_down() -> None:
    """A refused connection says nothing of the message, so it holds the channel, not the profile."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    [outcome] = send(webhook(f"http://127.0.0.1:{port}/hooks"))
    assert (outcome.state, outcome.channel_down, outcome.status) == ("retry", True, None)
    assert outcome.detail.startswith("no connection")


def test_a_host_that_does_not_exist_means_that_the_channel_is_down() -> None:
    """A name that cannot be resolved is no answer either."""
    [outcome] = send(webhook("http://nowhere.invalid/hooks"))
    assert (outcome.state, outcome.channel_down) == ("retry", True)


def tls(folder: Path, host: str) -> tuple[ssl.SSLContext, Path]:
    """A server's side of TLS for `host`, and the file of the authority that signed it."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    authority.cert_pem.write_to_path(folder / "authority.pem")
    return context, folder / "authority.pem"


def test_a_certificate_is_checked_by_the_systems_authorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver with a certificate that is trusted and names it gets its messages."""
    context, authority = tls(tmp_path, "127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    with HttpReceiver(tls=context) as receiver:
        [outcome] = send(webhook(receiver.url))
    assert outcome.state == "delivered"
    assert len(receiver.got) == 1


@pytest.mark.parametrize(("host", "trusted"), [("127.0.0.1", False), ("other.example", True)])
def test_a_wrong_certificate_gets_no_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, trusted: bool
) -> None:
    """Neither an unknown authority nor another host's certificate is accepted; the messages wait."""
    context, authority = tls(tmp_path, host)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    with HttpReceiver(tls=context) as receiver:
        [outcome] = send(webhook(receiver.url))
    assert (outcome.state, outcome.channel_down) == ("retry", True)
    assert "certificate" in outcome.detail.lower()
    assert receiver.got == []
