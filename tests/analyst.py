"""A project made by `ringup init`, whose lake a run fills, and somebody in a shell beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb

from ringup.config import Config, load_config
from ringup.engine import Engine
from ringup.init import start_project
from tests.shop import COMMITTED, batch, change, table
from transforms.lake import Lake
from transforms.lake_cut import Cut, Origin, note
from transforms.project import load_project

CUSTOMERS = replace(
    table(
        "shop.customers",
        {"customer_id": "bigint", "first_name": "varchar", "email": "varchar"},
        ["customer_id"],
        profile="customer_id",
    ),
    topic="shop.public.customers",
)
ORDERS = replace(
    table(
        "shop.orders",
        {"order_id": "bigint", "customer_id": "bigint", "total": "decimal(12,2)", "ordered_at": "timestamptz"},
        ["order_id"],
        via=("customer_id", "customers"),
    ),
    topic="shop.public.orders",
)


class Analyst:
    """The project, its lake, and what is typed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lsn, self.came = folder, 100, 0
        self.lake = Lake(folder / ".ringup" / "lake", [CUSTOMERS, ORDERS])
        start_project(folder)

    def customers(self, *ids: int) -> list[tuple[str, str | None]]:
        """Customers who are new."""
        rows = [{"customer_id": n, "first_name": f"Ann {n}", "email": None} for n in ids]
        return [("shop.public.customers", self._created(row)) for row in rows]

    def orders(self, customer: int, *ids: int) -> list[tuple[str, str | None]]:
        """Orders of a customer, a day after one another, ten each."""
        rows = [
            {"order_id": n, "customer_id": customer, "total": "10", "ordered_at": f"2026-03-{n % 28 + 1:02}T10:00:00Z"}
            for n in ids
        ]
        return [("shop.public.orders", self._created(row)) for row in rows]

    def _created(self, row: dict[str, Any]) -> str:
        self.lsn += 8
        return change("c", None, row, self.lsn)

    @property
    def config(self) -> Config:
        """The project's settings."""
        return load_config(self.folder, {}, channels=False)

    def scheduled(self, cron: str) -> Config:
        """The project's settings, with times at which a scheduled run is due."""
        with (self.folder / "ringup.yml").open("a") as file:
            file.write(f"schedule: {{cron: '{cron}'}}\n")
        return self.config

    def go_live(self, records: Sequence[tuple[str, str | None]]) -> None:
        """A run reads these as the first snapshots, computes the models, and stops."""
        self._run(records, begin=True)

    def run_again(self, records: Sequence[tuple[str, str | None]]) -> None:
        """A run takes these in, and stops."""
        self._run(records, begin=False)

    def _run(self, records: Sequence[tuple[str, str | None]], *, begin: bool) -> None:
        project = load_project(self.config.dbt_folder, self.config.state_folder / "dbt")
        with closing(Engine(self.config.state_folder / "live.duckdb", project)) as engine:
            came = batch(records, start=self.came, snapshot=begin)
            positions = {**engine.warehouse.positions(), **came.positions}
            with engine.warehouse.transaction():
                engine.apply(replace(came, positions=positions))
            if begin:
                engine.start(COMMITTED)
        self.run_took(records)

    def run_took(self, records: Sequence[tuple[str, str | None]]) -> None:
        """The live run takes these in, and the lake has them."""
        came = batch(records, start=self.came)
        self.came += len(records)
        self.lake.append(came.records, came.positions)
        note(self.lake.folder, Origin("own", "a state", whole=True), Cut(self.lake.positions(), {}))

    def dbt(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Type `dbt ...` in the dbt project."""
        command = [sys.executable, "-c", "from dbt.cli.main import cli; cli()", "--no-use-colors", *words]
        settings = {"DO_NOT_TRACK": "1", "RINGUP_DUCKDB": str(self.folder / "shop.duckdb"), **environ}
        return subprocess.run(
            command,
            cwd=self.folder / "dbt_project",
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            check=False,
        )

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """What dbt's file says."""
        with duckdb.connect(self.folder / "shop.duckdb", read_only=True) as con:
            return con.execute(sql).fetchall()
