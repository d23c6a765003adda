"""`ringup run` on a broker, as whoever runs it sees it: a second one, Ctrl-C, and a broker that hangs or is gone."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ringup import service
from ringup.demo.receiver import make_secret
from tests.kafka_topics import Topics
from tests.starter_log import CUSTOMERS, END_OF_SNAPSHOT, ORDERS, customer
from tests.waiting import wait_for

MARKS, NOTICES = "shop.transaction", "shop.notifications"
ENVIRON = {
    **os.environ,
    **dict.fromkeys(("SHOP_HOST", "SHOP_USER", "SHOP_PASSWORD", "SHOP_DATABASE"), "unused"),
    "SHOP_PORT": "1",
    "WEBHOOK_URL": "http://127.0.0.1:1/",
    "WEBHOOK_SECRET": make_secret(),
}
PATIENCE = 60.0


@pytest.fixture
def shop(topics: Topics, folder: Path) -> Iterator[Topics]:
    """A project whose source has had its first snapshot, and whose topics nobody else reads."""
    topics.delete(CUSTOMERS, ORDERS, MARKS, NOTICES)
    for name in (CUSTOMERS, ORDERS, MARKS, NOTICES):
        topics.make(name, 1)
    for topic, key, value in (customer(1, "Ann"), END_OF_SNAPSHOT):
        topics.put(topic, value, 0, key)
    with (folder / "ringup.yml").open("a") as file:
        file.write(f"kafka:\n  bootstrap: {topics.kafka.bootstrap}\n  group: ringup.{folder.parent.name}\n")
        file.write("  client: {session.timeout.ms: 6000}\n")
    yield topics


@pytest.fixture
def run(shop: Topics) -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """Starts `ringup run` in a project; all of them end with the test."""
    with ExitStack() as stack:

        def start(folder: Path) -> subprocess.Popen[str]:
            command = [sys.executable, "-m", "ringup", "run", "--project", str(folder)]
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENVIRON, cwd=folder
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        yield start


def is_live(process: subprocess.Popen[str], folder: Path) -> bool:
    """Whether a run has taken in the snapshot, and reads on."""
    assert process.poll() is None, process.communicate()[0]
    try:
        return bool(asked(folder)["state"] == "live")
    except service.NotRunning:
        return False


def asked(folder: Path) -> Any:
    """What a run says of itself."""
    return service.ask(folder / ".ringup", "status")


def test_the_same_project_elsewhere_is_refused(
    run: Callable[[Path], subprocess.Popen[str]], folder: Path, tmp_path: Path
) -> None:
    """A copy of project and state does not read beside the first, which goes on; a killed one is back at once."""
    first = run(folder)
    wait_for(lambda: is_live(first, folder), PATIENCE)
    first.kill()
    first.wait()
    copy = Path(shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns("api.*")))
    again = run(folder)
    wait_for(lambda: is_live(again, folder), PATIENCE)
    second = run(copy)
    said = second.communicate(timeout=PATIENCE)[0]
    assert second.returncode == 3, said
    assert "another ringup reads for the group ringup." in said
    assert "ringup.yml: kafka.group" in said
    assert is_live(again, folder)
    again.send_signal(signal.SIGINT)
    assert again.wait(PATIENCE) == 0
    third = run(copy)
    wait_for(lambda: is_live(third, copy), PATIENCE)


def test_one_that_was_held_up_until_another_came_ends(
    shop: Topics, run: Callable[[Path], subprocess.Popen[str]], folder: Path, tmp_path: Path
) -> None:
    """A machine that slept, say: by then the brokers have given its seat away."""
    first = run(folder)
    wait_for(lambda: is_live(first, folder), PATIENCE)
    copy = Path(shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns("api.*", "live.duckdb*")))
    group = f"ringup.{folder.parent.name}"
    first.send_signal(signal.SIGSTOP)
    wait_for(lambda: not shop.admin.describe_consumer_groups([group])[group].result().members)
    second = run(copy)
    wait_for(lambda: is_live(second, copy), PATIENCE)
    first.send_signal(signal.SIGCONT)
    said = first.communicate(timeout=PATIENCE)[0]
    assert first.returncode == 3, said
    assert f"another ringup reads for the group {group}" in said
    wait_for(lambda: is_live(second, copy))
    second.send_signal(signal.SIGINT)
    assert f"the group {group} was read before, and this state is empty" in second.communicate(timeout=PATIENCE)[0]


@pytest.mark.parametrize("broker", [pytest.param("is gone", marks=pytest.mark.slow), "hangs"])
def test_ctrl_c_ends_a_run_whose_broker_does_not_answer(
    broker: str, shop: Topics, run: Callable[[Path], subprocess.Popen[str]], folder: Path
) -> None:
    """It has taken in what there was; nothing keeps it from ending in order."""
    process = run(folder)
    wait_for(lambda: is_live(process, folder), PATIENCE)
    with ExitStack() as stack:
        if broker == "hangs":
            stack.enter_context(shop.hanging())
        else:
            shop.kafka.kill()
            stack.callback(shop.kafka.start)
        wait_for(lambda: asked(folder)["state"].startswith("waiting for Kafka"), PATIENCE)
        assert (asked(folder)["lag"], asked(folder)["log"]["state"]) == (None, "trouble")
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=20)[0]
        assert len(said.splitlines()) < 15, "what is wrong is said now and then"
        assert process.returncode == 0, said
        assert said.rstrip().endswith("stopped")
        command = [sys.executable, "-m", "ringup", "status", "--project", str(folder)]
        shown = subprocess.run(command, capture_output=True, text=True, env=ENVIRON, check=True, timeout=PATIENCE)
        assert re.search(r"^lag +unknown$", shown.stdout, re.MULTILINE)
        assert "no Kafka broker answers" in shown.stdout
        assert shown.stderr == ""
