"""Every error that ringup raises on purpose, as one tree.

RingupError
├── ConfigError      a file that a person wrote is wrong: file, field, mend
├── SourceError      a source database cannot be captured as it stands
├── CaptureError     the capture process failed
├── LogError         the change log cannot be read where it must be
├── ProjectError     the dbt project does not compile, or a model cannot be kept up to date
├── WarehouseError   the state on disk cannot be used
├── LakeError        the lake on disk cannot be read or written
├── OwnedError       another process owns the project folder
└── ChannelError     a channel's settings cannot work
"""

from __future__ import annotations


class RingupError(Exception):
    """Something a person can mend: `str(error)` says what is wrong, `mend` what to do.

    `where` names the file and the field (`ringup.yml: channels.till.url`), where there is one.
    """

    def __init__(self, message: str, *, mend: str, where: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend
        self.where = where

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class ConfigError(RingupError):
    """A file that a person wrote is wrong."""


class SourceError(RingupError):
    """A source database cannot be captured as it stands."""


class CaptureError(RingupError):
    """The capture process failed."""


class LogError(RingupError):
    """The change log cannot be read where it must be."""


class ProjectError(RingupError):
    """The dbt project does not compile, or one of its models cannot be kept up to date."""


class WarehouseError(RingupError):
    """The state on disk cannot be used."""


class LakeError(RingupError):
    """The lake on disk cannot be read or written."""


class OwnedError(RingupError):
    """Another process owns the project folder."""


class ChannelError(RingupError):
    """A channel's settings cannot work."""
