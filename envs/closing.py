"""What owns a machine is closed at the end of its `with` block. Knows nothing of what that takes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self


class Closing(ABC):
    """Base of what has a close()."""

    @abstractmethod
    def close(self) -> None:
        """End what it owns."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
