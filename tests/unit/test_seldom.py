"""What may be said many times a second is said at once, and then at growing pauses."""

from __future__ import annotations

import logging

import pytest

from connectors.seldom import Seldom


def test_the_same_is_said_at_growing_pauses(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Another thing is said at once all the same, and what was quiet for long begins anew."""
    now = [1_000.0]
    monkeypatch.setattr("connectors.seldom.time.monotonic", lambda: now[0])
    seldom, said = Seldom(logging.getLogger("test")), list[float]()

    def warn_for(seconds: int) -> list[float]:
        said.clear()
        for _ in range(seconds):
            caplog.clear()
            seldom.warn("away", "the broker is %s", "away")
            said.extend([now[0] - 1_000] * len(caplog.messages))
            now[0] += 1
        return said

    assert warn_for(200) == [0, 10, 30, 70, 150]
    caplog.clear()
    seldom.warn("login", "the login is refused")
    assert caplog.messages == ["the login is refused"]
    now[0] += 10_000
    assert warn_for(20) == [10_200, 10_210]
