"""What a dbt project comes to: tables, models and activations, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["staging", "mart", "segment", "trigger"]
When: TypeAlias = Literal["fired", "entered", "exited", "updated"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column and its DuckDB type."""

    name: str
    data_type: str


@dataclass(frozen=True, slots=True)
class Table:
    """A source table. `columns` are the source's own; the mirror adds `profile_id` to a customer's tables.

    `profile` is the column that is the profile itself, `identifiers` the columns that name one, by kind, `via` a
    column here and the table whose key it holds. A table without any of them is the same for all customers.
    """

    source: str
    name: str
    topic: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    profile: str | None
    identifiers: Mapping[str, str]
    via: tuple[str, str] | None
    path: str

    @property
    def relation(self) -> str:
        """`schema.name` in DuckDB, where a source has the schema of its own name."""
        return f"{self.source}.{self.name}"

    @property
    def of_customers(self) -> bool:
        """Whether its rows belong to customers."""
        return self.profile is not None or bool(self.identifiers) or self.via is not None


CLOCK = "ringup.clock"
"""What `as_of()` reads in the live run. It moves to every time at which something is due."""

SWEPT = "ringup.swept"
"""What it reads in a model that says `sweep`. It moves when that interval has passed."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model that is kept up to date, or a view that one needs. `sql` is compiled for the catalog `scope`.

    `depends_on` names tables and models as `schema.name`. `sweep` is how often a model is evaluated for
    everyone; `clocks` are those that it reads, itself or in views, and `dues` the queries for its due times. A
    `scheduled` one has no SQL here: its rows come from what scheduled runs publish.
    """

    name: str
    schema: str
    sql: str
    materialized: Literal["table", "view"]
    kind: Kind
    depends_on: tuple[str, ...]
    sweep: timedelta | None
    clocks: frozenset[str]
    path: str
    columns: tuple[Column, ...] = ()
    dues: tuple[str, ...] = ()
    scheduled: bool = False

    @property
    def relation(self) -> str:
        """`schema.name` in DuckDB."""
        return f"{self.schema}.{self.name}"

    @property
    def kept(self) -> bool:
        """Whether its rows are kept up to date change by change."""
        return self.materialized == "table" and not self.scheduled

    @property
    def of_customers(self) -> bool:
        """Whether its rows belong to customers; those of a scheduled model may be the same for all."""
        return not self.scheduled or any(column.name == "profile_id" for column in self.columns)


@dataclass(frozen=True, slots=True)
class ActivationSpec:
    """What a channel is told when a model changes. `version` changes with everything that the message is made of."""

    name: str
    model: str
    channel: str
    when: When
    message: str
    path: str
    version: str


@dataclass(frozen=True, slots=True)
class Project:
    """The tables, the models in an order in which each comes after what it reads, and the activations."""

    tables: tuple[Table, ...]
    models: tuple[Model, ...]
    activations: tuple[ActivationSpec, ...]
    fingerprint: str
    timer: Model | None = None
    """When profiles are due: kept and computed like a model, but no model of the project's own."""

    @property
    def computed(self) -> tuple[Model, ...]:
        """The models, and the timer after what it reads."""
        return self.models if self.timer is None else (*self.models, self.timer)
