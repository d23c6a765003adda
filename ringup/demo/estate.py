"""The shop's databases `pos`, `west` and `crm`, in servers of their own, with the past in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import psycopg

from ringup.demo.contacts import contacts
from ringup.demo.mariadb import WestMariaDB
from ringup.demo.tills import PosTill, Till, WestTill
from ringup.demo.year import Year
from ringup.errors import ConfigError
from ringup.local_postgres import LocalPostgres
from ringup.started import Started

Progress = Callable[[str, int, int], None]
"""Told a table's name, how many rows are loaded by now, and how many will be."""

PAST_DAYS = 45
"""Days of the year that are loaded as the past unless one says otherwise: about 320,000 rows."""

_SQL = Path(__file__).parent
_TABLES = {
    "pos": ("stores", "tills", "products", "bills", "bill_lines", "points_ledger", "coupon_redemptions"),
    "west": ("branch", "receipt", "receipt_item", "coupon_use"),
}
_MEMBER = (
    "member_id, loyalty_card, west_card, email, mobile, first_name, last_name, time_zone, birthday, joined_at,"
    " age_band, income_band, home_ownership, marital_status, household_size, kids_count, updated_at"
)
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Past:
    """What was loaded: the first `bills` bills of the year, at `loaded_at`; `fresh` when it was just now."""

    bills: int
    loaded_at: datetime
    fresh: bool


