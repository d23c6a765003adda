"""Whole transactions out of topics without a common order, against any order in which records may arrive."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.assembly import Assembly
from connectors.log import RECORDS
from tests.kafka_topics import BILLS, LINES, MARKS, change
from tests.spoilt import spoilt

TABLES = {"shop.bills": BILLS, "shop.lines": LINES}
PLACES = [(BILLS, 0), (BILLS, 1), (LINES, 0), (LINES, 1)]


@dataclass
class Source:
    """What a source wrote: the records of each partition, and the ENDs, in the order of the commits."""

    partitions: dict[tuple[str, int], list[tuple[int | None, str | None]]]
    ends: list[bytes]


transactions = st.lists(st.lists(st.sampled_from(range(len(PLACES))), min_size=1, max_size=5), max_size=6)


def written(commits: list[list[int]], extras: list[bool]) -> Source:
    """The topics after these commits, each a list of places that it changed; with an extra, a tombstone follows."""
    source = Source({place: [] for place in PLACES}, [])
    for number, places in enumerate(commits):
        for row, place in enumerate(places):
            value = change(100 * number + row, f"{number}:{row}")
            source.partitions[PLACES[place]].append((number, value))
            if extras[number % len(extras)]:
                source.partitions[PLACES[place]].append((number, None))
        counts = {name: sum(PLACES[place][0] == topic for place in places) for name, topic in TABLES.items()}
        tables = [{"data_collection": name, "event_count": count} for name, count in counts.items() if count]
        source.ends.append(json.dumps({"status": "END", "id": f"{number}:99", "data_collections": tables}).encode())
    return source


def row(place: tuple[str, int], offset: int, value: str | None) -> dict[str, Any]:
    return {"topic": place[0], "partition": place[1], "offset": offset, "key": None, "value": value}


def arrived(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=RECORDS)


@given(transactions, st.lists(st.booleans(), min_size=1, max_size=3), st.data())
def test_every_order_of_arrival_gives_whole_transactions_in_the_order_of_their_commits(
    commits: list[list[int]], extras: list[bool], data: st.DataObject
) -> None:
    """Each transaction comes in one piece, after those before it; each partition's records in their order."""
    source = written(commits, extras)
    owners = {(place, offset): owner for place in PLACES for offset, (owner, _) in enumerate(source.partitions[place])}
    assembly, given_out, offsets, ended = Assembly(TABLES, 1.0), [], dict.fromkeys(PLACES, 0), 0
    while True:
        left = [place for place in PLACES if offsets[place] < len(source.partitions[place])]
        choices: list[Any] = [*left, *(["end"] if ended < len(source.ends) else [])]
        if not choices:
            break
        chosen = data.draw(st.sampled_from(choices))
        if chosen == "end":
            assembly.mark((MARKS, 0), ended, source.ends[ended])
            ended += 1
            out = assembly.add(arrived())
        else:
            count = data.draw(st.integers(1, 3))
            first, offsets[chosen] = offsets[chosen], min(offsets[chosen] + count, len(source.partitions[chosen]))
            values = source.partitions[chosen][first : offsets[chosen]]
            out = assembly.add(arrived(*(row(chosen, first + n, value) for n, (_, value) in enumerate(values))))
        places = [((r["topic"], r["partition"]), r["offset"]) for r in out.to_pylist()]
        whole = {owners[place] for place in places}
        assert sorted(places) == sorted(place for place, owner in owners.items() if owner in whole and place in places)
        assert all(
            sum(owners[place] == owner and source.partitions[place[0]][place[1]][1] is not None for place in places)
            == len(commits[owner or 0])
            for owner in whole
            if any(source.partitions[place[0]][place[1]][1] is not None and owners[place] == owner for place in places)
        ), "a transaction is not cut"
        given_out += places
    changes = [place for place in given_out if source.partitions[place[0]][place[1]][1] is not None]
    numbers = [owners[place] for place in changes]
    assert numbers == sorted(numbers, key=lambda number: number or 0)
    for place in PLACES:
        order = [offset for where, offset in given_out if where == place]
        assert order == list(range(len(source.partitions[place])))
    assert assembly.held.num_rows == 0
    assert not assembly.open
    assert assembly.upto() == ({(MARKS, 0): len(source.ends) - 1} if source.ends else {})


def test_what_belongs_to_no_transaction_goes_on_at_once() -> None:
    """Rows of a snapshot wait for nothing, unless something before them in their partition waits."""
    assembly = Assembly(TABLES, 1.0)
    assert assembly.add(arrived(row((BILLS, 0), 0, change(1, None)))).num_rows == 1
    waiting = arrived(row((BILLS, 0), 1, change(2, "7:1")), row((BILLS, 0), 2, change(3, None)))
    assert assembly.add(waiting).num_rows == 0
    assert assembly.add(arrived(row((BILLS, 1), 0, change(4, None)))).num_rows == 1


def test_the_transaction_topic_is_used_up_to_the_first_end_that_waits() -> None:
    """After a restart that END is read again, and none of those before it."""
    assembly = Assembly(TABLES, 1.0)
    for offset, name in enumerate(["5:9", "6:9", "7:9"]):
        tables = [{"data_collection": "shop.bills", "event_count": 1}]
        end = json.dumps({"status": "END", "id": name, "data_collections": tables})
        assembly.mark((MARKS, 0), offset, end.encode())
    assembly.add(arrived(row((BILLS, 0), 0, change(1, "5:1"))))
    assert assembly.upto() == {(MARKS, 0): 0}


