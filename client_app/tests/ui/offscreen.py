"""A window without a screen: real pixels by the software renderer. Import this before anything of Kivy's."""

from __future__ import annotations

import os
import tempfile

#: One surface for every size under test: the root takes a part of it, because SDL's offscreen window cannot grow.
#: Layout may be judged beyond it, pictures cannot be taken there; a large one costs every frame.
SURFACE = (400, 720)


def prepare(surface: tuple[int, int] = SURFACE) -> None:
    """Everything above the first import of Kivy matters."""
    os.environ.pop("DISPLAY", None)
    os.environ.update(
        SDL_VIDEODRIVER="offscreen",
        LP_NUM_THREADS="0",  # Mesa draws on our thread: the others only cost memory and waiting
        KIVY_NO_ARGS="1",
        KIVY_NO_CONFIG="1",
        KIVY_NO_FILELOG="1",
        KIVY_HOME=tempfile.mkdtemp(prefix="kivy-"),
        KIVY_METRICS_DENSITY="1",
        KIVY_METRICS_FONTSCALE="1",
        KIVY_DPI="96",
        KIVY_LOG_MODE="PYTHON",
    )
    from kivy.config import Config

    for name, value in {
        "width": surface[0],
        "height": surface[1],
        "maxfps": 0,
        "multisamples": 0,
        "resizable": 0,
    }.items():
        Config.set("graphics", name, str(value))
    Config.set("kivy", "exit_on_escape", "0")
    for name, _value in list(Config.items("input")):
        Config.remove_option("input", name)
