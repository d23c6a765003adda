"""A project made by `ringup init`, as a newcomer runs it: real database, real processes, real webhook.

All of it twice: with the change log that ringup keeps itself, and on a real Kafka cluster.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from ringup import service
from tests.starter import WAIT, Shop, eventually, starter_shop


@pytest.fixture(scope="module", params=["own log", "kafka"])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The project, its database and its receiver; the tests use them in turn."""
    with starter_shop(tmp_path_factory.mktemp("starter"), request.param) as shop:
        yield shop


def test_an_order_becomes_its_messages(shop: Shop) -> None:
    """The past is silent; the fifth order of a customer thanks her and makes her a regular."""
    shop.start()
    shop.order(customer=1)
    assert shop.texts(2) == {"Thank you, Ann: 12.50 well spent.", "Ann, your order number 5 makes you a regular."}
    assert shop.came.empty()


def test_questions_are_answered_while_it_runs(shop: Shop) -> None:
    """status, profile and prove ask the running process, for programs and for people."""
    status = shop.answer("status")
    assert (status["state"], status["sources"]["shop"]["state"]) == ("live", "streaming")
    profile = shop.answer("profile", "1")
    assert profile["segments"]["regulars"]["orders"] == 5
    assert len(profile["messages"]) == 2
    assert "0 rows differ" in shop.ringup("prove").stdout
    assert "Thank you, Ann" in shop.ringup("profile", "1").stdout


def test_nobody_has_an_unknown_id(shop: Shop) -> None:
    """A profile that no model knows is exit status 1."""
    done = shop.ringup("profile", "77")
    assert (done.returncode, done.stdout) == (1, "No model knows a profile 77.\n")


def test_a_second_run_is_refused(shop: Shop) -> None:
    """One process may have a project; the second one learns which."""
    assert shop.process is not None
    done = shop.ringup("run")
    assert done.returncode == 3
    assert f"process {shop.process.pid} has this project already" in done.stderr


def test_ctrl_c_stops_in_order_and_the_answers_stay(shop: Shop) -> None:
    """After Ctrl-C nothing runs, the exit status is 0, and the same questions have the same answers."""
    assert shop.process is not None
    running, before = shop.answer("status"), shop.answer("profile", "1")
    shop.process.send_signal(signal.SIGINT)
    out, err = shop.process.communicate(timeout=WAIT)
    assert shop.process.returncode == 0, err
    assert err == ""
    assert out.splitlines()[-1].endswith("stopped")
    with pytest.raises(service.NotRunning):
        service.ask(shop.folder / ".ringup", "status")
    assert shop.answer("profile", "1") == before
    stopped = shop.answer("status")
    assert list(stopped) == list(running)
    assert (stopped["state"], stopped["sources"]["shop"]["state"], stopped["lag"]) == ("stopped", "stopped", 0)
    assert {name: stopped[name] for name in ("outbox", "rows")} == {name: running[name] for name in ("outbox", "rows")}
    assert shop.answer("prove")["differ"] == 0


def test_what_happened_meanwhile_is_told_after_the_next_start(shop: Shop) -> None:
    """An order that came while nothing ran has its message; nothing is told twice."""
    shop.order(customer=2)
    shop.start()
    assert shop.texts(1) == {"Thank you, Bob: 12.50 well spent."}
    shop.stop()
    assert shop.came.empty()


def test_messages_wait_for_a_webhook_that_is_down(stopped: Shop) -> None:
    """What was ordered while the run was refused, and while nobody listened, waits in the outbox and is told once."""
    stopped.order(customer=1)
    with stopped.webhook_down():
        stopped.start()
        stopped.order(customer=2)
        status = eventually(lambda: (said := stopped.status())["waiting"]["crm_webhook"] >= 2 and said)
        assert (status["state"], status["outbox"]["pending"]) == ("live", status["waiting"]["crm_webhook"])
        assert len(stopped.account().missing) == 2
    stopped.wait_until_all_is_told()


def test_the_lake_has_all_that_came(running: Shop) -> None:
    """Also where the run is killed: the next one goes on where the lake ends, and nothing is there twice."""
    running.order(customer=2)
    running.kill()
    running.order(customer=2)
    running.start()
    running.order(customer=1)
    running.wait_until_all_is_told()
    said = running.answer("lake", "status")
    assert {shelf["topic"] for shelf in said} >= {"shop.public.orders", "shop.public.customers", "shop.transaction"}
    running.stop()
    assert running.in_lake("shop.public.orders") == [1, 2, 3, 4, *running.placed]
    assert running.answer("lake", "verify") == []
    assert "shop.public.orders" in running.ringup("lake", "status").stdout


def test_a_state_that_is_built_from_the_lake_goes_on(stopped: Shop) -> None:
    """It says the same as before, and goes on where it was: nothing is told twice, and nothing is missing."""
    before, placed = stopped.answer("profile", "1"), len(stopped.placed)
    built = stopped.answer("rebuild")
    assert built["records"] >= placed
    assert built["messages"] == stopped.answer("status")["outbox"]["messages"]
    assert stopped.answer("profile", "1") == before
    assert stopped.answer("prove")["differ"] == 0
    assert (stopped.state / "live.duckdb.before").exists()
    stopped.order(customer=2)
    stopped.start()
    stopped.order(customer=1)
    stopped.wait_until_all_is_told()
    refused = stopped.ringup("rebuild")
    assert (refused.returncode, "has this project already" in refused.stderr) == (3, True)


def test_a_change_that_cannot_be_read(running: Shop) -> None:
    """It is kept aside and counted; the next one has its message."""
    running.execute("insert into orders values (-1, 1, 'NaN')")
    running.order(customer=1)
    running.wait_until_all_is_told()
    assert running.status()["quarantine"] == 1
    assert service.ask(running.state, "prove")["differ"] == 0
