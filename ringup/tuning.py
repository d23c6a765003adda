"""What has to be said to the C library before a process begins."""

from __future__ import annotations

import os
import sys

MALLOC = "glibc.malloc.tcache_count=1000"
"""Freed pieces of each size that a thread keeps at hand; 7 by default. DuckDB's planner frees thousands and wants them
back at once: with this a small batch takes a tenth less."""


def begin_tuned() -> None:
    """Begin this process anew with glibc's malloc tuned, unless it is so already, or the user tuned it another way."""
    if sys.platform == "linux" and "GLIBC_TUNABLES" not in os.environ:
        os.environ["GLIBC_TUNABLES"] = MALLOC
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - the same program
