"""What a continuous model may say: whatever keeps customers apart is accepted, and all else refused with its mend."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from ringup.errors import ProjectError
from tests.shop import MODELS, TABLES, model
from transforms.dbt.locality import check_locality
from transforms.dbt.trial import tried
from transforms.project import Column, Model

READ = ["crm.members", "pos.bills", "pos.bill_lines", "pos.rates"]


def full(sql: str) -> str:
    """SQL that names tables briefly, as dbt would have compiled it."""
    for relation in READ:
        sql = sql.replace(f" {relation}", ' "scope"."' + relation.replace(".", '"."') + '"')
    return sql


def checked(folder: Path, *models: Model) -> None:
    """Check models that bind."""
    for one in models:
        (folder / one.path).parent.mkdir(exist_ok=True)
        (folder / one.path).write_text(one.sql)
    check_locality(folder, TABLES, tuple(tried(folder, TABLES, models)))


def refused(folder: Path, *models: Model) -> ProjectError:
    """The error that checking gives."""
    with pytest.raises(ProjectError) as caught:
        checked(folder, *models)
    assert caught.value.mend
    return caught.value


ACCEPTED = [
    "select profile_id, total from pos.bills where total > 5 order by total",
    "select b.profile_id, x.amount from pos.bills b join pos.bill_lines x on b.profile_id = x.profile_id",
    "select b.profile_id, x.amount from pos.bills b join pos.bill_lines x on x.bill_id = b.bill_id",
    "select b.profile_id, x.n from pos.bills b left join (select bill_id, count(*) as n from pos.bill_lines "
    "group by bill_id) x on x.bill_id = b.bill_id",
    "select profile_id, total, amount from pos.bills join pos.bill_lines using (profile_id)",
    "select profile_id, total, amount from pos.bills full join pos.bill_lines using (profile_id)",
    "select profile_id, total, amount from pos.bills natural join pos.bill_lines",
    "select b.profile_id from pos.bills b, crm.members m, pos.bill_lines x "
    "where b.profile_id = x.profile_id and m.profile_id = x.profile_id",
    "select coalesce(b.profile_id, m.profile_id) as profile_id from pos.bills b full join crm.members m "
    "on b.profile_id = m.profile_id",
    "select b.profile_id, r.factor from pos.bills b left join pos.rates r on r.rate_id > b.total",
    "select b.profile_id, r.factor from pos.rates r right join pos.bills b on true",
    "select profile_id, sum(total) as s from pos.bills group by all",
    "select profile_id, bill_id, sum(total) as s from pos.bills group by 1, rollup (bill_id)",
    "select profile_id, bill_id from pos.bills group by grouping sets ((profile_id), (profile_id, bill_id))",
    "select distinct profile_id from pos.bills",
    "select distinct on (profile_id) profile_id, total from pos.bills order by profile_id, total",
    "select profile_id from pos.bills qualify row_number() over (partition by profile_id order by total) = 1",
    "select profile_id, sum(total) over w as s from pos.bills window w as (partition by profile_id)",
    "select profile_id from pos.bills union select profile_id from crm.members",
    "select profile_id from pos.bills except select profile_id from crm.members",
    "select profile_id from pos.bills union all by name select profile_id, first_name from crm.members",
    "select profile_id from crm.members m where not exists "
    "(select 1 from pos.bills b where b.profile_id = m.profile_id limit 1)",
    "select profile_id from crm.members where profile_id in (select profile_id from pos.bills where total > 9)",
    "select profile_id, (select max(total) from pos.bills b where b.profile_id = m.profile_id) as m from crm.members m",
    "select m.profile_id, x.t from crm.members m, lateral (select total as t from pos.bills b "
    "where b.profile_id = m.profile_id order by total limit 3) x",
    "select profile_id, (select max(factor) from pos.rates) as f from crm.members",
    "select profile_id from crm.members where member_id not in (select rate_id from pos.rates limit 3)",
    "with recursive n as (select 1 as i union all select i + 1 from n where i < 3) "
    "select m.profile_id, n.i from crm.members m cross join n",
    "select profile_id, unnest([1, 2]) as i from crm.members",
    "select m.profile_id, v.a from crm.members m, (values (1), (2)) v(a)",
    "select cast(member_id as bigint) as profile_id from crm.members",
    "select profile_id from crm.members semi join pos.bills using (profile_id)",
]


@pytest.mark.parametrize("sql", ACCEPTED)
def test_what_keeps_customers_apart_is_accepted(tmp_path: Path, sql: str) -> None:
    """Each customer's rows come from their own rows and from what is the same for all."""
    checked(tmp_path, model("one", full(sql), READ))


