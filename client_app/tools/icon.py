"""Draw the app's icon, a coin with a tick on green: `python tools/icon.py` writes ui/icon.png."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

SIDE, FINER = 512, 4
GREEN, GOLD, WHITE = "#0A4A38", "#E8B84A", "#FFFFFF"
PATH = Path(__file__).resolve().parents[1] / "src/feexpay_client/ui/icon.png"


def draw(side: int = SIDE) -> Image.Image:
    """Draw at four times the size and scale down, for smooth edges."""
    full = side * FINER
    icon = Image.new("RGBA", (full, full), (0, 0, 0, 0))
    pen = ImageDraw.Draw(icon)
    pen.rounded_rectangle((0, 0, full - 1, full - 1), radius=full * 0.24, fill=GREEN)
    middle, radius = full / 2, full * 0.29
    ring = (middle - radius, middle - radius, middle + radius, middle + radius)
    pen.ellipse(ring, outline=GOLD, width=round(full * 0.05))
    corners = ((-0.13, 0.0), (-0.03, 0.1), (0.14, -0.1))
    tick = [(middle + full * x, middle + full * y) for x, y in corners]
    width = round(full * 0.06)
    pen.line(tick, fill=WHITE, width=width, joint="curve")
    for x, y in tick:
        pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=WHITE)
    return icon.resize((side, side), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    draw().quantize(64).save(PATH, optimize=True)
