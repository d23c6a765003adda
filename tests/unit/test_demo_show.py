"""What the demo prints."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from ringup.demo.inbox import Ages, Message
from ringup.demo.result import DemoResult, TillResult
from ringup.demo.show import Show

RESULT = DemoResult(
    bills=3_000,
    messages=3_214,
    age_ms=Ages(61.2, 118.0, 190.4),
    tills={
        "pos": TillResult(2_200, Ages(60.0, 117.0, 189.0)),
        "west": TillResult(800, Ages(62.0, 119.0, 191.0)),
    },
    all_age_ms=Ages(61.0, 120.0, 200.0),
    accounted=6_000,
    missing=0,
    doubled=0,
    proved_models=7,
    prove_rows_differ=0,
    restarts=0,
    somebody=1_238,
)
BILL = Message(
    webhook_id="msg_1",
    type="points_at_the_till",
    profile_id=1_238,
    event_id="pos-42",
    received_at=datetime(2026, 5, 1, 14, 3, 7).timestamp(),
    age_ms=83.6,
    data={"text": "Maria, you earned 50 points: 420 in all, 330 to Gold.", "tier": "Silver"},
)


def test_a_message_reads_as_a_sentence_with_its_time_and_age(capsys: pytest.CaptureFixture[str]) -> None:
    """A shop manager sees when, who, what and how fast."""
    Show().messages([BILL])
    expected = "14:03:07  Maria, you earned 50 points: 420 in all, 330 to Gold.  Silver  84 ms"
    assert capsys.readouterr().out.strip() == expected


def test_markup_in_a_message_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    """A name with brackets is printed as it is."""
    Show().messages([replace(BILL, type="win_back", data={"text": "[red]Bob[/], we miss you"})])
    assert "[red]Bob[/], we miss you  84 ms" in capsys.readouterr().out


def test_a_flood_is_counted_rather_than_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """At full speed the terminal must not hold up the messages."""
    Show().messages([BILL] * 1_025)
    out = capsys.readouterr().out
    assert out.count("Maria") == 25
    assert "and 1,000 more" in out


def test_json_is_one_object_on_standard_output_and_all_else_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    """A machine reads standard output alone; a person may watch standard error meanwhile."""
    show = Show(machine=True)
    show.about()
    show.messages([BILL])
    show.result(RESULT, Path("demo"))
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "bills": 3_000,
        "messages": 3_214,
        "age_ms": {"p50": 61.2, "p95": 118.0, "p99": 190.4},
        "tills": {
            "pos": {"bills": 2_200, "age_ms": {"p50": 60.0, "p95": 117.0, "p99": 189.0}},
            "west": {"bills": 800, "age_ms": {"p50": 62.0, "p95": 119.0, "p99": 191.0}},
        },
        "missing": 0,
        "doubled": 0,
        "prove_rows_differ": 0,
    }
    assert "Maria" in err
    assert "invented" in err


def test_the_summary_says_that_all_is_well_and_what_to_try(capsys: pytest.CaptureFixture[str]) -> None:
    """Counts, ages, the account, the proof, and a command for a customer who really is there."""
    assert RESULT.ok
    Show().result(RESULT, Path("demo"))
    out = capsys.readouterr().out
    for words in (
        "3,000 (2,200 pos, 800 west)",
        "3,214",
        "p50 61 ms   p95 118 ms   p99 190 ms",
        "6,000 bills",
        "0 rows differ in 7 models",
    ):
        assert words in out
    assert "ringup profile 1238 --project demo" in out
    assert "ringup demo --bills 0 --project demo" in out


def test_what_to_try_after_a_demo_on_kafka_is_on_kafka(capsys: pytest.CaptureFixture[str]) -> None:
    """A demo carries on as it began, so each command that starts one says --kafka again."""
    Show().result(RESULT, Path("demo"), kafka=True)
    demos = [line for line in capsys.readouterr().out.splitlines() if "ringup demo" in line]
    assert len(demos) == 3
    assert all("ringup demo --kafka" in line for line in demos)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"missing": 2}, "NO: 2 of 6,000 missing, 0 doubled"),
        ({"doubled": 1}, "NO: 0 of 6,000 missing, 1 doubled"),
        ({"prove_rows_differ": 3}, "NO: 3 rows differ"),
        ({"prove_rows_differ": None}, "did not answer"),
    ],
)
def test_the_summary_does_not_hide_what_is_wrong(
    capsys: pytest.CaptureFixture[str], change: dict[str, int | None], words: str
) -> None:
    """A missing or doubled message, or a row that differs, is said in plain words."""
    result = replace(RESULT, **change)  # type: ignore[arg-type]
    assert not result.ok
    Show().result(result, Path("demo"))
    assert words in capsys.readouterr().out
