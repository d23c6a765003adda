"""The schema registry's settings, and what is said when nobody answers there."""

from __future__ import annotations

import pytest

from connectors.kafka_errors import Unanswered
from connectors.registry import Registry
from ringup.errors import ConfigError
from ringup.local_server import free_port


@pytest.mark.parametrize(
    ("url", "settings", "words"),
    [
        ("registry:8081", {}, "Invalid url"),
        ("http://registry", {"basic.auth.user.inf": "a:b"}, r"Unrecognized properties: basic\.auth\.user\.inf"),
        ("https://registry", {"ssl.ca.location": "/nowhere/ca.pem"}, "No such file"),
    ],
)
def test_settings_that_the_client_refuses_are_told(url: str, settings: dict[str, str | int], words: str) -> None:
    """With the block of ringup.yml that they stand in."""
    with pytest.raises(ConfigError, match=words) as caught:
        Registry(url, settings)
    assert caught.value.where == "ringup.yml: kafka.registry"


def test_an_address_where_nobody_answers_is_told_without_its_login() -> None:
    """At the start; while it runs, the registry is waited for."""
    registry = Registry(f"http://ann:hunter2@127.0.0.1:{free_port()}/apis", {})
    for ask in (registry.check, lambda: registry.avro(1)):
        with pytest.raises(Unanswered, match="does not answer") as caught:
            ask()
        assert "hunter2" not in str(caught.value) + caught.value.mend
        assert (caught.value.where or "").startswith("http://127.0.0.1:")
    registry.close()
