"""Arrays of a device as other libraries hand them over."""

from __future__ import annotations

from typing import Any


class Interface:
    """An array that offers itself by ``__cuda_array_interface__``."""

    def __init__(self, array: Any) -> None:
        self.__cuda_array_interface__ = array.__cuda_array_interface__
        self.kept = array


class DLPack:
    """An array that offers itself by DLPack, as a PyTorch tensor does."""

    def __init__(self, array: Any) -> None:
        self.kept = array
        self.streams: list[Any] = []

    def __dlpack_device__(self) -> Any:
        return self.kept.__dlpack_device__()

    def __dlpack__(self, **options: Any) -> Any:
        self.streams.append(options.get("stream"))
        return self.kept.__dlpack__(**options)
