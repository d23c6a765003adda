"""Commit-to-request age of messages, at a number of changes per second, through everything that is real.

    python bench/age.py [--bills-per-s 5 100] [--seconds 30]

A bill is about ten changes: 5 bills a second are about 50 changes a second, 100 are about 1,000. The age runs from
PostgreSQL's commit time to the receipt of the request, by one clock. One JSON object a line.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

CHANGES_A_BILL = 10


def measure(bills_per_s: float, seconds: float, folder: Path) -> dict[str, object]:
    """One demo of its own, with a month of past."""
    command = [sys.executable, "-m", "ringup", "demo", "--json", "--project", str(folder / "shop"), "--past", "30"]
    bills = round(bills_per_s * seconds)
    done = subprocess.run(
        [*command, "--speed", str(bills_per_s), "--bills", str(bills)], stdout=subprocess.PIPE, text=True, check=True
    )
    result = json.loads(done.stdout.splitlines()[-1])
    return {"bench": "age", "bills_per_s": bills_per_s, "changes_per_s": round(bills_per_s * CHANGES_A_BILL), **result}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bills-per-s", type=float, nargs="*", default=[5.0, 100.0])
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    for bills_per_s in options.bills_per_s:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(bills_per_s, options.seconds, Path(folder))), flush=True)


if __name__ == "__main__":
    main()
