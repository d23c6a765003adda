"""Kafka and Kafka Connect for the demo, with the reference connectors applied."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from ringup.errors import CaptureError
from ringup.local_cluster import LocalCluster


class DemoKafka(LocalCluster):
    """The two servers in the demo's folder."""

    def apply(self, project: Path, environ: Mapping[str, str]) -> None:
        """Prepare the databases and create the connectors, as a user would."""
        command = [sys.executable, "-m", "ringup", "connectors", "apply", "--project", str(project)]
        done = subprocess.run(command, env={**os.environ, **environ}, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CaptureError(f"the connectors cannot be applied:\n{done.stderr}", mend="correct what it says")
