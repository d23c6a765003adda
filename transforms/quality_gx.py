"""Great Expectations, asked about one frame after another. It is imported here only, and by the worker only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from transforms.quality_report import Failure
from transforms.quality_rules import OWN, Asked
from transforms.quality_suites import Expectation

_NUMBER = "ringup"
"""Where the number of an expectation stands in its `meta`: results come in another order."""


class Asker:
    """Great Expectations with nothing on the disk but Data Docs, if they are wanted."""

    def __init__(self, now: datetime, docs: Path | None) -> None:
        import great_expectations as gx
        from great_expectations.core.run_identifier import RunIdentifier
        from great_expectations.data_context.types.base import ProgressBarsConfig

        self._context: Any = gx.get_context(mode="ephemeral")
        self._context.enable_analytics(False)
        self._context.variables.progress_bars = ProgressBarsConfig(globally=False)
        self._frames: Any = self._context.data_sources.add_pandas("ringup")
        self._run: Any = RunIdentifier(run_name=f"{now:%Y-%m-%d %H:%M} UTC", run_time=now)
        self._docs = docs
        for name in self._context.get_site_names():
            self._context.delete_data_docs_site(name)

    def ask(self, model: str, frame: Any, asked: Sequence[tuple[Expectation, Asked]]) -> list[Failure]:
        """What of it is not met, in the order in which it was asked. What cannot be asked is not met."""
        from great_expectations import ExpectationSuite

        suite = self._context.suites.add(ExpectationSuite(name=model))
        failures: dict[int, Failure] = {}
        for number, (one, what) in enumerate(asked):
            try:
                suite.add_expectation(_made(one, what, frame, number))
            except Exception as error:  # whatever it cannot make of what a person wrote
                failures[number] = Failure(one.type, one.severity, what.expected, f"it cannot be asked: {_said(error)}")
        batch = self._frames.add_dataframe_asset(model).add_batch_definition_whole_dataframe("whole")
        form = {"result_format": "SUMMARY", "partial_unexpected_count": 3}
        result = batch.get_batch(batch_parameters={"dataframe": frame}).validate(suite, result_format=form)
        silent = set(range(len(asked))) - failures.keys()
        for each in result.results:
            number = each.expectation_config.meta[_NUMBER]
            silent.discard(number)
            if not each.success:
                one, what = asked[number]
                failures[number] = _failure(one, what, each, frame)
        for number in silent:
            one, what = asked[number]
            failures[number] = Failure(
                one.type, one.severity, what.expected, "no answer; remove it if it stands there twice"
            )
        if self._docs is not None:
            self._keep(model, result)
        return [failures[number] for number in sorted(failures)]

    def _keep(self, model: str, result: Any) -> None:
        from great_expectations.data_context.types.resource_identifiers import (
            ExpectationSuiteIdentifier,
            ValidationResultIdentifier,
        )

        for each in result.results:  # some are numpy's, which cannot be JSON
            each.success = bool(each.success)
        result.success = bool(result.success)
        result.meta.update(run_id=self._run, validation_time=self._run.run_time)
        suite = ExpectationSuiteIdentifier(name=model)
        self._context.validation_results_store.store_validation_results(
            suite_validation_result=result,
            suite_validation_result_identifier=ValidationResultIdentifier(suite, self._run, f"ringup-{model}"),
            expectation_suite_identifier=suite,
        )

    def write_docs(self) -> None:
        """Data Docs of all that was asked, as a static site."""
        if self._docs is None:
            return
        self._docs.mkdir(parents=True, exist_ok=True)
        backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(self._docs.resolve())}
        site = {
            "class_name": "SiteBuilder",
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": backend,
        }
        self._context.add_data_docs_site(site_name="ringup", site_config=site)
        self._context.build_data_docs(site_names=["ringup"])


def _made(one: Expectation, what: Asked, frame: Any, number: int) -> Any:
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    kwargs = {name: _timed(value, frame, what.kwargs.get("column"), name) for name, value in what.kwargs.items()}
    description = one.description or (what.expected if one.type in OWN else None)
    made: Any = ExpectationConfiguration(
        type=what.type, kwargs=kwargs, severity=one.severity, description=description, meta={_NUMBER: number}
    ).to_domain_obj()
    return made


def _timed(value: Any, frame: Any, column: object, name: str) -> Any:
    """A bound of a column of times as a time; without an offset it is in UTC."""
    if not isinstance(value, str) or name not in ("min_value", "max_value") or column not in frame.columns:
        return value
    if frame[column].dtype.kind != "M":
        return value
    time = datetime.fromisoformat(value)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _failure(one: Expectation, what: Asked, each: Any, frame: Any) -> Failure:
    result: Mapping[str, Any] = each.result or {}
    expected = what.expected if one.description or one.type in OWN else _words(each, what.expected)
    if "unexpected_count" in result:
        seen = f"{result['unexpected_count']} of {result['element_count']} rows are not so"
    elif result.get("observed_value") is not None:
        seen = f"it is {_value(result['observed_value'])}"
    elif not len(frame):
        seen = "there are no rows"
    else:
        seen = f"it cannot be told: {_trouble(each.exception_info)}"
    return Failure(one.type, one.severity, expected, seen, tuple(_examples(result, frame)))


def _words(each: Any, otherwise: str) -> str:
    """What Great Expectations says in Data Docs."""
    from great_expectations.render.renderer.inline_renderer import InlineRenderer

    try:
        (content,) = InlineRenderer(render_object=each.expectation_config).get_rendered_content()
        said = str(content.value.template)
        params = {name: param["value"] for name, param in (content.value.params or {}).items()}
    except Exception:  # words only: without them there is the type's name
        return otherwise
    for name in sorted(params, key=len, reverse=True):
        shown = _value(params[name])
        said = said.replace(f"${name}", f"`{shown}`" if name.startswith("column") else shown)
    return said.rstrip(".") if said != "None" else otherwise


def _examples(result: Mapping[str, Any], frame: Any) -> list[str]:
    """Values that are not as expected, and whose they are."""
    values = list(result.get("partial_unexpected_list", ()))[:3]
    places = list(result.get("partial_unexpected_index_list") or ())[: len(values)]
    if "profile_id" not in frame.columns or len(places) != len(values):
        return [_value(value) for value in values]
    whose = [_value(frame["profile_id"].iloc[place]) for place in places]
    return [f"{_value(value)} of profile_id {who}" for value, who in zip(values, whose, strict=True)]


def _value(value: Any) -> str:
    match value:
        case {"quantiles": _, "values": values}:
            return ", ".join(map(_value, values))
        case dict():
            return ", ".join(f"{name} {_value(one)}" for name, one in value.items())
        case list() | tuple():
            return ", ".join(map(_value, value))
    if value is None or value != value or str(value) == "NaT":
        return "null"
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _trouble(info: Any) -> str:
    """The first exception, wherever it stands."""
    if isinstance(info, Mapping) and "exception_message" in info:
        return " ".join(str(info["exception_message"]).split())
    return next((_trouble(one) for one in info.values()), "") if isinstance(info, Mapping) else ""


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
