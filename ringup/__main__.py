"""`ringup`, and `python -m ringup`."""

from __future__ import annotations

import sys

from ringup.tuning import begin_tuned


def start() -> None:
    """Run the command line; the pipeline in a process that suits it."""
    if sys.argv[1:2] == ["run"]:
        begin_tuned()
    from ringup.cli import main

    main()


if __name__ == "__main__":
    start()
