"""A schema registry with Confluent's API, as far as a reader needs it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from connectors.avro import Avro
from connectors.kafka_errors import Unanswered, UnknownSchema, without_login
from ringup.errors import ConfigError

log = logging.getLogger("ringup.kafka")

_DEFAULTS: Mapping[str, str | int] = {"timeout": 5, "max.retries": 0}
"""Seconds for an answer: the pipeline waits for it. It is asked again by whoever reads."""

_PAUSE = 1.0
"""Seconds until a registry that did not answer is asked again."""
_LEARNS = 10.0
"""Seconds until it is asked again for a schema that it did not know."""

_NOT_THERE = 40403


class Registry:
    """Knows the schemas that records were written with. A schema never changes, so each is asked for once."""

    def __init__(self, url: str, settings: Mapping[str, str | int]) -> None:
        """`settings` are those of confluent-kafka's client: login and TLS. Raises ConfigError where it refuses them."""
        self._url = without_login(url)
        for name in ("httpx", "httpx2"):  # it tells each address that it asks, login and all
            logging.getLogger(name).setLevel(logging.WARNING)
        try:
            self._client = SchemaRegistryClient({**_DEFAULTS, **settings, "url": url})
        except (ValueError, TypeError, OSError) as error:
            raise ConfigError(
                f"the client of the schema registry refuses its settings: {error}",
                where="ringup.yml: kafka.registry",
                mend="Correct it; docs/kafka.md says what `url` and `client` take.",
            ) from error
        self._known: dict[int, Avro] = {}
        self._unknown: dict[int, tuple[float, UnknownSchema]] = {}
        self._silent: tuple[float, Unanswered] | None = None

    def check(self) -> None:
        """See that it is there. Raises Unanswered."""
        try:
            self._client.get_schema_types()
        except Exception as error:
            raise self._unanswered(error) from error

    def avro(self, number: int) -> Avro:
        """The schema of this number. Raises UnknownSchema, or Unanswered: then ask again."""
        if (known := self._known.get(number)) is not None:
            return known
        asked, unknown = self._unknown.get(number, (0.0, None))
        if unknown is not None and time.monotonic() - asked < _LEARNS:
            raise unknown
        try:
            found = self._known[number] = _avro(number, self._ask(number))
        except UnknownSchema as error:
            self._unknown[number] = time.monotonic(), error
            raise
        if found.hiding_null:
            log.warning(
                "schema %d of %s: the converter writes a column's default where it is null: %s",
                number,
                self._url,
                ", ".join(dict.fromkeys(found.hiding_null)),
            )
        return found

    def close(self) -> None:
        """Leave it."""
        self._client.close()

    def _ask(self, number: int) -> Schema:
        if self._silent is not None and time.monotonic() - self._silent[0] < _PAUSE:
            raise self._silent[1]
        try:
            found = self._client.get_schema(number)
        except Exception as error:  # its own, or one of the HTTP client below it, which it does not name
            if isinstance(error, SchemaRegistryError) and error.error_code == _NOT_THERE:
                raise UnknownSchema(f"the registry knows no schema {number}") from error
            self._silent = time.monotonic(), self._unanswered(error)
            raise self._silent[1] from error
        self._silent = None
        return found

    def _unanswered(self, error: Exception) -> Unanswered:
        code = error.http_status_code if isinstance(error, SchemaRegistryError) else None
        said = f"HTTP {code}" if code is not None else f"{type(error).__name__}: {error}"
        return Unanswered(
            f"the schema registry does not answer as one: {said}",
            where=self._url,
            mend="start it, or correct `kafka.registry`: the address, the login, the CA",
        )


def _avro(number: int, schema: Schema) -> Avro:
    kind = schema.schema_type or "AVRO"
    if kind != "AVRO" or schema.references:
        raise UnknownSchema(f"schema {number} is {kind if kind != 'AVRO' else 'made of several'}, which is not read")
    try:
        return Avro(schema.schema_str or "")
    except ValueError as error:
        raise UnknownSchema(f"schema {number} is no Avro schema: {error}") from error
