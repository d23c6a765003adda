"""One file per channel: its settings with a `type` of their own, and the channel that they make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from activations.channels.base import Channel, MakesChannel
from ringup.errors import ProjectError

if TYPE_CHECKING:
    from ringup.config import Config
    from transforms.project import ActivationSpec


def open_channels(config: Config, activations: Iterable[ActivationSpec]) -> dict[str, Channel]:
    """The channels of a project by name. Raises ProjectError when an activation asks for one that is not there."""
    settings: Mapping[str, MakesChannel] = config.channels
    for activation in activations:
        if activation.channel not in settings:
            raise ProjectError(
                f"there is no channel `{activation.channel}`",
                where=f"{activation.path}: {activation.name}.channel",
                mend=f"Name one of the channels in ringup.yml ({', '.join(settings) or 'none yet'}), or add it there.",
            )
    return {name: block.channel(name, config) for name, block in settings.items()}
