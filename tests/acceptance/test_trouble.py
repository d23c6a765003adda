"""Mistakes and mishaps, as whoever runs a project meets them: said with file, field and mend, and nothing lost.

The tests use one project in turn: first while nothing runs, then while it does. What may befall ringup itself on Kafka,
too, is shown by another one.
"""

from __future__ import annotations

import re
import resource
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from ringup import service
from ringup.local_postgres import LocalPostgres
from tests.starter import WAIT, Shop, eventually, starter_shop


@contextmanager
def edited(file: Path, old: str, new: str) -> Iterator[None]:
    """A file with a mistake in it."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    try:
        yield
    finally:
        file.write_text(text)


def refused(shop: Shop, **environ: str | None) -> tuple[str, str, str]:
    """What `ringup run` is refused with: message, place and mend, and nothing else."""
    done = shop.ringup("run", **environ)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "live" not in done.stdout
    return told(done.stderr)


def told(errors: str) -> tuple[str, str, str]:
    """An error's message, place and mend; there is no traceback beside it."""
    parts = re.fullmatch(r"Error: ((?s:.*?))\n(?:Where: (.*)\n)?Mend:  (.*)\n", errors)
    assert parts, errors
    return parts[1], parts[2] or "", parts[3]


def test_a_field_that_is_not_known(stopped: Shop) -> None:
    """A slip of the pen in ringup.yml is met with the field that was meant."""
    with edited(stopped.folder / "ringup.yml", "state: .ringup", "state: .ringup\npipeline: {max_batches: 5}"):
        assert refused(stopped) == (
            "this field is not known",
            "ringup.yml: pipeline.max_batches",
            "Did you mean `max_batch`?",
        )


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("WEBHOOK_SECRET", "ringup.yml: channels.crm_webhook.secret"),
        ("SHOP_PASSWORD", "connectors/sources/shop.json: config.database.password"),
    ],
)
def test_a_secret_that_is_missing(stopped: Shop, name: str, where: str) -> None:
    """A variable that is not set is named, with the field that refers to it."""
    message, place, mend = refused(stopped, **{name: None})
    assert message == f"the environment variable {name} is not set"
    assert place.endswith(where)
    assert f"export {name}=" in mend


def test_a_wrong_password(stopped: Shop) -> None:
    """The database's refusal is told with the setting, and without the password."""
    message, place, mend = refused(stopped, SHOP_PASSWORD="hunter2")
    assert "refuses the login of ringup" in message
    assert place.endswith("connectors/sources/shop.json: config.database.password")
    assert "or the variables that they refer to" in mend
    assert "hunter2" not in message + place + mend


def test_a_server_without_logical_wal(stopped: Shop, tmp_path: Path) -> None:
    """The mend is the statement that an administrator has to run; that there is no table either is told with it."""
    with LocalPostgres(tmp_path / "postgres", settings={"wal_level": "replica"}) as server:
        server.create_database("shop")
        message, place, mend = refused(stopped, SHOP_PORT=str(server.port), SHOP_PASSWORD=server.password)
    assert "has wal_level=replica" in message
    assert "shop has no table" in message
    assert "connectors/sources/shop.json" in place
    assert "alter system set wal_level = 'logical'" in mend


def test_models_that_cannot_be_kept(stopped: Shop, tmp_path: Path) -> None:
    """An error in the SQL is told with its line, a segment without profile_id as that; the state is not touched."""
    mistakes = {"sum(orders.total)": "sum(orders.totl)", "customers.profile_id,\n": ""}
    shops, before = [], state(stopped)
    for number, (old, new) in enumerate(mistakes.items()):
        shop = replace(stopped, folder=Path(shutil.copytree(stopped.folder, tmp_path / f"shop-{number}")))
        model = shop.folder / "dbt_project" / "models" / "segments" / "regulars.sql"
        model.write_text(model.read_text().replace(old, new))
        shops.append(shop)
    with ThreadPoolExecutor(len(shops)) as both:
        wrong_column, no_profile = both.map(refused, shops)
    assert 'does not have a column named "totl"' in wrong_column[0]
    assert wrong_column[1] == "dbt_project/models/segments/regulars.sql:6"
    assert "Correct the model" in wrong_column[2]
    assert no_profile == (
        "segment regulars has no column profile_id",
        "dbt_project/models/segments/regulars.sql",
        "Select profile_id in the model's last select.",
    )
    assert [state(shop) for shop in shops] == [before, before]


