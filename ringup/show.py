"""What the commands print for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ringup.errors import RingupError
from ringup.metrics import SINCE_THE_START

console = Console(highlight=False)
_MESSAGES = 10


def error(problem: RingupError, *, as_json: bool = False) -> None:
    """What is wrong, where, and what to do: on standard error, or as one JSON object on standard output."""
    if as_json:
        said = {"error": type(problem).__name__, "message": problem.message, "where": problem.where}
        print(json.dumps({**said, "mend": problem.mend}, ensure_ascii=False))
        return
    to = Console(stderr=True, highlight=False)
    to.print(Text.assemble(("Error: ", "bold red"), problem.message), soft_wrap=True)
    if problem.where:
        to.print(Text.assemble(("Where: ", "bold"), problem.where), soft_wrap=True)
    to.print(Text.assemble(("Mend:  ", "bold green"), problem.mend), soft_wrap=True)


def status(answer: Mapping[str, Any]) -> None:
    """What the pipeline is doing, a line for each figure."""
    since = [name for name in SINCE_THE_START if name in answer]
    apart = (
        "sources",
        "log",
        "lake",
        "scheduled",
        "channels",
        "reasons",
        "absent",
        "edited",
        "outdated",
        "outbox",
        "rows",
        *since,
    )
    console.print(_pairs({name: _count(value) for name, value in answer.items() if name not in apart}))
    console.print(Text("\nSources", style="bold"))
    console.print(_pairs({name: _source(said) for name, said in answer["sources"].items()}))
    for name, title in (("log", "Change log"), ("lake", "Lake")):
        if answer[name]["cause"]:
            console.print(Text(f"\n{title}", style="bold"))
            console.print(_pairs({name: _source(answer[name])}))
    if said := _scheduled(answer["scheduled"]):
        console.print(Text("\nScheduled runs", style="bold"))
        console.print(_pairs(said))
    if answer["channels"]:
        console.print(Text("\nChannels", style="bold"))
        console.print(_pairs({name: _source(said) for name, said in answer["channels"].items()}))
    blocks = {
        "Since the start": {name: answer[name] for name in since},
        "Messages in the outbox": answer["outbox"],
        "Rows of the models": answer["rows"],
    }
    for title, block in blocks.items():
        console.print(Text(f"\n{title}", style="bold"))
        console.print(_pairs({name: _count(value) for name, value in block.items()}))
    if answer["reasons"]:
        console.print(Text("\nChanges that were set aside", style="bold"))
        console.print(_pairs(_aside(answer["reasons"])))
        words = "Once the cause is mended, `ringup connectors snapshot SOURCE TABLE` reads a table again."
        console.print(Text(words, style="dim"), soft_wrap=True)
    if answer["absent"]:
        console.print(Text("\nDeclared columns that do not come any more, and are null", style="bold"))
        console.print(_pairs({relation: ", ".join(columns) for relation, columns in answer["absent"].items()}))
    if answer["edited"]:
        words = "\nThe dbt project was edited since the start; the run goes on with what it was. Start it again."
        console.print(Text(words, style="yellow"))
    _outdated(answer["outdated"])


def profile(answer: Mapping[str, Any] | None, profile_id: int) -> None:
    """Traits, segments and messages of a customer."""
    if answer is None:
        console.print(f"No model knows a profile {profile_id}.")
        return
    if not answer["marts"] and not answer["segments"]:
        console.print(f"No mart and no segment has a profile {profile_id}.")
    for mart, row in answer["marts"].items():
        _rows(mart, row)
    for segment, row in answer["segments"].items():
        _rows(f"in segment {segment}", row)
    messages = answer["messages"]
    console.print(Text(f"\nMessages, the newest first ({len(messages)})" if messages else "\nNo messages", "bold"))
    width = max((len(message["channel"]) for message in messages[:_MESSAGES]), default=0)
    for message in messages[:_MESSAGES]:
        line = Text(f"{str(message['committed_at'])[:19]}  ", style="dim")
        line.append(f"{message['state']:9} ", style="green" if message["state"] == "delivered" else "yellow")
        line.append(f"{message['channel']:{width}} ", style="dim")
        line.append(message["body"]["data"]["text"], style="not dim")
        console.print(line, soft_wrap=True)
    _outdated(answer["outdated"])


def proof(answer: Mapping[str, Any]) -> None:
    """How many rows differ in each model, and the first that do."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Model")
    table.add_column("Rows", justify="right")
    table.add_column("Differ", justify="right")
    for model in answer["models"]:
        table.add_row(model["model"], f"{model['rows']:,}", f"{model['differ']:,}")
    console.print(table)
    for model in answer["models"]:
        if model["examples"]:
            console.print(Text(f"\n{model['model']}: the first that differ", style="bold"))
            for example in model["examples"]:
                side = example.get("side")
                values = "  ".join(f"{name}={_value(value)}" for name, value in example.items() if name != "side")
                console.print(Text.assemble((f"{side:9} ", "red" if side == "kept" else "green"), values))
    style = "bold red" if answer["differ"] else "bold green"
    console.print(Text(f"\n{answer['differ']:,} rows differ", style=style))


def _scheduled(said: Mapping[str, Any]) -> dict[str, str]:
    """The newest scheduled run, and when the next is due."""
    found = {}
    if (last := said["last"]) is not None:
        differ = f", {last['differ']:,} rows differ" if last["differ"] else ""
        found["last"] = f"{last['state']}{differ}, {last['began'][:16]} UTC" + (
            f": {last['why']}" if last["why"] else ""
        )
    if said["due"] is not None:
        found["next"] = f"{said['due'][:16]} UTC"
    return found


def _aside(reasons: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """By topic, why changes were set aside, how many, and the newest of them, by which to find the row."""
    found = dict[str, list[str]]()
    for said in reasons:
        newest = f"   the newest at {said['last_at'][:19]} UTC, key {said['key'] or 'unknown'}"
        found.setdefault(said["topic"], []).append(f"{said['changes']:,}: {said['reason']}\n{newest}")
    return {topic: "\n".join(lines) for topic, lines in found.items()}


def _outdated(models: Sequence[str]) -> None:
    if models:
        words = f"\nChanged since the last run: {', '.join(models)}. Rows are shown as they were; "
        console.print(Text(f"{words}`ringup run` computes them anew.", style="yellow"), soft_wrap=True)


def _rows(name: str, rows: Any) -> None:
    console.print(Text(f"\n{name}", style="bold"))
    for row in rows if isinstance(rows, list) else [rows]:
        console.print(_pairs(row))


def _pairs(row: Mapping[str, Any]) -> Table:
    table = Table.grid(padding=(0, 3))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in row.items():
        table.add_row(name, _value(value))
    return table


def _source(said: Mapping[str, Any]) -> str:
    """A source's state, and below it why and what to do."""
    return "\n".join(filter(None, [said["state"], said["cause"], said["mend"]]))


def _count(value: Any) -> str:
    if value is None:
        return "unknown"
    return f"{value:,}" if isinstance(value, int) else _value(value)


def _value(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case dict():
            return ", ".join(f"{name} {_value(item)}" for name, item in value.items())
    return str(value)
