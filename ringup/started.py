"""What is started and stopped, and so can be had for a while: `with` does both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Started(ABC):
    """A server, or several, that runs from `start` to `stop`."""

    @abstractmethod
    def start(self) -> Self:
        """Begin, and be ready."""

    @abstractmethod
    def stop(self) -> None:
        """End in order."""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
