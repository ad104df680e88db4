"""Draw offscreen with the software renderer. Call `prepare` before any import of Kivy."""

from __future__ import annotations

import os
import tempfile

#: One surface for all sizes, because SDL's offscreen window cannot grow. A larger layout can be tested, but not
#: photographed; a larger surface would slow every frame.
SURFACE = (400, 720)


def prepare(surface: tuple[int, int] = SURFACE) -> None:
    """Set the environment and Kivy's options."""
    os.environ.pop("DISPLAY", None)
    os.environ.update(
        SDL_VIDEODRIVER="offscreen",
        LP_NUM_THREADS="0",  # Mesa draws on our thread: more threads only cost memory
        KIVY_NO_ARGS="1",
        KIVY_NO_CONFIG="1",
        KIVY_NO_FILELOG="1",
        KIVY_HOME=tempfile.mkdtemp(prefix="kivy-"),
        KIVY_METRICS_DENSITY="1",
        KIVY_METRICS_FONTSCALE="1",
        KIVY_DPI="96",
        KIVY_LOG_MODE="PYTHON",
        LANG="C",  # the app looks for a country and a language there
        LC_ALL="C",
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
