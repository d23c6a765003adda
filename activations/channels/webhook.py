"""Webhooks that follow Standard Webhooks 1.0.0: signed, with an id that stays the same over all attempts.

An answer of 2xx is delivery. An answer that refuses this message for good (REFUSALS) rejects it. After anything else
the message is sent again, under the same id: no answer, a wrong certificate, a redirect (which is not followed),
a wrong password, an error of the receiver. DOWN and a missing connection hold the whole channel.
"""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Annotated, Literal

import aiohttp
from pydantic import AfterValidator, AnyHttpUrl, Field, SecretStr
from standardwebhooks import Webhook

from activations.channels.base import Outcome
from activations.types import Delivery
from ringup.config import Config, Settings
from ringup.durations import Duration
from ringup.errors import ChannelError

REFUSALS = frozenset({400, 406, 409, 410, 413, 414, 415, 422, 431, 451})
"""Answers that say no to this message, now and later."""

DOWN = frozenset({429, 502, 503, 504})
"""Answers that say no to any message for now: too many, or nobody behind the gateway."""

MOST_READ = 16 * 1024
"""Bytes of an answer's body that are read; a connection with more to come is closed."""

SHOWN = 200
"""Characters of a refusal's body that the receipt keeps."""


def _whole_secret(secret: SecretStr) -> SecretStr:
    encoded = secret.get_secret_value().removeprefix("whsec_")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        key = b""
    if not 24 <= len(key) <= 64:
        raise ValueError("this is not a webhook secret|Write `whsec_` and 24 to 64 random bytes in base64.")
    return secret


class WebhookSettings(Settings):
    """Where the webhook is, and how patient to be with it."""

    type: Literal["webhook"]
    """An HTTP endpoint that follows Standard Webhooks."""
    url: AnyHttpUrl
    """Where messages are posted to."""
    secret: Annotated[SecretStr, AfterValidator(_whole_secret)]
    """The key that messages are signed with, shared with the receiver: `whsec_` and 24 to 64 bytes in base64."""
    timeout: Annotated[Duration, Field(gt=timedelta())] = timedelta(seconds=5)
    """For a whole attempt, from the connection to the end of the answer; at most half of it for the connection."""
    retry: Annotated[tuple[Annotated[Duration, Field(gt=timedelta())], ...], Field(min_length=1)] = tuple(
        timedelta(seconds=seconds) for seconds in (1, 5, 30, 300, 1800)
    )
    """The longest wait before each further attempt. The last one repeats until the receiver answers."""
    in_flight: Annotated[int, Field(ge=1, le=1000)] = 64
    """How many messages may be under way at once."""

    def channel(self, name: str, config: Config) -> WebhookChannel:
        """The channel with these settings."""
        return WebhookChannel(self)


class WebhookChannel:
    """Sends each message as one signed POST, over connections that are kept."""

    def __init__(self, settings: WebhookSettings) -> None:
        self.retry: Sequence[timedelta] = settings.retry
        self.in_flight = settings.in_flight
        self._timeout = settings.timeout.total_seconds()
        self._url = str(settings.url)
        self._signer = Webhook(settings.secret.get_secret_value())
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the connection pool; nothing is connected before the first message.

        Certificates are checked by the authorities that the system trusts; SSL_CERT_FILE may name others.
        """
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self.in_flight, keepalive_timeout=60, ssl=ssl.create_default_context()
            ),
            timeout=aiohttp.ClientTimeout(
                total=self._timeout, sock_connect=self._timeout / 2, ceil_threshold=float("inf")
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"content-type": "application/json", "user-agent": "ringup"},
        )

    async def send(self, delivery: Delivery) -> Outcome:
        """Post the message once."""
        if self._session is None:
            raise ChannelError("the channel is not open", mend="Send through a Dispatcher that was started.")
        body = delivery.body.encode()
        try:
            async with self._session.post(
                self._url, data=body, headers=self._signed(delivery), allow_redirects=False
            ) as response:
                return await self._outcome(response)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            return Outcome("retry", f"no connection: {error}", channel_down=True)
        except TimeoutError:
            return Outcome("unknown", f"no answer within {self._timeout:g} s")
        except aiohttp.ClientError as error:
            return Outcome("unknown", f"no answer that can be read: {error or type(error).__name__}"[:SHOWN])

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _signed(self, delivery: Delivery) -> dict[str, str]:
        now = datetime.now(UTC)
        return {
            "webhook-id": delivery.delivery_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(delivery.delivery_id, now, delivery.body),
        }

    async def _outcome(self, response: aiohttp.ClientResponse) -> Outcome:
        said = await _beginning(response)
        status, detail = response.status, f"{response.status} {response.reason or ''}".rstrip()
        if 200 <= status < 300:
            return Outcome("delivered", detail, status)
        if 300 <= status < 400:
            return Outcome("retry", f"{detail}: redirects are not followed; set the channel's url", status)
        detail = f"{detail}: {said}" if said else detail
        if status in REFUSALS:
            return Outcome("rejected", detail, status)
        return Outcome("retry", detail, status, retry_after(response.headers), channel_down=status in DOWN)


async def _beginning(response: aiohttp.ClientResponse) -> str:
    """The beginning of the answer's body. The status has arrived by now, so a body that breaks off changes nothing."""
    read = bytearray()
    try:
        while len(read) < MOST_READ and (chunk := await response.content.readany()):
            read += chunk
    except (aiohttp.ClientError, TimeoutError):
        pass
    if not response.content.at_eof():
        response.close()
    return read[: 4 * SHOWN].decode(errors="replace")[:SHOWN].strip()


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the receiver asks to wait, given as a number or a date; 0 where it does not say.

    A date is compared with the receiver's own clock, where it tells its time.
    """
    wish = headers.get("Retry-After", "").strip()
    if wish.isdecimal():
        return float(wish)
    until, now = _date(wish), _date(headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds()) if until else 0.0


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
