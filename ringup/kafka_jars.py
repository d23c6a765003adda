"""The jars of Kafka and its company, for the demo and the tests: fetched once by Maven, into the user's cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from hashlib import sha256
from pathlib import Path

from ringup.errors import CaptureError

_POMS = Path(__file__).parent / "kafka"


def kafka_jars() -> Path:
    """The folder with one folder of jars for each module of `ringup/kafka/`; fetched where it is not there yet.

    Raises CaptureError when Maven is missing or cannot fetch them.
    """
    poms = sorted(_POMS.rglob("pom.xml"))
    digest = sha256(b"\0".join(pom.read_bytes() for pom in poms)).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ringup"
    jars = cache / f"kafka-{digest}"
    if not jars.exists():
        cache.mkdir(parents=True, exist_ok=True)
        _fetch(jars)
    return jars


def _fetch(jars: Path) -> None:
    """All or nothing, also when two do it at once."""
    maven = shutil.which("mvn")
    if maven is None:
        raise CaptureError(
            "Kafka's jars are not here yet, and Maven, which fetches them, is not on the PATH",
            mend="install Maven (3.8 or later) with a JDK, and start again",
        )
    with tempfile.TemporaryDirectory(dir=jars.parent) as folder:
        fresh = Path(folder) / "jars"
        command = [maven, "--quiet", "--batch-mode", "--file", str(_POMS / "pom.xml"), f"-Djars={fresh}"]
        done = subprocess.run(
            [*command, "dependency:copy-dependencies"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            said = next((line for line in done.stdout.splitlines() if "ERROR" in line), done.stdout.strip())
            raise CaptureError(
                f"Maven cannot fetch Kafka's jars: {said}",
                mend="see that Maven reaches its repository (a proxy or a mirror belongs into its settings.xml)",
            )
        try:
            fresh.rename(jars)
        except OSError:
            if not jars.exists():  # somebody else was faster
                raise
