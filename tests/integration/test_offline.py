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
from tests.shop import COMMITTED, batch
from tests.starter_log import END_OF_SNAPSHOT, customer, order
from transforms.project import load_project

SNAPSHOT = [*(order(n, 1) for n in range(5)), order(6, 2), customer(1, "Ann"), customer(2, "Bob")]


@pytest.fixture
def config(folder: Path) -> Config:
    """A project that ran until its first snapshot was in: Ann with five orders, Bob with one; one more in the log."""
    config = load_config(folder, {}, channels=False)
    engine = Engine(config.state_folder / "live.duckdb", load_project(config.dbt_folder, config.state_folder / "dbt"))
    with engine.warehouse.transaction():
        engine.apply(batch([(topic, value) for topic, _, value in SNAPSHOT], snapshot=True))
    engine.start(COMMITTED)
    engine.close()
    with EmbeddedLogWriter(config.state_folder / "log.db") as log:
        log.append([*SNAPSHOT, END_OF_SNAPSHOT, order(7, 1)])
    return config


def kept(config: Config) -> bytes:
    """The state, byte for byte."""
    return (config.state_folder / "live.duckdb").read_bytes()


def test_the_state_answers(config: Config) -> None:
    """What was taken in, what was computed, and how much of the log is still ahead; both clocks agree."""
    before = kept(config)
    status = offline.status(config)
    assert (status["state"], status["lag"], status["outdated"]) == ("stopped", 1, [])
    assert status["rows"] == {"order_placed": 6, "regulars": 1}
    profile = offline.profile(config, 1)
    assert profile is not None
    assert profile["segments"]["regulars"]["orders"] == 5
    assert offline.profile(config, 2) == {
        "profile_id": 2,
        "marts": {},
        "segments": {},
        "outdated": [],
        "messages": [],
    }, "a trigger knows him"
    assert offline.profile(config, 3) is None
    assert offline.prove(config).differ == 0
    assert kept(config) == before


def test_a_run_that_did_not_get_far_says_so(folder: Path) -> None:
    """A state without the first snapshots has nothing to compare; one that was only begun has nothing to say."""
    config = load_config(folder, {}, channels=False)
    state = config.state_folder / "live.duckdb"
    Engine(state, load_project(config.dbt_folder, config.state_folder / "dbt")).close()
    assert offline.status(config)["rows"] == {"order_placed": 0, "regulars": 0}
    with pytest.raises(WarehouseError, match="first snapshots are not in yet"):
        offline.prove(config)
    state.unlink()
    duckdb.connect(state).close()
    with pytest.raises(WarehouseError, match="did not get far enough") as caught:
        offline.status(config)
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