REFUSED = [
    ("select profile_id, ntile(10) over (order by total) as n from pos.bills", "ntile(10)", "partition by"),
    ("select profile_id, sum(total) over w as s from pos.bills window w as (order by total)", "over all", "partition"),
    ("select any_value(profile_id) as profile_id from pos.bills", "any_value", "group by profile_id"),
    ("select max(profile_id) as profile_id, total from pos.bills group by total", "groups rows", "profile_id"),
    ("select profile_id, total from pos.bills group by cube (profile_id, total)", "groups rows", "profile_id"),
    ("select profile_id from pos.bills limit 5", "`limit`", "qualify"),
    ("select profile_id from pos.bills offset 5", "`offset`", "qualify"),
    ("select profile_id from pos.bills using sample 10%", "`sample`", "scheduled"),
    ("select distinct on (total) profile_id from pos.bills", "distinct on", "profile_id"),
    ("select b.profile_id from pos.bills b join crm.members m on b.loyalty_card = m.loyalty_card", "`m`", "Join"),
    ("select b.profile_id from pos.bills b cross join crm.members m", "joins `m`", "profile_id"),
    ("select b.profile_id from pos.rates r left join pos.bills b on true", "left join", "customers' table"),
    (
        "select profile_id from crm.members where member_id > (select avg(total) from pos.bills)",
        "`avg(total)`",
        "group",
    ),
    ("select profile_id from crm.members where exists (select 1 from pos.bills where total > 5)", "subquery", "where"),
    (
        "select profile_id from crm.members where profile_id not in (select profile_id from pos.bills)",
        "among rows",
        "not exists",
    ),
    ("select profile_id + 1 as profile_id from pos.bills", "profile_id", "as it stands"),
    ("select bill_id as profile_id from pos.bills", "profile_id", "as it stands"),
    ("select rate_id::bigint as profile_id from pos.rates", "the same rows for all", "identity"),
    ("select profile_id from pos.bills union all select rate_id from pos.rates", "stacks", "Join"),
    ("select total, profile_id from pos.bills except select rate_id, rate_id from pos.rates limit 1", "limit", "quali"),
    ("select * from pos.bills pivot (sum(total) for bill_id in (1, 2) group by profile_id)", "pivot", "group by"),
    ("select profile_id from pos.bills positional join pos.rates", "position", "profile_id"),
]


@pytest.mark.parametrize(("sql", "words", "mend"), REFUSED)
def test_what_may_bring_customers_together_is_refused(tmp_path: Path, sql: str, words: str, mend: str) -> None:
    """The error says what it is, in which file, and what to write instead."""
    error = refused(tmp_path, model("one", full(sql), READ))
    assert words in error.message
    assert mend in error.mend
    assert "models/one.sql" in (error.where or "")


def test_a_file_is_no_source(tmp_path: Path) -> None:
    """What nobody declared may change without notice."""
    path = tmp_path / "a.parquet"
    duckdb.execute(f"copy (select 1::bigint as profile_id) to '{path}'")
    assert "read_parquet" in refused(tmp_path, model("one", f"select * from read_parquet('{path}')", [])).message


def test_the_line_is_that_of_the_file(tmp_path: Path) -> None:
    """The window's line is found again in the file that a person wrote."""
    error = refused(
        tmp_path, model("one", full("select\n  profile_id,\n  ntile(4) over (order by 1) as n\nfrom pos.bills"), READ)
    )
    assert error.where == f"{tmp_path.name}/models/one.sql:3"


def test_an_ephemeral_model_is_named_by_its_own_file(tmp_path: Path) -> None:
    """dbt writes it into the model that reads it; its line has other words there, so the construct's are looked for."""
    sql = (
        "with __dbt__cte__top as (\nselect profile_id from pos.bills limit 4\n) select profile_id from __dbt__cte__top"
    )
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "top.sql").write_text("-- the first\nselect profile_id from {{ ref('bills') }} limit 4")
    error = refused(tmp_path, model("one", full(sql), READ))
    assert error.where == f"{tmp_path.name}/models/top.sql:2"


def test_a_view_is_refused_where_a_kept_model_reads_it(tmp_path: Path) -> None:
    """A view may say anything until then; the place is that in the view."""
    view = model("first", full("select profile_id from pos.bills limit 5"), READ, "staging", view=True)
    checked(tmp_path, view)
    error = refused(tmp_path, view, model("one", 'select profile_id from "scope"."staging"."first"', ["staging.first"]))
    assert "models/first.sql" in (error.where or "")


def test_the_models_of_the_tests_are_local(tmp_path: Path) -> None:
    """Views, marts, segments and triggers that read one another."""
    checked(tmp_path, *MODELS)


def test_a_scheduled_model_is_its_profiles_or_the_same_for_all(tmp_path: Path) -> None:
    """What is published by profile is joined by profile; what has none is joined as one likes."""
    rank, limit = Column("half", "INTEGER"), Column("least", "INTEGER")
    ranks = replace(model("ranks", "", []), columns=(Column("profile_id", "BIGINT"), rank), scheduled=True)
    limits = replace(model("limits", "", []), columns=(limit,), scheduled=True)
    read = ["pos.bills", "marts.ranks", "marts.limits"]
    joined = 'select b.profile_id, least from "scope"."pos"."bills" b join "scope"."marts"."{}" r on {}'
    checked(tmp_path, ranks, limits, model("good", joined.format("limits", "b.total > r.least"), read))
    by_profile = joined.replace("least", "half")
    checked(tmp_path, ranks, limits, model("good", by_profile.format("ranks", "b.profile_id = r.profile_id"), read))
    wrong = model("wrong", by_profile.format("ranks", "b.total > r.half"), read)
    assert "another customer" in refused(tmp_path, ranks, limits, wrong).message