def state(shop: Shop) -> list[bytes]:
    """What a project keeps."""
    return [(shop.state / name).read_bytes() for name in ("live.duckdb", "log.db")]


def test_a_log_that_ends_before_the_state(stopped: Shop, tmp_path: Path) -> None:
    """Where one of both was restored without the other, going on would lose changes; so it is refused."""
    log = stopped.state / "log.db"
    log.rename(tmp_path / "log.db")
    try:
        message, place, mend = refused(stopped)
    finally:
        (tmp_path / "log.db").rename(log)
    assert "up to offset" in message
    assert message.endswith("but the log ends at offset -1")
    assert place.endswith(".ringup/log.db")
    assert "restore the log" in mend


def test_a_database_that_goes_away(running: Shop) -> None:
    """The state says what is waited for and why, and is live again when it is back."""
    running.postgres.stop("immediate")
    running.wait_until("waiting for shop")
    source = running.status()["sources"]["shop"]
    assert source["state"] == "waiting"
    assert "does not answer" in source["cause"]
    assert "start the database" in source["mend"]
    running.postgres.start()
    running.order(customer=2)
    running.wait_until("live")
    running.wait_until_all_is_told()


@pytest.fixture(scope="module")
def kafka_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Another project, with its log on Kafka; it runs."""
    with starter_shop(tmp_path_factory.mktemp("kafka"), "kafka") as shop:
        shop.start()
        yield shop


@pytest.mark.parametrize(
    "shop_that_runs", ["running", pytest.param("kafka_shop", marks=pytest.mark.slow)], ids=["own log", "kafka"]
)
def test_a_disk_without_room_for_the_state(shop_that_runs: str, request: pytest.FixtureRequest) -> None:
    """The run stops in order and says why; with room again it goes on, and each order is told once."""
    shop: Shop = request.getfixturevalue(shop_that_runs)
    assert shop.process is not None
    fill(shop, shop.process.pid, "live.duckdb.wal")
    message, place, mend = end_of(shop)
    assert "live.duckdb" in message
    assert place.endswith(".ringup")
    assert "See that the disk has space" in mend
    shop.start()
    shop.wait_until_all_is_told()
    assert service.ask(shop.state, "prove")["differ"] == 0


def test_a_disk_without_room_for_the_log(running: Shop) -> None:
    """The same where it is the capture process that cannot write."""
    assert running.process is not None
    children = psutil.Process(running.process.pid).children()
    capture = next(child for child in children if "connectors.engine" in child.cmdline())
    fill(running, capture.pid, "log.db-wal")
    message, _, mend = end_of(running)
    assert "the log cannot be written" in message
    assert "see that the disk" in mend
    running.start()
    running.wait_until_all_is_told()
    assert service.ask(running.state, "prove")["differ"] == 0
    running.stop()


def fill(shop: Shop, pid: int, file: str) -> None:
    """From now on this process finds no room, soon after the present end of `file`."""
    logs = [path.stat().st_size for path in (shop.state / "logs").iterdir()]
    size = (shop.state / file).stat().st_size if (shop.state / file).exists() else 0
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (max(size, *logs) + 40_000, resource.RLIM_INFINITY))


def end_of(shop: Shop) -> tuple[str, str, str]:
    """Orders come in until the run ends; what it says then."""
    process = shop.process
    assert process is not None

    def ended() -> bool:
        shop.order(customer=1)
        return process.poll() is not None

    eventually(ended)
    out, err = process.communicate(timeout=WAIT)
    assert process.returncode == 3, err
    assert "Traceback" not in out
    return told(err)
