"""`ringup demo` as a newcomer runs it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pytest

from ringup.demo.year import Bill, Year

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


def wait_for_a_message(lines: IO[str] | None) -> None:
    """Read what a demo shows until a message came."""
    assert lines is not None
    for line in lines:
        if re.search(r"\d ms$", line.rstrip()):
            return
    pytest.fail("the demo ended without a message")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's folder, which the tests of this module use one after the other."""
    return tmp_path_factory.mktemp("demo") / "shop"


@pytest.fixture(scope="module")
def sold(folder: Path) -> dict[str, Any]:
    """What the first demo in the folder says of the 120 bills that it sold."""
    return finish(start(folder, "--bills", "120", "--speed", "0", "--json"))


@pytest.fixture
def selling(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A demo without an end, at its first messages."""
    demo = start(folder, "--bills", "0", "--speed", "50")
    wait_for_a_message(demo.stdout)
    yield demo
    demo.kill()
    demo.communicate(timeout=WAIT)


def test_each_bill_becomes_one_message(sold: dict[str, Any]) -> None:
    """The demo ends by itself, with every bill accounted for, no row that differs, and an age for its messages."""
    assert set(sold) == {"bills", "messages", "age_ms", "tills", "missing", "doubled", "prove_rows_differ"}
    assert (sold["bills"], sold["missing"], sold["doubled"], sold["prove_rows_differ"]) == (120, 0, 0, 0)
    assert sold["messages"] >= 120
    assert 0 < sold["age_ms"]["p50"] <= sold["age_ms"]["p95"] <= sold["age_ms"]["p99"] < 10_000
    assert sum(till["bills"] for till in sold["tills"].values()) == 120
    for till in ("pos", "west"):
        assert sold["tills"][till]["bills"] > 0
        assert 0 < sold["tills"][till]["age_ms"]["p50"] < 10_000


@pytest.mark.usefixtures("sold")
def test_a_customer_of_both_till_systems_is_one(folder: Path) -> None:
    """Whoever shopped in both, with another card in each, has one profile with all the bills and their money."""
    year = Year()
    bills: defaultdict[int, list[Bill]] = defaultdict(list)
    for bill in islice(year.after(0), year.past(2) + 120):
        bills[int(bill.card[2:12] if bill.till == "west" else bill.card[2:])].append(bill)
    year.close()
    both = [member for member, theirs in bills.items() if {bill.till for bill in theirs} == {"pos", "west"}]
    assert both
    asked = [sys.executable, "-m", "ringup", "profile", str(both[0]), "--project", str(folder), "--json"]
    said = json.loads(subprocess.run(asked, capture_output=True, text=True, check=True).stdout)
    customer, theirs = said["marts"]["customers"], bills[both[0]]
    assert customer["visits"] == len(theirs)
    assert Decimal(str(customer["spend"])) == sum(bill.total for bill in theirs)
    assert customer["points"] == sum(bill.points for bill in theirs)


def test_ctrl_c_before_the_first_bill_gives_no_account(folder: Path) -> None:
    """What has not begun is neither right nor wrong: the demo says so, and leaves no process behind."""
    demo = start(folder)
    assert demo.stdout is not None
    while not re.search("Carrying on|Loaded", demo.stdout.readline()):
        assert demo.poll() is None
    os.killpg(demo.pid, signal.SIGINT)
    out, err = demo.communicate(timeout=WAIT)
    assert demo.returncode == 130, err
    assert "Stopped before the first bill." in out
    assert not (folder / "postgres" / "data" / "postmaster.pid").exists()


def test_ctrl_c_ends_in_order_and_loses_nothing(folder: Path, selling: subprocess.Popen[str]) -> None:
    """A demo without an end stops on Ctrl-C, gives its account, and leaves no process behind."""
    os.killpg(selling.pid, signal.SIGINT)
    out, err = selling.communicate(timeout=WAIT)
    assert selling.returncode == 0, err
    assert re.search(r"yes: each of \d+ bills has its one message", out)
    assert "0 rows differ" in out
    assert not (folder / "postgres" / "data" / "postmaster.pid").exists()


def test_whatever_is_killed_is_carried_on(folder: Path, selling: subprocess.Popen[str]) -> None:
    """After kill -9 the demo's children end by themselves, and the next demo tells what was still to be told.

    Then `ringup run` is killed in the middle of the bills: it is started anew, and nobody is told of a bill twice.
    """
    selling.kill()
    selling.communicate(timeout=WAIT)
    demo = start(folder, "--bills", "300", "--speed", "50", "--json")
    wait_for_a_message(demo.stderr)
    os.kill(int((folder / "owner.pid").read_text()), signal.SIGKILL)
    result = finish(demo)
    assert (result["bills"], result["missing"], result["doubled"], result["prove_rows_differ"]) == (300, 0, 0, 0)


@pytest.mark.usefixtures("kafka_jars")
def test_each_bill_becomes_one_message_by_way_of_kafka(tmp_path: Path) -> None:
    """The same with Debezium on Kafka Connect, the western tills in MariaDB; and again, where the first demo ended."""
    for bills in (120, 60):
        result = finish(start(tmp_path / "shop", "--kafka", "--bills", str(bills), "--speed", "40", "--json"))
        assert (result["bills"], result["missing"], result["doubled"]) == (bills, 0, 0)
        assert result["prove_rows_differ"] == 0
        assert result["messages"] >= bills
        assert all(till["bills"] > 0 for till in result["tills"].values())


@pytest.mark.usefixtures("kafka_jars", "sold")
def test_a_demo_does_not_go_on_by_way_of_kafka(folder: Path) -> None:
    """Its western tills are not in the MariaDB that it has there; the first demo is as it was."""
    demo = start(folder, "--kafka", "--bills", "1", "--json")
    out, _ = demo.communicate(timeout=WAIT)
    assert demo.returncode == 3
    assert "has its tills (west) in another database server" in json.loads(out.splitlines()[-1])["message"]
