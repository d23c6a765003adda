"""A consumer group as its members see it: who is in it, and why one may not be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from connectors.kafka_access import admin_of, group_of
from connectors.kafka_errors import REFUSED
from connectors.kafka_refusals import Settings, grant, principal
from ringup.errors import LogError

PREFIX = "ringup-"
"""What the names of all ringups in a group begin with: another consumer's may not."""
_WHERE = "ringup.yml: kafka.group"


class Group:
    """The group of `settings`, whose member by this name the caller is."""

    def __init__(self, settings: Settings, name: str, session: float) -> None:
        self._settings, self._name, self._session = settings, name, session
        self.id = str(settings["group.id"])
        self._admin: AdminClient | None = None

    def members(self, patience: float) -> Sequence[Any] | None:
        """All of them; None when nobody can say within so many seconds."""
        self._admin = self._admin or admin_of(self._settings)
        said = group_of(self._admin, self.id, patience)
        if said is None:
            self._admin = None
        if said is None or (isinstance(said, KafkaError) and (said.retriable() or said.code() < 0)):
            return None  # a code below 0 is librdkafka's own
        members: Sequence[Any] = getattr(said, "members", ())
        return members

    def others(self, members: Sequence[Any] | None) -> Sequence[Any]:
        """Those that are not the caller."""
        return [member for member in members or () if member.group_instance_id != self._name]

    def refuse(self, members: Iterable[Any]) -> None:
        """Raise LogError when there is a ringup among these."""
        for member in filter(is_ringup, members):
            raise LogError(
                f"another ringup reads for the group {self.id}: {told(member)}",
                where=_WHERE,
                mend=f"Stop that one first; the brokers forget one that has died within {self._session:g} s. Another "
                "`group` is for another project only: both would send everything.",
            )

    def twin(self) -> LogError:
        """The error for somebody else of the same name."""
        return LogError(
            f"{self._name} has lost its seat in the group {self.id}: another one of this name has come after it",
            where=_WHERE,
            mend="It has the same host name, folder and state, a copy of the machine perhaps. Stop one of them.",
        )

    def closed(self, patience: float) -> LogError:
        """The error for a group that took nobody in for so many seconds: it waits for who does not answer."""
        others = ", ".join(map(told, self.others(self.members(1))))
        return LogError(
            f"the group {self.id} takes nobody in within {patience:g} s"
            + (f": it waits for {others}" if others else ""),
            where=_WHERE,
            mend="Stop that consumer: the group is ringup's, and another one needs another group."
            if others
            else "See that the brokers are well: kafka-consumer-groups --describe --state shows the group.",
        )

    def wrong(self, error: KafkaError) -> LogError | None:
        """The error for what will not do however long one waits; None where it may."""
        if error.code() == KafkaError.INVALID_SESSION_TIMEOUT:
            return LogError(
                f"the brokers do not take {self._session:g} s: {error.str()}",
                where="ringup.yml: kafka.client.session.timeout.ms",
                mend="Set it between the brokers' `group.min.session.timeout.ms` and `group.max.session.timeout.ms`: "
                "6000 and 1800000 by default.",
            )
        if error.code() in REFUSED:
            rights = grant(self._settings, "--operation", "Read", "--group", self.id)
            return LogError(
                f"{principal(self._settings)} may not be in the group {self.id}: {error.str()}",
                where=_WHERE,
                mend=f"let an administrator run: {rights}",
            )
        if error.code() in (KafkaError.INCONSISTENT_GROUP_PROTOCOL, KafkaError.GROUP_MAX_SIZE_REACHED):
            return LogError(
                f"ringup cannot be in the group {self.id}: {error.str()}",
                where=_WHERE,
                mend="Name a group that no other consumer uses.",
            )
        return None


def is_ringup(member: Any) -> bool:
    """Whether a member is a ringup."""
    return str(member.group_instance_id or "").startswith(PREFIX)


def told(member: Any) -> str:
    """Who a member is, and where: a ringup by its name, another consumer by what it calls itself."""
    return f"{member.group_instance_id if is_ringup(member) else member.client_id} at {member.host.lstrip('/')}"
