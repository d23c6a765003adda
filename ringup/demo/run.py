"""The demo from end to end: databases, past, `ringup run`, receiver, replay, and the account of it all."""

from __future__ import annotations

import json
import queue
import shutil
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringup.demo.cluster import DemoKafka
from ringup.demo.estate import PAST_DAYS, DemoEstate
from ringup.demo.folder import owned_folder
from ringup.demo.inbox import Account, Inbox, Message
from ringup.demo.process import RunProcess
from ringup.demo.receiver import Receiver, make_secret
from ringup.demo.replay import Replay
from ringup.demo.result import DemoResult, TillResult
from ringup.demo.show import Show
from ringup.reference import reference_folder
from ringup.stopping import stopped_by_signals

BILL_MESSAGE = "points_at_the_till"
"""The activation that has one message for each bill."""

_LOOK = 0.1
_QUIET = 1.0
_PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What one may choose. `bills` 0 goes on until Ctrl-C; `speed` is in bills per second, 0 as fast as it goes."""

    folder: Path = Path(".ringup/demo")
    bills: int = 3_000
    past_days: int = PAST_DAYS
    speed: float = 50.0
    json: bool = False
    fresh: bool = False
    kafka: bool = False


def run_demo(options: DemoOptions) -> DemoResult:
    """Run the demo and print it. Ctrl-C ends the replay and then all else in order; a second one ends at once."""
    show = Show(machine=options.json)
    with ExitStack() as stack:
        stop = stack.enter_context(stopped_by_signals())
        folder = stack.enter_context(owned_folder(options.folder.absolute(), fresh=options.fresh))
        estate = stack.enter_context(DemoEstate(folder, options.past_days, mariadb=options.kafka))
        _load(estate, show)
        came: queue.SimpleQueue[Message] = queue.SimpleQueue()
        secret = make_secret()
        receiver = stack.enter_context(Receiver(folder / "inbox.db", secret, came.put))
        cluster = None
        if options.kafka:
            with show.waiting("Starting Kafka and Kafka Connect"):
                cluster = stack.enter_context(DemoKafka(folder, estate.environ))
        write_project(folder, cluster)
        environ = {**estate.environ, "WEBHOOK_URL": receiver.url, "WEBHOOK_SECRET": secret}
        if cluster is not None:
            cluster.apply(folder, environ)
        run = RunProcess(folder, environ)
        stack.callback(run.stop)
        inbox = stack.enter_context(closing(Inbox(folder / "inbox.db")))
        result = _Demo(options, estate, run, inbox, came, show).play(stop)
        show.result(result, options.folder, kafka=options.kafka)
        with show.waiting("Stopping"):
            stack.close()
    return result


def _load(estate: DemoEstate, show: Show) -> None:
    show.about()
    with show.loading() as progress:
        past = estate.load(progress)
    replayed = len(estate.replayed())
    show.note(
        f"Loaded {past.bills:,} bills of the past."
        if past.fresh
        else f"Carrying on after {past.bills:,} bills of the past and {replayed:,} since (--fresh starts over)."
    )


def write_project(folder: Path, cluster: DemoKafka | None = None) -> None:
    """The project that the demo runs: the reference dbt project and connectors, and the receiver as channel.

    On Kafka the western tills have a MariaDB, and so another connector.
    """
    reference = reference_folder()
    sources = reference / "connectors" / "sources"
    if cluster is not None:
        sources = shutil.copytree(sources, folder / "sources", dirs_exist_ok=True)
        shutil.copy(Path(__file__).parent / "west.json", sources)
    kafka = "" if cluster is None else f"kafka: {json.dumps(cluster.settings)}\n"
    (folder / "ringup.yml").write_text(
        "# Written by `ringup demo` at each start.\n"
        "project: corner-shop\n"
        "state: .\n"
        f"dbt_project: {json.dumps(str(reference / 'dbt_project'))}\n"
        f"sources: {json.dumps(str(sources))}\n"
        f"{kafka}"
        "channels:\n"
        '  till_webhook: {type: webhook, url: "${env:WEBHOOK_URL}", secret: "${env:WEBHOOK_SECRET}"}\n'
    )


class _Demo:
    """One demo with everything started but `ringup run`."""

    def __init__(
        self,
        options: DemoOptions,
        estate: DemoEstate,
        run: RunProcess,
        inbox: Inbox,
        came: queue.SimpleQueue[Message],
        show: Show,
    ) -> None:
        self._options, self._estate, self._run = options, estate, run
        self._inbox, self._came, self._show = inbox, came, show
        self._began = time.time()
        self._last: Message | None = None
        self._sold = Counter[str]()

    def play(self, stop: threading.Event) -> DemoResult:
        """Wait for the first snapshot, replay, wait for the last message, and give account.

        Raises KeyboardInterrupt when it is stopped before there is anything to give account of.
        """
        started = time.monotonic()
        self._run.start()
        with self._show.waiting("Reading the databases") as progress:
            live = self._run.wait_until_live(
                stop, lambda status: progress("changes so far", int(status.get("changes", 0)), 0)
            )
        if not live:
            self._show.note("Stopped before the first bill.")
            raise KeyboardInterrupt
        if self._wait_until_followed(stop):
            speed = f"{self._options.speed:g} bills a second" if self._options.speed else "full speed"
            self._show.note(f"Live after {time.monotonic() - started:.0f} s. Now selling, at {speed}.\n")
            self._replay(stop)
            self._wait_for_the_last()
        return self._give_account()

    def _wait_until_followed(self, stop: threading.Event) -> bool:
        """A run that carries on is live before its capture process is: bills sold by then would look slow."""
        with self._show.waiting("Following the databases"):
            while not self._estate.followed():
                self._turn()
                if stop.is_set():
                    return False
        return True

    def _replay(self, stop: threading.Event) -> None:
        replay = Replay(self._estate.tills, self._estate.year, self._options.speed)
        with ThreadPoolExecutor(1, thread_name_prefix="replay") as thread:
            selling = thread.submit(
                replay.run, self._options.bills or None, stop, lambda bill: self._sold.update([bill.till])
            )
            try:
                while not selling.done():
                    self._turn()
            except BaseException:
                stop.set()
                raise
        self._tell_of_the_end(selling, stop)

    def _tell_of_the_end(self, selling: Future[int], stop: threading.Event) -> None:
        if stop.is_set():
            self._show.note("Stopping: waiting for the last messages (Ctrl-C again: at once).")
        elif selling.result() < (self._options.bills or self._estate.year.bills):
            self._show.note("That was the last bill of the year; --fresh starts over.")

    def _turn(self) -> bool:
        """Show what came, see that the run is alive; whether something came."""
        if self._run.check():
            self._show.note("`ringup run` died; it was started again.")
        time.sleep(_LOOK)
        messages = [self._came.get() for _ in range(self._came.qsize())]
        self._show.messages(messages)
        self._last = messages[-1] if messages else self._last
        return bool(messages)

    def _wait_for_the_last(self) -> None:
        """Until each bill has its message and no further one comes; or until nothing came for long."""
        quiet_since = time.monotonic()
        while True:
            if self._turn():
                quiet_since = time.monotonic()
                continue
            quiet = time.monotonic() - quiet_since
            if quiet > _PATIENCE or (quiet > _QUIET and not self._account().missing):
                return

    def _account(self) -> Account:
        return self._inbox.account(BILL_MESSAGE, self._estate.replayed())

    def _give_account(self) -> DemoResult:
        proof: dict[str, Any] | None = self._run.ask("prove")
        models = proof["models"] if proof is not None else []
        account = self._account()
        return DemoResult(
            bills=self._sold.total(),
            messages=self._inbox.count(since=self._began),
            age_ms=self._inbox.ages(BILL_MESSAGE, since=self._began),
            tills={
                till.name: TillResult(
                    self._sold[till.name],
                    self._inbox.ages(BILL_MESSAGE, since=self._began, events=f"{till.name}-*"),
                )
                for till in self._estate.tills
            },
            all_age_ms=self._inbox.ages(since=self._began),
            accounted=len(self._estate.replayed()),
            missing=len(account.missing),
            doubled=len(account.doubled),
            proved_models=len(models),
            prove_rows_differ=None if proof is None else sum(int(model["differ"]) for model in models),
            restarts=self._run.restarts,
            somebody=self._last.profile_id if self._last else None,
        )
