"""`ringup connectors`: sources as code, from a database that nobody has looked at to connectors in Kafka Connect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ringup.options import DIFFERS, Json, Project, group

if TYPE_CHECKING:
    from connectors.connect import Connect

app = group(
    "connectors",
    "Keep the connectors in Kafka Connect as connectors/sources/ describes them.",
    epilog="See what would change: `ringup connectors plan`. Do it: `ringup connectors apply`.",
)

Kind = Literal["postgres", "mariadb"]
Names = Annotated[list[str] | None, typer.Argument(help="Connectors; without a name, all of the project's.")]


@app.command(epilog="`ringup connectors plan && echo nothing to do`")
def plan(names: Names = None, project: Project = Path(), as_json: Json = False) -> None:
    """Show what `apply` would change. Exit status 1 when that is anything."""
    from ringup.connecting import Connecting, show_steps

    steps = Connecting(project, names).plan()
    show_steps(steps, as_json=as_json, done=False)
    if any(found.kind != "nothing" for found in steps):
        raise typer.Exit(DIFFERS)


@app.command(epilog="`ringup connectors apply`")
def apply(names: Names = None, project: Project = Path(), as_json: Json = False) -> None:
    """Prepare the databases, and create or change the connectors. A second time nothing happens.

    All of them are checked by Kafka Connect before the first one is changed. A database is prepared (publication,
    replica identity) where the variables that its source refers to are set here, too.
    """
    from ringup.connecting import Connecting, show_steps

    show_steps(Connecting(project, names).apply(), as_json=as_json, done=True)


@app.command(epilog="`ringup connectors status --json | jq '.[].state'`")
def status(names: Names = None, project: Project = Path(), as_json: Json = False) -> None:
    """Say what the connectors and their tasks are doing, and why where they failed.

    Exit status 1 when one is not running.
    """
    from ringup.connecting import Connecting, show_states

    states = Connecting(project, names).states()
    show_states(states, as_json=as_json)
    if not all(state.running for state in states):
        raise typer.Exit(DIFFERS)


@app.command(epilog="`ringup connectors pause pos`")
def pause(names: Names = None, project: Project = Path()) -> None:
    """Let connectors rest; they keep their place."""
    _each(project, names, "paused", lambda connect, name: connect.pause(name))


@app.command(epilog="`ringup connectors resume pos`")
def resume(names: Names = None, project: Project = Path()) -> None:
    """Let paused connectors go on."""
    _each(project, names, "resumed", lambda connect, name: connect.resume(name))


@app.command(epilog="`ringup connectors restart --only-failed`")
def restart(
    names: Names = None,
    project: Project = Path(),
    only_failed: Annotated[bool, typer.Option("--only-failed", help="Leave alone what runs.")] = False,
) -> None:
    """Start connectors and their tasks again, after what made them fail was mended."""

    def again(connect: Connect, name: str) -> str | None:
        if only_failed and connect.state(name).failed is None:
            return "nothing had failed"
        connect.restart(name, only_failed=only_failed)
        return None

    _each(project, names, "restarted", again)


@app.command(epilog="`ringup connectors delete pos`")
def delete(
    names: Annotated[list[str], typer.Argument(help="Connectors of the project.")], project: Project = Path()
) -> None:
    """Remove connectors. Their topics, their offsets and the replication slots in the databases stay."""
    mend = "There is nothing to delete; what there is, says: ringup connectors status"
    _each(project, names, "deleted", lambda connect, name: connect.delete(name), mend)


@app.command(epilog="`ringup connectors snapshot pos pos.bills pos.bill_lines`")
def snapshot(
    name: Annotated[str, typer.Argument(metavar="SOURCE", help="The source, by its name in connectors/sources/.")],
    tables: Annotated[list[str], typer.Argument(metavar="TABLE...", help="Its tables, each as schema.table.")],
    project: Project = Path(),
) -> None:
    """Let a source read tables again, as they are now, while it goes on: with Kafka or without.

    The source's other changes wait meanwhile, and none is missed. Where nothing runs, it begins at the next start.
    """
    from ringup.snapshotting import ask_for_snapshot

    ask_for_snapshot(project, name, tables)


@app.command(
    epilog="`ringup connectors discover shop` · all tables of the database that SHOP_HOST and the like name\n\n"
    "`ringup connectors discover shop public.orders --dry-run`\n\n"
    "`ringup connectors discover west 'west.*' --database mariadb`"
)
def discover(
    name: Annotated[str, typer.Argument(metavar="SOURCE", help="A source, or the name of a new one.")],
    tables: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TABLE]...", help="Tables, each as schema.table, or 'schema.*'; without one, all."),
    ] = None,
    project: Project = Path(),
    as_json: Json = False,
    database: Annotated[
        Kind | None,
        typer.Option("--database", help="What a new source is: postgres unless said. Otherwise its file says."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; print what would be written.")] = False,
) -> None:
    """Read a database, and write the connector's JSON and the tables' YAML that one would have written by hand.

    For the source `shop` its login is in SHOP_HOST, SHOP_PORT, SHOP_USER, SHOP_PASSWORD and, for PostgreSQL,
    SHOP_DATABASE. What a PostgreSQL database calls a schema is a database of a MariaDB server. Says what the database
    still needs, with the SQL. Nothing is changed in the database, and no file that is there already.
    Exit status 1 while something is left to do.
    """
    from ringup import discovered, discovering

    found = discovering.discover(project, name, tables or (), database)
    written = [] if dry_run else discovering.write(found)
    if as_json:
        typer.echo(discovered.shown_as_json(found, written))
    else:
        discovered.show(found, written, dry=dry_run)
    if not found.complete:
        raise typer.Exit(DIFFERS)


def _each(
    project: Path,
    names: list[str] | None,
    done: str,
    act: Callable[[Connect, str], str | None],
    mend: str = "Create what is missing: ringup connectors apply",
) -> None:
    """Do it to each connector that is there, and print that it is `done`, or what `act` says; then tell what is not."""
    from connectors.connect import NotThere
    from ringup.connecting import Connecting

    chosen, missing = Connecting(project, names), list[str]()
    for source in chosen.sources:
        try:
            typer.echo(f"{source.name}: {act(chosen.connect, source.name) or done}")
        except NotThere:
            missing.append(source.name)
    if missing:
        raise NotThere(f"Kafka Connect has no connector {', '.join(missing)}", mend=mend)
