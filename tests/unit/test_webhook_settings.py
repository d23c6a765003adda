"""What ringup.yml may say of a webhook, and what a receiver may say of waiting."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from activations.channels import open_channels
from activations.channels.webhook import DOWN, REFUSALS, WebhookSettings, retry_after
from ringup.config import Config
from ringup.errors import ProjectError
from tests.outgoing import POINTS, SECRET

GOOD = {"type": "webhook", "url": "https://shop.example/hooks", "secret": SECRET}


def test_the_defaults_are_the_documented_ones() -> None:
    """Five seconds, five steps up to half an hour, 64 at once."""
    settings = WebhookSettings.model_validate(GOOD)
    assert settings.timeout == timedelta(seconds=5)
    assert [step.total_seconds() for step in settings.retry] == [1, 5, 30, 300, 1800]
    assert settings.in_flight == 64


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://shop.example"},
        {"url": "shop.example/hooks"},
        {"secret": ""},
        {"secret": "whsec_"},
        {"secret": "whsec_c2hvcnQ="},
        {"secret": "whsec_not base64 at all, but long enough to be a key!"},
        {"timeout": "0s"},
        {"timeout": "soon"},
        {"retry": []},
        {"retry": ["1s", "0s"]},
        {"in_flight": 0},
        {"verify": False},
        {"urls": "https://shop.example"},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, object]) -> None:
    """Each mistake is found before anything is sent, and TLS has no switch."""
    with pytest.raises(ValidationError) as caught:
        WebhookSettings.model_validate({**GOOD, **wrong})
    assert caught.value.errors()[0]["loc"][0] == next(iter(wrong))


def test_a_secret_is_never_shown() -> None:
    """Neither the settings nor the error about a wrong one print it."""
    settings = WebhookSettings.model_validate(GOOD)
    assert SECRET not in repr(settings)
    assert SECRET not in settings.model_dump_json()


def test_a_secret_may_come_without_prefix_or_padding() -> None:
    """Standard Webhooks' own library takes both, so ringup does."""
    WebhookSettings.model_validate({**GOOD, "secret": SECRET.removeprefix("whsec_").rstrip("=")})


def test_an_activation_of_an_unknown_channel_is_refused() -> None:
    """The error names the file, the activation and the channels that there are."""
    with pytest.raises(ProjectError) as caught:
        open_channels(Config(project="shop", channels={"mail": WebhookSettings.model_validate(GOOD)}), [POINTS])
    assert caught.value.where == "models/activations.yml: points_at_the_till.channel"
    assert "`till`" in caught.value.message
    assert "mail" in caught.value.mend


def test_channels_are_opened_by_name() -> None:
    """Each block of settings becomes a channel with its schedule and its limit."""
    settings = WebhookSettings.model_validate({**GOOD, "in_flight": 7})
    channels = open_channels(Config(project="shop", channels={"till": settings}), [POINTS])
    assert list(channels) == ["till"]
    assert channels["till"].in_flight == 7


def test_no_answer_both_refuses_a_message_and_asks_to_wait() -> None:
    """The two lists of statuses do not overlap."""
    assert not REFUSALS & DOWN


@given(st.integers(0, 10**9))
def test_a_wait_in_seconds_is_taken_as_it_is(seconds: int) -> None:
    """`Retry-After: 120` means 120 seconds."""
    assert retry_after({"Retry-After": str(seconds)}) == seconds


@given(st.integers(-(10**6), 10**6))
def test_a_wait_until_a_date_is_counted_on_the_receivers_clock(seconds: int) -> None:
    """A receiver whose clock is wrong still gets the wait that it meant; a date in the past is no wait."""
    its_now = datetime(2031, 5, 4, 3, 2, 1, tzinfo=UTC)
    headers = {
        "Date": format_datetime(its_now, usegmt=True),
        "Retry-After": format_datetime(its_now + timedelta(seconds=seconds), usegmt=True),
    }
    assert retry_after(headers) == max(0, seconds)


@given(st.text())
def test_a_wait_that_cannot_be_read_is_none(text: str) -> None:
    """Whatever a receiver writes there, the schedule goes on."""
    assert retry_after({"Retry-After": text, "Date": text}) >= 0
    assert retry_after({"Retry-After": "Fri, 99 Foo 2026 00:00:00 +99999999"}) == 0
