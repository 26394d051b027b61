"""What owns a machine is closed at the end of its `with` block. Knows nothing of what that takes."""

from __future__ import annotations

from typing import Self


class Closing:
    """Base of what has a close()."""

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
