"""`ringup demo` as a newcomer runs it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ringup.demo.inbox import Inbox

WAIT = 180.0


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    """The demo with a small past, as a process in a group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "ringup", "demo", "--project", str(folder), "--past", "2", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(demo: subprocess.Popen[str]) -> dict[str, Any]:
    """Its last line as JSON, once it has ended well."""
    out, err = demo.communicate(timeout=WAIT)
    assert demo.returncode == 0, err
    result: dict[str, Any] = json.loads(out.splitlines()[-1])
    return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's folder, which the tests of this module use one after the other."""
    return tmp_path_factory.mktemp("demo") / "shop"


def test_each_bill_becomes_one_message(folder: Path) -> None:
    """The demo ends by itself, with every bill accounted for, no row that differs, and an age for its messages."""
    result = finish(start(folder, "--bills", "120", "--speed", "100", "--json"))
    assert set(result) == {"bills", "messages", "age_ms", "missing", "doubled", "prove_rows_differ"}
    assert (result["bills"], result["missing"], result["doubled"], result["prove_rows_differ"]) == (120, 0, 0, 0)
    assert result["messages"] >= 120
    assert 0 < result["age_ms"]["p50"] <= result["age_ms"]["p95"] <= result["age_ms"]["p99"] < 10_000


def test_a_second_demo_carries_on(folder: Path) -> None:
    """The next bills are sold, and nobody is told again of an earlier one."""
    with closing(Inbox(folder / "inbox.db")) as inbox:
        before = inbox.count("points_at_the_till")
    result = finish(start(folder, "--bills", "80", "--speed", "0", "--json"))
    assert (result["bills"], result["missing"], result["doubled"], result["prove_rows_differ"]) == (80, 0, 0, 0)
    with closing(Inbox(folder / "inbox.db")) as inbox:
        assert inbox.count("points_at_the_till") == before + 80


def test_ctrl_c_ends_in_order_and_loses_nothing(folder: Path) -> None:
    """A demo without an end stops on Ctrl-C, gives its account, and leaves no process behind."""
    demo = start(folder, "--bills", "0", "--speed", "50")
    assert demo.stdout is not None
    for line in demo.stdout:
        if re.search(r"\d ms$", line.rstrip()):
            break
    os.killpg(demo.pid, signal.SIGINT)
    out, err = demo.communicate(timeout=WAIT)
    assert demo.returncode == 0, err
    assert re.search(r"yes: each of \d+ bills has its one message", out)
    assert "0 rows differ" in out
    assert not (folder / "postgres" / "data" / "postmaster.pid").exists()


def test_a_killed_demo_is_carried_on(folder: Path) -> None:
    """After kill -9 its children end by themselves, and the next demo delivers what was still to be told."""
    demo = start(folder, "--bills", "0", "--speed", "50")
    assert demo.stdout is not None
    for line in demo.stdout:
        if re.search(r"\d ms$", line.rstrip()):
            break
    demo.kill()
    demo.communicate(timeout=WAIT)
    result = finish(start(folder, "--bills", "20", "--json"))
    assert (result["bills"], result["missing"], result["doubled"], result["prove_rows_differ"]) == (20, 0, 0, 0)


def test_a_run_that_is_killed_is_started_again(folder: Path) -> None:
    """After kill -9 of `ringup run` in the middle of the bills, the demo starts it anew and each bill is told once."""
    demo = start(folder, "--bills", "300", "--speed", "50", "--json")
    assert demo.stderr is not None
    for line in demo.stderr:
        if re.search(r"\d ms$", line.rstrip()):
            break
    os.kill(int((folder / "owner.pid").read_text()), signal.SIGKILL)
    result = finish(demo)
    assert (result["bills"], result["missing"], result["doubled"], result["prove_rows_differ"]) == (300, 0, 0, 0)
