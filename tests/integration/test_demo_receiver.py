"""The demo's receiver over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from standardwebhooks import Webhook

from ringup.demo.inbox import Inbox, Message
from ringup.demo.receiver import Receiver, make_secret

SECRET = make_secret()


@pytest.fixture
def came() -> SimpleQueue[Message]:
    """The messages that were shown."""
    return SimpleQueue()


@pytest.fixture
def receiver(tmp_path: Path, came: SimpleQueue[Message]) -> Iterator[Receiver]:
    """A receiver that listens."""
    with Receiver(tmp_path / "inbox.db", SECRET, came.put) as receiver:
        yield receiver


def body(event_id: str = "42") -> str:
    """A message about something that was committed 200 ms ago."""
    data = {
        "profile_id": 7,
        "event_id": event_id,
        "text": "Maria, you earned 50 points.",
        "committed_at": (datetime.now(UTC) - timedelta(milliseconds=200)).isoformat(timespec="microseconds"),
    }
    return json.dumps({"type": "points_at_the_till", "timestamp": "2026-05-01T12:00:00+00:00", "data": data})


def status(receiver: Receiver, content: str, headers: dict[str, str]) -> int:
    """How a request is answered."""
    try:
        with urlopen(Request(receiver.url, content.encode(), headers), timeout=10) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def post(
    receiver: Receiver, content: str, webhook_id: str = "msg_1", secret: str = SECRET, sent: timedelta = timedelta()
) -> int:
    """How a signed message is answered."""
    at = datetime.now(UTC) + sent
    headers = {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(webhook_id, at, content),
    }
    return status(receiver, content, headers)


def kept(tmp_path: Path) -> int:
    """How many messages are in the file."""
    with closing(Inbox(tmp_path / "inbox.db")) as inbox:
        return inbox.count()


def test_a_signed_message_is_kept_before_it_is_answered(
    receiver: Receiver, tmp_path: Path, came: SimpleQueue[Message]
) -> None:
    """After the answer the message is in the file, with its age since the commit."""
    assert post(receiver, body()) == 204
    assert kept(tmp_path) == 1
    message = came.get(timeout=5)
    assert (message.webhook_id, message.profile_id, message.event_id) == ("msg_1", 7, "42")
    assert 200 <= message.age_ms < 5_000


@pytest.mark.parametrize(("happened", "counts"), [(0.7, 0.7), (-0.1, 0.0), (1.0, 0.0)])
def test_an_age_counts_from_the_tills_own_time_where_the_commits_is_a_whole_second(
    receiver: Receiver, came: SimpleQueue[Message], happened: float, counts: float
) -> None:
    """It does so within that second alone: what happened before or after it says nothing of when it was committed."""
    message = json.loads(body())
    committed = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=10)
    message["timestamp"] = (committed + timedelta(seconds=happened)).isoformat(timespec="microseconds")
    message["data"]["committed_at"] = committed.isoformat(timespec="microseconds")
    assert post(receiver, json.dumps(message)) == 204
    kept = came.get(timeout=5)
    assert kept.received_at - kept.age_ms / 1000 == pytest.approx((committed + timedelta(seconds=counts)).timestamp())


@pytest.mark.parametrize("sent", [timedelta(minutes=-6), timedelta(minutes=6)])
def test_a_message_from_another_time_is_refused(receiver: Receiver, tmp_path: Path, sent: timedelta) -> None:
    """An old signature that somebody recorded opens nothing."""
    assert post(receiver, body(), sent=sent) == 401
    assert kept(tmp_path) == 0


def test_a_wrong_signature_is_refused(receiver: Receiver, tmp_path: Path, came: SimpleQueue[Message]) -> None:
    """A message that was signed with another secret is not kept and not shown."""
    assert post(receiver, body(), secret=make_secret()) == 401
    assert (kept(tmp_path), came.qsize(), receiver.refused) == (0, 0, 1)


@pytest.mark.parametrize("signature", ["", "v1", "v1,!", "v2,AAAA", "nonsense"])
def test_a_malformed_signature_is_refused(receiver: Receiver, signature: str) -> None:
    """Nonsense in the header is the sender's mistake and no failure of the receiver."""
    now = str(int(datetime.now(UTC).timestamp()))
    headers = {"webhook-id": "msg_1", "webhook-timestamp": now, "webhook-signature": signature}
    assert status(receiver, body(), headers) == 401
    assert status(receiver, body(), {}) == 401


@pytest.mark.parametrize("content", ["[]", '{"type": "x"}', '{"type": "x", "data": {"profile_id": "y"}}', "{"])
def test_a_signed_request_that_is_no_message_is_not_kept(receiver: Receiver, tmp_path: Path, content: str) -> None:
    """What is signed but has no customer or event is answered with a client error."""
    assert 400 <= post(receiver, content) < 500
    assert kept(tmp_path) == 0


def test_sent_again_is_counted_but_shown_once(receiver: Receiver, tmp_path: Path, came: SimpleQueue[Message]) -> None:
    """The same id a second time is answered well, and is not a second message."""
    assert [post(receiver, body()), post(receiver, body())] == [204, 204]
    assert came.qsize() == 1
    with closing(Inbox(tmp_path / "inbox.db")) as inbox:
        assert (inbox.count(), inbox.account("points_at_the_till", {"42"}).resent) == (1, 1)


def test_another_id_for_the_same_event_is_a_double(receiver: Receiver, tmp_path: Path) -> None:
    """Two ids for one bill would be two messages to one customer: the account says so, and which bill has none."""
    post(receiver, body(), webhook_id="msg_1")
    post(receiver, body(), webhook_id="msg_2")
    with closing(Inbox(tmp_path / "inbox.db")) as inbox:
        account = inbox.account("points_at_the_till", {"42", "43"})
    assert (set(account.doubled), set(account.missing)) == ({"42"}, {"43"})


def test_a_taken_port_is_said_at_the_start(receiver: Receiver, tmp_path: Path) -> None:
    """A receiver that cannot listen fails when it is started, not when messages stay away."""
    port = int(receiver.url.split(":")[2].split("/")[0])
    with pytest.raises(OSError), Receiver(tmp_path / "other.db", SECRET, port=port):
        pass