def test_patience_has_an_end() -> None:
    """An incomplete transaction is given out after a while of silence, and counted; its END later does no harm."""
    assembly = Assembly(TABLES, 1.0)
    assembly.add(arrived(row((BILLS, 0), 0, change(1, "5:1"))))
    assert not assembly.overdue(10.0)
    assert assembly.overdue(11.0)
    changes, torn = assembly.tear()
    assert (changes.num_rows, torn) == (1, 1)
    assert assembly.add(arrived(row((LINES, 0), 0, change(2, "5:2")))).num_rows == 1
    tables = [{"data_collection": "shop.bills", "event_count": 1}]
    assembly.mark((MARKS, 0), 0, json.dumps({"status": "END", "id": "5:9", "data_collections": tables}).encode())
    assert not assembly.open
    assert not assembly.overdue(99.0)


def test_a_busy_source_is_not_held_up_for_ever() -> None:
    """What comes after an END that waits does not make it wait longer; when it was given out, the clock starts anew."""
    assembly = Assembly(TABLES, 1.0)
    tables = [{"data_collection": "shop.bills", "event_count": 1}]
    for number in range(2):
        end = json.dumps({"status": "END", "id": f"{number}:9", "data_collections": tables})
        assembly.mark((MARKS, 0), number, end.encode())
    assert not assembly.overdue(10.0)
    assembly.add(arrived(row((BILLS, 0), 0, change(1, "1:1"))))
    assert assembly.overdue(11.0)
    assembly.add(arrived(row((BILLS, 0), 1, change(2, "0:1"))))
    assert not assembly.overdue(99.0)


def test_what_is_sent_again_is_not_counted_twice() -> None:
    """A connector that died in the middle of a transaction sends it again: it is not whole before all of it came."""
    assembly = Assembly(TABLES, 1.0)
    tables = [{"data_collection": "shop.bills", "event_count": 3}]
    end = json.dumps({"status": "END", "id": "5:9", "data_collections": tables}).encode()
    first = [row((BILLS, 0), n, change(n, f"5:{n}")) for n in range(2)]
    assert assembly.add(arrived(*first)).num_rows == 0
    again = [row((BILLS, 0), 2 + n, change(n, f"5:{n}")) for n in range(3)]
    assembly.mark((MARKS, 0), 0, end)
    assert assembly.add(arrived(*again[:2])).num_rows == 0
    assert assembly.add(arrived(again[2])).num_rows == 5
    assembly.mark((MARKS, 0), 1, end)
    assert not assembly.open, "an END that comes again waits for nothing"
    assert assembly.add(arrived(row((BILLS, 0), 5, change(2, "5:2")))).num_rows == 1
    assert assembly.upto() == {(MARKS, 0): 1}


def test_transactions_of_mariadb_are_whole() -> None:
    """Their GTIDs are the same in the changes and in the END."""
    assembly = Assembly(TABLES, 1.0)
    assert assembly.add(arrived(row((BILLS, 0), 0, change(1, "0-1-7")))).num_rows == 0
    tables = [{"data_collection": name, "event_count": 1} for name in TABLES]
    assembly.mark((MARKS, 0), 0, json.dumps({"status": "END", "id": "0-1-7", "data_collections": tables}).encode())
    assert assembly.add(arrived()).num_rows == 0
    assert assembly.add(arrived(row((LINES, 0), 0, change(2, "0-1-7")))).num_rows == 2


def test_a_truncate_of_mariadb_holds_nothing_up() -> None:
    """Its END never comes; PostgreSQL's belongs to a transaction as any change does."""
    assembly = Assembly(TABLES, 1.0)
    for gtid, given_out in (("0-1-8", 1), ("8:1", 0)):
        place = f'"transaction":{{"id":"{gtid}","total_order":1,"data_collection_order":1}}'
        truncate = f'{{"before":null,"after":null,"source":{{}},{place},"op":"t","ts_ms":1}}'
        assert assembly.add(arrived(row((BILLS, 0), 0, truncate))).num_rows == given_out


ENDED = {"status": "END", "id": "5:9", "data_collections": [{"data_collection": "shop.bills", "event_count": 1}]}


@pytest.mark.parametrize("count", ["1", None, 1.5, True, {}])
def test_an_end_whose_count_is_no_number_is_refused(count: Any) -> None:
    """At once, where it is taken in; nothing waits for it."""
    assembly = Assembly(TABLES, 1.0)
    tables = [{"data_collection": "shop.bills", "event_count": count}]
    with pytest.raises(TypeError):
        assembly.mark((MARKS, 0), 4, json.dumps({**ENDED, "data_collections": tables}).encode())
    assert assembly.upto() == {(MARKS, 0): 4}


def test_a_change_whose_number_is_too_long_belongs_to_no_transaction() -> None:
    """It goes on at once, as it is."""
    value = change(1, "5:1").replace('"total_order":1,', f'"total_order":{10**25},')
    assert "0" * 25 in value
    assert Assembly(TABLES, 1.0).add(arrived(row((BILLS, 0), 0, value))).num_rows == 1


@given(st.lists(spoilt(ENDED), max_size=3), st.lists(spoilt(json.loads(change(1, "5:1"))), max_size=3))
def test_whatever_stands_in_a_topic_is_refused_or_given_out(marks: list[str], changes: list[str]) -> None:
    """A mark that cannot be read raises what is passed over; no change is lost, and none ends the run."""
    assembly = Assembly(TABLES, 1.0)
    for offset, mark in enumerate(marks):
        with suppress(ValueError, KeyError, TypeError):
            assembly.mark((MARKS, 0), offset, mark.encode())
    given_out = assembly.add(arrived(*(row((BILLS, 0), n, value) for n, value in enumerate(changes)))).num_rows
    assert given_out + assembly.tear()[0].num_rows == len(changes)
    assert assembly.upto() == ({(MARKS, 0): len(marks) - 1} if marks else {})
