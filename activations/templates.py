"""Message texts: `{trait}` stands for a column of the model's row, `{total:.2f}` with a Python format."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from difflib import get_close_matches
from functools import lru_cache
from operator import itemgetter
from string import Formatter
from typing import TYPE_CHECKING, Any

from ringup.errors import ProjectError

if TYPE_CHECKING:
    from transforms.project import ActivationSpec, Model

SAMPLES: Mapping[str, Any] = {
    "BOOLEAN": True,
    "DATE": date(2000, 1, 1),
    "DECIMAL": Decimal("1.00"),
    "DOUBLE": 1.0,
    "FLOAT": 1.0,
    "TIME": time(),
    "TIMESTAMP": datetime(2000, 1, 1, tzinfo=UTC),
    "VARCHAR": "text",
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"), 1),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"), 1),
}
"""A value of each DuckDB type that a format is tried on before anything is sent."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Literal text, and the trait that follows it (None at the end of the message)."""

    text: str
    trait: str | None
    spec: str


@lru_cache(maxsize=1024)
def compiled(message: str) -> tuple[Piece, ...]:
    """The pieces of a message text. Raises ValueError saying what is wrong with it."""
    pieces = []
    for text, trait, spec, conversion in Formatter().parse(message):
        if trait is not None and not trait.isidentifier():
            raise ValueError(f"`{{{trait}}}` is not the name of a column")
        if conversion or (spec and "{" in spec):
            raise ValueError(f"`{{{trait}}}` may have a format after a colon, and nothing else")
        pieces.append(Piece(text, trait, spec or ""))
    return tuple(pieces)


def render(message: str, row: Mapping[str, Any]) -> str:
    """The message for one row. A trait that is null is left empty; one that its format does not fit is shown plain."""
    try:
        if None not in traits_of(message)(row):
            return message.format_map(row)  # nearly always, and several times as fast
    except (KeyError, ValueError, TypeError):
        pass
    written = []
    for piece in compiled(message):
        written.append(piece.text)
        if piece.trait is not None:
            written.append(_shown(row.get(piece.trait), piece.spec))
    return "".join(written)


@lru_cache(maxsize=1024)
def traits_of(message: str) -> Callable[[Mapping[str, Any]], Collection[Any]]:
    """What takes the values of a message's traits from a row."""
    traits = [piece.trait for piece in compiled(message) if piece.trait is not None]
    if len(traits) > 1:
        return itemgetter(*traits)
    return lambda row: [row[trait] for trait in traits]


def _shown(value: Any, spec: str) -> str:
    if value is None:
        return ""
    try:
        return format(value, spec)
    except (ValueError, TypeError):
        return str(value)


def check_messages(activations: Iterable[ActivationSpec], models: Iterable[Model]) -> None:
    """Raise ProjectError unless each activation's message can be written from a row of its model."""
    columns = {model.name: {column.name: column.data_type for column in model.columns} for model in models}
    for activation in activations:
        _check(activation, columns[activation.model])


def _check(activation: ActivationSpec, columns: Mapping[str, str]) -> None:
    def wrong(problem: str, mend: str) -> ProjectError:
        return ProjectError(problem, where=f"{activation.path}: {activation.name}.message", mend=mend)

    try:
        pieces = compiled(activation.message)
    except ValueError as error:
        mend = "Write {column} or {column:format}, and {{ for a brace."
        raise wrong(f"the message cannot be read: {error}", mend) from error
    for piece in pieces:
        if piece.trait is not None and piece.trait not in columns:
            near = get_close_matches(piece.trait, columns, n=1)
            raise wrong(
                f"`{{{piece.trait}}}` is not a column of {activation.model}",
                f"Did you mean `{{{near[0]}}}`?" if near else f"Its columns are: {', '.join(columns)}.",
            )
        if piece.trait is not None and (misfit := _misfit(piece.spec, columns[piece.trait])):
            raise wrong(
                f"`{{{piece.trait}:{piece.spec}}}` does not fit a column of type {columns[piece.trait]}: {misfit}",
                "Use a format for that type, or none.",
            )


def _misfit(spec: str, data_type: str) -> str | None:
    """What is wrong with a format for a DuckDB type, tried on a value of it."""
    sample = SAMPLES.get(data_type.upper().partition("(")[0].removesuffix(" WITH TIME ZONE"))
    if sample is not None:
        try:
            format(sample, spec)
        except (ValueError, TypeError) as error:
            return str(error)
    return None
