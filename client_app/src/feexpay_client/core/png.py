"""The size of a PNG picture, from its first bytes."""

from __future__ import annotations

import struct
from pathlib import Path

_START = b"\x89PNG\r\n\x1a\n"
_SIZE = struct.Struct(">II")
#: After the signature come the length and the name of the first chunk.
_SIZE_AT = len(_START) + 8


def png_size(path: Path) -> tuple[int, int]:
    """Width and height; zeros if it is no PNG."""
    with path.open("rb") as file:
        head = file.read(_SIZE_AT + _SIZE.size)
    if not head.startswith(_START) or head[12:16] != b"IHDR" or len(head) < _SIZE_AT + _SIZE.size:
        return 0, 0
    width, height = _SIZE.unpack(head[_SIZE_AT:])
    return width, height
