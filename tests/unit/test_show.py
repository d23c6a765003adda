"""What the questions' answers look like."""

from __future__ import annotations

from typing import Any

import pytest

from ringup import show

LAST = {
    "id": "2026-11-28T03-00-00.000Z",
    "state": "held",
    "why": None,
    "differ": 2,
    "began": "2026-11-28T03:00:00+00:00",
    "ended": "2026-11-28T03:01:00+00:00",
}
SCHEDULED = {"last": LAST, "due": "2026-11-29T03:00:00+00:00"}
STATUS: dict[str, Any] = {
    "state": "waiting for crm",
    "sources": {
        "pos": {"state": "streaming", "since": "2026-03-01T12:00:00.000+00:00", "cause": None, "mend": None},
        "crm": {"state": "waiting", "since": None, "cause": "it does not answer", "mend": "start the database"},
    },
    "lag": 12345,
    "log": {"state": "trouble", "cause": "no Kafka broker answers", "mend": None},
    "lake": {"state": "trouble", "cause": "the disk is full", "mend": "Free some space"},
    "scheduled": SCHEDULED,
    "messages": 3,
    "outdated": [],
    "channels": {"crm": {"state": "trouble", "cause": "takes no messages; they wait: HTTP 503", "mend": None}},
    "reasons": [
        {
            "topic": "pos.pos.bills",
            "reason": "column total cannot be DECIMAL(12,2): NaN",
            "changes": 2,
            "last_at": "2026-03-01T12:00:00.000000+00:00",
            "key": '{"bill_id":5}',
        },
        {
            "topic": "pos.pos.bills",
            "reason": "not a change event that can be read",
            "changes": 1,
            "last_at": "2026-03-01T11:00:00.000000+00:00",
            "key": None,
        },
    ],
    "absent": {"shop.orders": ["total"]},
    "edited": True,
    "outbox": {"delivered": 7},
    "rows": {"customers": 2469},
}
MESSAGE = {
    "delivery_id": "msg_1",
    "activation": "thank_you",
    "channel": "app",
    "body": {"data": {"text": "Thank you, Ann [really]."}},
    "committed_at": "2026-03-01T12:00:00.000000+00:00",
    "state": "delivered",
}


def test_status_is_a_line_for_each_figure(capsys: pytest.CaptureFixture[str]) -> None:
    """State, sources with what is wrong and its mend, counts with separators, messages by fate, rows of each model."""
    show.status(STATUS)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["state", "waiting", "for", "crm"] in lines
    assert ["pos", "streaming"] in lines
    assert ["last", "held,", "2", "rows", "differ,", "2026-11-28T03:00", "UTC"] in lines
    assert ["next", "2026-11-29T03:00", "UTC"] in lines
    crm = lines.index(["crm", "waiting"])
    assert lines[crm + 1 : crm + 3] == [["it", "does", "not", "answer"], ["start", "the", "database"]]
    assert ["lag", "12,345"] in lines
    assert ["takes", "no", "messages;", "they", "wait:", "HTTP", "503"] in lines
    assert lines[lines.index(["lake", "trouble"]) + 1] == ["the", "disk", "is", "full"]
    bills = lines.index(["pos.pos.bills", "2:", "column", "total", "cannot", "be", "DECIMAL(12,2):", "NaN"])
    assert [" ".join(line) for line in lines[bills + 1 : bills + 5]] == [
        'the newest at 2026-03-01T12:00:00 UTC, key {"bill_id":5}',
        "1: not a change event that can be read",
        "the newest at 2026-03-01T11:00:00 UTC, key unknown",
        "Once the cause is mended, `ringup connectors snapshot SOURCE TABLE` reads a table again.",
    ]
    assert ["shop.orders", "total"] in lines
    assert any(line[:5] == ["The", "dbt", "project", "was", "edited"] for line in lines)
    assert lines.index(["messages", "3"]) == lines.index(["Since", "the", "start"]) + 1
    assert ["delivered", "7"] in lines
    assert ["customers", "2,469"] in lines
    assert not any("Changed" in line for line in lines)


def test_models_that_changed_while_nothing_ran_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever reads rows of an older SQL is told so, and what computes them anew."""
    show.status({**STATUS, "outdated": ["customers", "regulars"]})
    assert "Changed since the last run: customers, regulars." in capsys.readouterr().out
    show.profile({"profile_id": 1, "marts": {}, "segments": {}, "outdated": ["regulars"], "messages": []}, 1)
    assert "`ringup run` computes them anew" in capsys.readouterr().out


def test_a_profile_shows_traits_segments_and_messages(capsys: pytest.CaptureFixture[str]) -> None:
    """Ids keep their digits together, a missing value is empty, and texts are shown as they are."""
    answer: dict[str, Any] = {
        "profile_id": 12345,
        "marts": {"customers": {"profile_id": 12345, "tier": None, "consent": True}},
        "segments": {"regulars": [{"orders": 5}, {"orders": 6}]},
        "outdated": [],
        "messages": [MESSAGE, {**MESSAGE, "channel": "webhook"}],
    }
    show.profile(answer, 12345)
    said = capsys.readouterr().out
    assert ["profile_id", "12345"] in [line.split() for line in said.splitlines()]
    assert "consent      yes" in said
    assert "in segment regulars" in said
    assert "2026-03-01T12:00:00  delivered app     Thank you, Ann [really]." in said
    assert "2026-03-01T12:00:00  delivered webhook Thank you, Ann [really]." in said


def test_a_proof_shows_what_differs(capsys: pytest.CaptureFixture[str]) -> None:
    """Rows of each model, the first that differ, and the sum last."""
    examples = [{"side": "kept", "profile_id": 4, "spend": "1.10"}]
    models = [
        {"model": "customers", "rows": 2469, "differ": 1, "examples": examples},
        {"model": "regulars", "rows": 3, "differ": 0, "examples": []},
    ]
    show.proof({"batch": 9, "differ": 1, "models": models})
    said = capsys.readouterr().out
    assert "kept      profile_id=4  spend=1.10" in said
    assert "regulars: the first" not in said
    assert said.endswith("\n1 rows differ\n")
