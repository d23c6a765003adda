"""What the integration tests share: a broker, and the reference project and one made by `ringup init`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringup.config import load_config
from ringup.init import start_project
from ringup.local_kafka import LocalKafka
from tests.kafka_broker import GUARDED, Broker
from tests.kafka_topics import Topics
from tests.reference import REFERENCE, Reference
from transforms.project import load_project


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the project; what dbt made of it lies in its state folder."""
    folder = tmp_path_factory.mktemp("compiled") / "my-shop"
    start_project(folder)
    config = load_config(folder, {}, channels=False)
    load_project(config.dbt_folder, config.state_folder / "dbt")
    return folder


@pytest.fixture
def folder(compiled: Path, tmp_path: Path) -> Path:
    """A project of one's own, for which dbt need not run until it changes."""
    return Path(shutil.copytree(compiled, tmp_path / "my-shop"))


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """What ringup sees of the project that it comes with."""
    state = tmp_path_factory.mktemp("state")
    return Reference(load_project(REFERENCE, state), state)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, kafka_jars: None) -> Iterator[Broker]:
    """A broker with rules for who may do what, for the tests of one module."""
    with LocalKafka(tmp_path_factory.mktemp("kafka") / "broker", GUARDED) as kafka:
        yield Broker(kafka)


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory, kafka_jars: None) -> Iterator[LocalKafka]:
    """A broker that looks often at what may go by retention, for the tests of one module."""
    with LocalKafka(tmp_path_factory.mktemp("kafka") / "broker", {"log.retention.check.interval.ms": "200"}) as broker:
        yield broker


@pytest.fixture
def topics(kafka: LocalKafka) -> Topics:
    """The topics of a source, empty."""
    topics = Topics(kafka)
    topics.create()
    return topics
