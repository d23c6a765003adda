"""Questions to a project that does not run: answered from its state, which stays as it is."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from connectors.embedded import EmbeddedLogWriter
from ringup import offline
from ringup.config import Config, load_config
from ringup.engine import Engine
from ringup.errors import ProjectError, WarehouseError
from ringup.init import start_project
from tests.shop import COMMITTED, batch, change
from transforms.project import load_project

CUSTOMERS, ORDERS = "shop.public.customers", "shop.public.orders"
ANN = {"customer_id": 1, "first_name": "Ann", "email": None}


def ordered(number: int) -> tuple[str, str]:
    """An order of Ann's, as a snapshot has it."""
    row = {"order_id": number, "customer_id": 1, "total": "2.50", "ordered_at": None}
    return ORDERS, change("r", None, row, 9)


RECORDS = [*map(ordered, range(5)), (CUSTOMERS, change("r", None, ANN, 8))]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A project that ran until its first snapshot was in: Ann, with five orders, and one order more in the log."""
    folder = tmp_path_factory.mktemp("offline") / "my-shop"
    start_project(folder)
    config = load_config(folder, {}, channels=False)
    engine = Engine(config.state_folder / "live.duckdb", load_project(config.dbt_folder, config.state_folder / "dbt"))
    with engine.warehouse.transaction():
        engine.apply(batch(RECORDS, snapshot=True))
    engine.start(COMMITTED)
    engine.close()
    with EmbeddedLogWriter(config.state_folder / "log.db") as log:
        log.append((topic, None, value) for topic, value in [*RECORDS, ("shop.notifications", "{}"), ordered(5)])
    return config


def kept(config: Config) -> bytes:
    """The state, byte for byte."""
    return (config.state_folder / "live.duckdb").read_bytes()


def test_the_state_answers(config: Config) -> None:
    """What was taken in, what was computed, and how much of the log is still ahead; both clocks agree."""
    before = kept(config)
    status = offline.status(config)
    assert (status["state"], status["lag"], status["outdated"]) == ("stopped", 1, [])
    assert status["rows"] == {"order_placed": 5, "regulars": 1}
    profile = offline.profile(config, 1)
    assert profile is not None
    assert profile["segments"]["regulars"]["orders"] == 5
    assert offline.profile(config, 2) is None
    assert offline.prove(config).differ == 0
    assert kept(config) == before


def test_a_run_that_did_not_get_far_says_so(config: Config, tmp_path: Path) -> None:
    """A state without the first snapshots has nothing to compare; one that was only begun has nothing to say."""
    begun = config.model_copy(update={"state": tmp_path})
    (tmp_path / "dbt").symlink_to(config.state_folder / "dbt")
    Engine(tmp_path / "live.duckdb", load_project(config.dbt_folder, tmp_path / "dbt")).close()
    assert offline.status(begun)["rows"] == {"order_placed": 0, "regulars": 0}
    with pytest.raises(WarehouseError, match="first snapshots are not in yet"):
        offline.prove(begun)
    (tmp_path / "live.duckdb").unlink()
    duckdb.connect(tmp_path / "live.duckdb").close()
    with pytest.raises(WarehouseError, match="did not get far enough") as caught:
        offline.status(begun)
    assert "ringup run" in caught.value.mend


def test_a_model_that_changed_is_named_and_not_computed_anew(config: Config) -> None:
    """`status` and `profile` show the rows as they were and say so; a proof would blame them, so it is refused."""
    before = kept(config)
    model = config.dbt_folder / "models" / "segments" / "regulars.sql"
    model.write_text(model.read_text().replace(">= 5", ">= 6"))
    status = offline.status(config)
    assert (status["outdated"], status["rows"]["regulars"]) == (["regulars"], 1)
    profile = offline.profile(config, 1)
    assert profile is not None
    assert profile["outdated"] == ["regulars"]
    with pytest.raises(ProjectError, match="the SQL of regulars changed since the last run") as caught:
        offline.prove(config)
    assert caught.value.where == "dbt_project/models/segments/regulars.sql"
    assert "ringup run" in caught.value.mend
    assert kept(config) == before
