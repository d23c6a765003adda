"""What a check of models found, and what of it later checks need. All of it can be JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class ColumnStats:
    """A column in figures. Those below `nulls` are of finite numbers, and None where there are none."""

    nulls: int
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    deciles: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class ModelStats:
    """A model in figures, as it was at a time: what is kept as history."""

    model: str
    at: datetime
    rows: int
    columns: Mapping[str, ColumnStats]

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> ModelStats:
        """From what `dataclasses.asdict` and JSON made of it."""
        columns = {
            name: ColumnStats(**{**one, "deciles": tuple(one["deciles"]) if one["deciles"] else None})
            for name, one in said["columns"].items()
        }
        at = said["at"]
        return cls(said["model"], datetime.fromisoformat(at) if isinstance(at, str) else at, said["rows"], columns)


@dataclass(frozen=True, slots=True)
class Failure:
    """An expectation that is not met, in words. Only `critical` ones keep a model from being published."""

    type: str
    severity: str
    expected: str
    seen: str
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        shown = f", such as {'; '.join(self.examples)}" if self.examples else ""
        return f"{self.expected}: {self.seen}{shown}"


@dataclass(frozen=True, slots=True)
class ModelReport:
    """A model that was checked. `stats` is None where it is not there."""

    model: str
    failures: tuple[Failure, ...]
    stats: ModelStats | None

    @property
    def ok(self) -> bool:
        """Whether it may be published."""
        return all(one.severity != "critical" for one in self.failures)


@dataclass(frozen=True, slots=True)
class Report:
    """All models that have a suite."""

    models: tuple[ModelReport, ...]

    @property
    def ok(self) -> bool:
        """Whether all may be published."""
        return all(one.ok for one in self.models)

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Report:
        """From what `dataclasses.asdict` and JSON made of it."""
        return cls(
            tuple(
                ModelReport(
                    one["model"],
                    tuple(Failure(**{**each, "examples": tuple(each["examples"])}) for each in one["failures"]),
                    ModelStats.read(one["stats"]) if one["stats"] else None,
                )
                for one in said["models"]
            )
        )
