"""Screenshots of the window."""

from __future__ import annotations

from typing import Any


def window_picture(size: tuple[int, int] | None = None) -> Any:
    """The last drawn frame as an RGB PIL image; `size` crops it from the lower left corner."""
    from kivy.core.window import Window
    from kivy.graphics.opengl import GL_RGBA, GL_UNSIGNED_BYTE, glReadPixels
    from PIL import Image

    width, height = size or Window.size
    raw = bytes(glReadPixels(0, 0, width, height, GL_RGBA, GL_UNSIGNED_BYTE))
    return Image.frombytes("RGBA", (width, height), raw).transpose(Image.Transpose.FLIP_TOP_BOTTOM).convert("RGB")


def renderer() -> str:
    """Name and version of the OpenGL renderer. Only the same renderer draws the same pixels."""
    from kivy.graphics.opengl import GL_RENDERER, GL_VERSION, glGetString

    parts = (glGetString(GL_RENDERER), glGetString(GL_VERSION))
    return " · ".join(part.decode() if isinstance(part, bytes) else str(part) for part in parts)
