"""Addresses in ringup.yml, so that one that cannot be any is told before something waits for its answer.

A login may stand in an address, so no error shows one.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator

_HTTP = "Write it as `http://host:port` or `https://host:port`; a `/`, `#` or `@` in a login is `%2F`, `%23` or `%40`."
_HOSTS = "Write it as `host:port`, several with commas."


def _address(value: str) -> str:
    parts = _split(value, _HTTP)
    if parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        raise ValueError(f"this is no address of a web server|{_HTTP}")
    return value


def _addresses(value: str) -> str:
    for one in value.split(","):
        _address(one.strip())
    return value


def _brokers(value: str) -> str:
    for one in value.split(","):
        _split(f"//{one.strip().rpartition('://')[2]}", _HOSTS)
    return value


def _split(address: str, mend: str) -> SplitResult:
    try:
        parts = urlsplit(address)
        port, host = parts.port, (parts.hostname or "").encode("idna")
    except ValueError:  # its words may hold a part of a login
        raise ValueError(f"this is no address, or its port is none|{mend}") from None
    if not host or port == 0 or any(sign.isspace() for sign in address):
        raise ValueError(f"this is no address, or its port is none|{mend}")
    return parts


Address = Annotated[str, AfterValidator(_address)]
"""The address of a web server."""

Addresses = Annotated[str, AfterValidator(_addresses)]
"""Several of them with commas, or one."""

Brokers = Annotated[str, AfterValidator(_brokers)]
"""Kafka's brokers: hosts with or without ports, several with commas."""
