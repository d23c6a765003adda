"""`ringup`, and `python -m ringup`."""

from __future__ import annotations

import sys

from ringup.tuning import begin_tuned


def start() -> None:
    """Run the command line; the pipeline in a process that suits it."""
    if sys.argv[1:2] == ["run"]:
        begin_tuned()
    try:
        from ringup.cli import main

        main()
    except KeyboardInterrupt:  # before anything was begun
        sys.exit(130)


if __name__ == "__main__":
    start()
