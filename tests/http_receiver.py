"""A real HTTP server on the loopback interface that answers as a test wants, and keeps what it was sent."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def ok(request: web.Request) -> web.StreamResponse:
    """Take the message."""
    return web.Response(text="thanks")


def status(code: int, text: str = "", **headers: str) -> Answer:
    """Answer with a status."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=code, text=text, headers={name.replace("_", "-"): v for name, v in headers.items()})

    return answer


def port_that_is_free() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Got:
    """One request. `at` is this machine's monotonic clock, in seconds; `port` is the client's."""

    id: str
    headers: dict[str, str]
    body: str
    at: float
    port: int


class HttpReceiver:
    """Answers the requests in turn by `answers`, and all further ones by the last of them."""

    def __init__(self, *answers: Answer, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.got: list[Got] = []
        self.under_way = self.most_under_way = 0
        self.port = port
        self._answers = list(answers) or [ok]
        self._tls = tls
        self._ready: Future[asyncio.AbstractEventLoop] = Future()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/hooks"

    def ids(self) -> list[str]:
        """The ids in the order of arrival."""
        return [got.id for got in self.got]

    def __enter__(self) -> Self:
        self._thread.start()
        self._loop = self._ready.result(timeout=10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    async def _take(self, request: web.Request) -> web.StreamResponse:
        body = await request.text()
        assert request.transport is not None
        port = request.transport.get_extra_info("peername")[1]
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.got.append(Got(headers.get("webhook-id", ""), headers, body, time.monotonic(), port))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return await answer(request)
        finally:
            self.under_way -= 1

    async def _main(self) -> None:
        app = web.Application()
        app.router.add_post("/hooks", self._take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=self._tls)
            await site.start()
            self.port = runner.addresses[0][1]
            self._ready.set_result(asyncio.get_running_loop())
        except BaseException as error:
            self._ready.set_exception(error)
            raise
        await self._end.wait()
        await runner.cleanup()
