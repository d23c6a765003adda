"""A receiver of webhooks as a shop would have one: it verifies, keeps, and shows each message."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from ringup.demo.inbox import Inbox, Message
from ringup.started import Started


def make_secret() -> str:
    """A new secret of Standard Webhooks: `whsec_` and 32 random bytes."""
    return "whsec_" + b64encode(secrets.token_bytes(32)).decode()


class Receiver(Started):
    """An HTTP server on the loopback interface, in a thread of its own, that takes Standard Webhooks.

    It answers 204 once the message is in the inbox: before that, a crash would lose what the sender believes to be
    delivered. Keeping takes some 30 microseconds, so there is no need for batches. A request with a wrong signature
    or timestamp gets 401, one whose body is not a message 400; neither is kept. `on_message` hears, in the server's
    thread, of each message that came for the first time. Without `port`, a free one is chosen.
    """

    def __init__(
        self, inbox: Path, secret: str, on_message: Callable[[Message], None] = lambda message: None, port: int = 0
    ) -> None:
        self.refused = 0
        self._inbox, self._port, self._on_message = inbox, port, on_message
        self._webhook = Webhook(secret)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="receiver", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = threading.Event()
        self._error: OSError | None = None

    @property
    def url(self) -> str:
        """Where messages go."""
        return f"http://127.0.0.1:{self._port}/messages"

    def start(self) -> Self:
        """Serve, once the port listens; OSError when it is taken."""
        self._thread.start()
        self._started.wait()
        if self._error is not None:
            raise self._error
        return self

    def stop(self) -> None:
        """Answer what has come, and end."""
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        inbox = Inbox(self._inbox)

        async def receive(request: web.Request) -> web.Response:
            body, now = await request.read(), time.time()
            return self._receive(inbox, request, body, now)

        application = web.Application(client_max_size=1 << 20)
        application.router.add_post("/messages", receive)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", self._port)
            await site.start()
            self._port = runner.addresses[0][1]
            self._started.set()
            await self._stopped.wait()
        except OSError as error:
            self._error = error
            self._started.set()
        finally:
            await runner.cleanup()
            inbox.close()

    def _receive(self, inbox: Inbox, request: web.Request, body: bytes, now: float) -> web.Response:
        try:
            content = self._webhook.verify(body, dict(request.headers))
        except (WebhookVerificationError, ValueError) as error:
            self.refused += 1
            return web.Response(status=401, text=f"not signed by the one who shares the secret: {error}")
        try:
            message = _message(request.headers["webhook-id"], content, now)
        except (LookupError, TypeError, ValueError) as error:
            self.refused += 1
            return web.Response(status=400, text=f"not a message of ringup: {error!r}")
        if inbox.take(message):
            self._on_message(message)
        return web.Response(status=204)


def _message(webhook_id: str, content: Any, now: float) -> Message:
    data = content["data"]
    return Message(
        webhook_id=webhook_id,
        type=str(content["type"]),
        profile_id=int(data["profile_id"]),
        event_id=str(data["event_id"]),
        received_at=now,
        age_ms=(now - _began(data["committed_at"], content["timestamp"]).timestamp()) * 1000,
        data=data,
    )


def _began(committed_at: str, happened_at: str) -> datetime:
    """The commit that an age counts from.

    MariaDB's log has whole seconds, so an age would be up to a second too large. What happened within that second says
    it better by its own time, which the till took just before it committed.
    """
    committed, happened = datetime.fromisoformat(committed_at), datetime.fromisoformat(happened_at)
    within = not committed.microsecond and committed <= happened < committed + timedelta(seconds=1)
    return happened if within else committed
