"""The local API of a running project: `status`, `profile`, `prove` and `copy` as JSON over a Unix socket."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from activations.messages import encode
from ringup import service
from ringup.errors import RingupError, WarehouseError
from transforms.prove import ProofReport

log = logging.getLogger(__name__)

THREADS = 2
"""How many questions are worked on at once; more of them wait, and the pipeline goes on."""


class Answers(Protocol):
    """What can be asked: a pipeline."""

    def status(self) -> dict[str, Any]:
        """What the run is doing."""

    def profile(self, profile_id: int) -> dict[str, Any] | None:
        """One profile, or None."""

    def prove(self) -> ProofReport:
        """Both clocks compared."""

    def copy(self, path: str) -> dict[str, Any]:
        """The rows of all models copied into a file."""


def written(answer: object) -> str:
    """An answer as JSON, exact as messages are; a proof also has the sum of its differing rows."""
    if isinstance(answer, ProofReport):
        answer = {"batch": answer.batch, "differ": answer.differ, "models": [asdict(m) for m in answer.models]}
    return encode({"answer": answer})[len('{"answer":') : -1]


def plain(answer: object) -> Any:
    """An answer as those get it who ask over the socket."""
    return orjson.loads(written(answer))


class Api:
    """Answers in threads of its own from construction on, until `stop`."""

    def __init__(self, answers: Answers, state: Path) -> None:
        self._state = state
        self._answers = answers
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="answer")
        routes = [Route(f"/v1/{name}", self._route(name)) for name in ("status", "profile", "prove", "copy")]
        config = uvicorn.Config(
            Starlette(routes=routes),
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=2,
        )
        self._server = uvicorn.Server(config)
        self._socket = service.listen(state)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="api", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Finish what is asked, within two seconds, and remove the socket. A second call does nothing."""
        if self._server.should_exit:
            return
        self._server.should_exit = True
        self._thread.join()
        self._pool.shutdown(wait=False, cancel_futures=True)
        service.unlisten(self._state, self._socket)

    def _route(self, name: str) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            work = partial(self._answer, name, request)
            status, body = await asyncio.get_running_loop().run_in_executor(self._pool, work)
            return Response(body, status, media_type="application/json")

        return endpoint

    def _answer(self, name: str, request: Request) -> tuple[int, str]:
        try:
            match name:
                case "status":
                    return 200, written(self._answers.status())
                case "profile":
                    return 200, written(self._answers.profile(int(request.query_params["profile_id"])))
                case "copy":
                    return 200, written(self._answers.copy(request.query_params["path"]))
                case _:
                    return 200, written(self._answers.prove())
        except RingupError as error:
            return 409, written(_told(error))
        except (KeyError, ValueError):
            return 400, written(_told(WarehouseError("profile_id must be a number", mend="ringup profile 12")))
        except Exception as error:
            log.exception("could not answer %s", name)
            mend = "Ask again; the run's log says more."
            return 500, written(_told(WarehouseError(f"the running process could not answer: {error}", mend=mend)))


def _told(error: RingupError) -> dict[str, str | None]:
    return {"error": type(error).__name__, "message": error.message, "where": error.where, "mend": error.mend}


def serve(answers: Answers, state: Path) -> Api:
    """Answer questions about the project that runs on `state`, beside what this thread does."""
    return Api(answers, state)