class DemoEstate(Started):
    """The databases of the demo in `folder`, for the demo, integration tests and benchmarks.

    with DemoEstate(tmp_path, past_days=2) as estate:
        estate.load()
        Replay(estate.tills, estate.year, speed=0).run(bills=100)

    Two till systems sell: `pos` in most stores, and in the western ones `west`, another vendor's. An estate that was
    loaded before carries on with what is there. All databases are in one PostgreSQL; with `mariadb`, `west` is in a
    MariaDB. Contact data is invented, see `contacts`.
    """

    def __init__(
        self,
        folder: Path,
        past_days: int = PAST_DAYS,
        settings: Mapping[str, str] | None = None,
        *,
        mariadb: bool = False,
    ) -> None:
        self.past_days = past_days
        self.postgres = LocalPostgres(folder / "postgres", settings=settings)
        self.mariadb = WestMariaDB(folder / "mariadb") if mariadb else None
        self._databases = ("pos", "crm") if mariadb else ("pos", "west", "crm")

    @cached_property
    def year(self) -> Year:
        """The data, read when first asked for."""
        return Year()

    def start(self) -> Self:
        """Start the servers, with the databases in them."""
        self.postgres.start()
        for database in self._databases:
            self.postgres.create_database(database)
        if self.mariadb is not None:
            self.mariadb.start()
        return self

    def stop(self) -> None:
        """Stop the servers."""
        if self.mariadb is not None:
            self.mariadb.stop()
        self.postgres.stop()

    def dsn(self, database: str) -> str:
        """How to connect to a database in PostgreSQL."""
        return self.postgres.dsn(database)

    @property
    def tills(self) -> tuple[Till, ...]:
        """The till systems, each with a connection of its own to come."""
        pos, west = (partial(psycopg.connect, self.dsn(name), connect_timeout=5) for name in ("pos", "west"))
        return PosTill(pos), WestTill(west if self.mariadb is None else self.mariadb.connect)

    @property
    def environ(self) -> dict[str, str]:
        """The variables that the connectors refer to."""
        settings: dict[str, str] = {} if self.mariadb is None else self.mariadb.environ("west")
        for database in self._databases:
            settings |= self.postgres.environ(database)
        return settings

    def load(self, progress: Progress = lambda table, done, total: None) -> Past:
        """Load the past, each database in one transaction, unless it is there."""
        if (past := self.past()) is not None:
            self._check_tills()
            return past
        bills = self.year.past(self.past_days)
        if not 0 < bills < self.year.bills:
            raise ConfigError(
                f"a past of {self.past_days} days leaves no bills before or after it",
                mend="choose between 1 and 364 days",
                where="--past",
            )
        now = datetime.now(UTC)
        self.year.set_past(bills, now.replace(tzinfo=None))
        with psycopg.connect(self.dsn("crm")) as crm:
            if crm.execute("select to_regnamespace('crm') is null").fetchone() == (True,):
                crm.execute((_SQL / "crm.sql").read_bytes())
                self._load_members(crm, progress)
        total = sum(self.year.rows(f"{till}.{table}") for till, tables in _TABLES.items() for table in tables)
        done = self._load_west(progress, total)
        self._load_till("pos", progress, done, total, "insert into demo.past values (%s, %s)", [bills, now])
        for database in self._databases:
            with psycopg.connect(self.dsn(database), autocommit=True) as connection:
                connection.execute("analyze")
        return Past(bills, now, fresh=True)

    def past(self) -> Past | None:
        """What was loaded, if anything was."""
        with psycopg.connect(self.dsn("pos")) as pos:
            if pos.execute("select to_regclass('demo.past') is null").fetchone() == (True,):
                return None
            row = pos.execute("select bills, loaded_at from demo.past").fetchone()
        return Past(int(row[0]), row[1], fresh=False) if row else None

    def replayed(self) -> set[str]:
        """All bills since the past was loaded, in this run and in earlier ones, as the models name them."""
        past, found = self.past(), set[str]()
        for till in self.tills:
            found |= till.events_after(past.bills if past else 0)
            till.disconnect()
        return found

    def followed(self) -> bool:
        """Whether the changes of all databases are being read at this moment."""
        with psycopg.connect(self.dsn("postgres")) as connection:
            row = connection.execute(
                "select count(distinct database) from pg_replication_slots where active and slot_type = 'logical'"
            ).fetchone()
        return row == (len(self._databases),) and (self.mariadb is None or self.mariadb.followed())

    def _check_tills(self) -> None:
        for till in self.tills:
            there = till.is_there()
            till.disconnect()
            if not there:
                how = "without --kafka" if self.mariadb is not None else "with --kafka"
                raise ConfigError(
                    f"the demo in this folder has its tills ({till.name}) in another database server",
                    mend=f"carry on as it began, {how}; or choose another folder, or start over with --fresh",
                    where="--project",
                )

    def _load_west(self, progress: Progress, total: int) -> int:
        """As `_load_till`, where the western tills are."""
        if self.mariadb is None:
            return self._load_till("west", progress, 0, total)
        done = 0

        def loaded(table: str, rows: int) -> None:
            nonlocal done
            done += rows
            progress(table, done, total)

        self.mariadb.load(self.year, [f"west.{table}" for table in _TABLES["west"]], loaded)
        return done

    def _load_till(
        self, till: str, progress: Progress, done: int, total: int, last: str = "", values: Sequence[object] = ()
    ) -> int:
        """Load the past of a till system in one transaction, which ends with the statement `last`.

        Of `total` rows `done` are loaded before; says how many are afterwards.
        """
        with (
            TemporaryDirectory(dir=self.postgres.folder) as folder,
            psycopg.connect(self.dsn(till)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(f"drop schema if exists {till} cascade".encode())  # of a loading that was interrupted
            cursor.execute((_SQL / f"{till}.sql").read_bytes())
            for name in (f"{till}.{table}" for table in _TABLES[till]):
                file, rows = Path(folder) / f"{name}.csv", self.year.rows(name)
                self.year.export(name, file)
                size, sent = file.stat().st_size or 1, 0
                with cursor.copy(f"copy {name} from stdin (format csv)".encode()) as copy:
                    for block in _blocks(file):
                        copy.write(block)
                        sent += len(block)
                        progress(name, done + rows * sent // size, total)
                file.unlink()
                done += rows
            if last:
                cursor.execute(last.encode(), values)
        return done

    def _load_members(self, crm: psycopg.Connection[Any], progress: Progress) -> None:
        members, joined = self.year.members(), self.year.begins().replace(tzinfo=UTC)
        people = [member | person for member, person in zip(members, contacts(members, joined.date()), strict=True)]
        times = {"joined_at": joined, "updated_at": joined}
        columns = _MEMBER.split(", ")
        with crm.cursor() as cursor:
            with cursor.copy(f"copy crm.members ({_MEMBER}) from stdin".encode()) as copy:
                for person in people:
                    copy.write_row([(person | times)[column] for column in columns])
            with cursor.copy(b"copy crm.consents from stdin") as copy:
                for person in people:
                    for channel, granted in person["consents"].items():
                        copy.write_row([person["member_id"], channel, granted, joined])
        progress("crm.members", len(people), len(people))


def _blocks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as source:
        while block := source.read(_BLOCK):
            yield block
