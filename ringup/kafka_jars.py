"""Kafka and its company, for the demo and the tests: fetched by Maven into the user's cache, each part once.

A part is a module of `ringup/kafka/`, that is a pom in a folder of its own.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from ringup.errors import CaptureError

_POMS = Path(__file__).parent / "kafka"


def kafka_jars(module: str) -> Path:
    """The folder with the jars of a module, or with what was unpacked of them; fetched where it is not there yet.

    It is the only one in its parent. Raises CaptureError when Maven is missing or cannot fetch it.
    """
    folder = _folder(module)
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(folder.parent / "fetching"):
            if not folder.exists():  # nobody else was faster
                _fetch(module, folder)
    return folder / module


def is_fetched(module: str) -> bool:
    """Whether a module is there already."""
    return _folder(module).exists()


def _pom(module: str) -> Path:
    return _POMS / module / "pom.xml"


def _folder(module: str) -> Path:
    """It has the name of what is in it, so that other versions are fetched anew."""
    digest = sha256(b"\0".join(file.read_bytes() for file in (_POMS / "pom.xml", _pom(module)))).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ringup"
    return cache / f"kafka-{module}-{digest}"


def _fetch(module: str, folder: Path) -> None:
    """All or nothing."""
    maven = shutil.which("mvn")
    if maven is None:
        raise CaptureError(
            f"Kafka's jars ({module}) are not here yet, and Maven, which fetches them, is not on the PATH",
            mend="install Maven (3.8 or later) with a JDK, and start again",
        )
    with tempfile.TemporaryDirectory(dir=folder.parent) as fresh:
        command = [maven, "--quiet", "--batch-mode", "--file", str(_pom(module)), f"-Dinto={fresh}"]
        done = subprocess.run(
            [*command, "generate-resources"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            said = next((line for line in done.stdout.splitlines() if "ERROR" in line), done.stdout.strip())
            raise CaptureError(
                f"Maven cannot fetch Kafka's jars ({module}): {said}",
                mend="see that Maven reaches its repository (a proxy or a mirror belongs into its settings.xml)",
            )
        (Path(fresh) / "fetched").rename(folder)


@contextmanager
def _one_at_a_time(file: Path) -> Iterator[None]:
    """Maven's own repository is not made for several at once, and it would be fetched several times."""
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
