"""A take to be sent to somebody: a picture with its title and wave, and a video in which the wave
plays.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from ...workflows.media.audio import read_audio
from ...workflows.media.retag import all_tags
from ...workflows.media.tags import TAGS
from ...workflows.media.video_files import write_drawn
from .take_library import Take

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

COVER_SIZE, VIDEO_SIZE = (800, 800), (1280, 720)
PICTURES_A_SECOND = 15
BACKGROUND, INK, FAINT, MARK = (14, 10, 24), (250, 246, 252), (168, 156, 180), (249, 160, 69)
DIMMED = 0.42
MAX_LINES = 3
LAST_LATIN = "\u024f"
"""the font that comes along draws letters up to this one"""


def cover_of(take: Take, wave: Path) -> bytes:
    """As JPEG; `wave` is the picture that the library has of the take."""
    buffer = io.BytesIO()
    _card(take.note.title, wave, COVER_SIZE).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def write_video_of(take: Take, wave: Path, target: Path) -> None:
    """MP4 with the sound, and the take's graph in its tags. Raises Refused."""
    sound, rate = read_audio(take.path)
    pictures = _playing(take, wave, sound.shape[1] / rate)
    tags = {name: text for name, text in all_tags(take.path).items() if name in TAGS}
    audio = {"waveform": sound[None], "sample_rate": rate}
    write_drawn(
        target, pictures, VIDEO_SIZE, Fraction(PICTURES_A_SECOND), audio,
        {**tags, "title": take.note.title},
    )  # fmt: skip


def _playing(take: Take, wave: Path, duration_s: float) -> Iterator[np.ndarray]:
    """What was heard is bright, what comes is dim; a line between."""
    import numpy as np

    bright = np.asarray(_card(take.note.title, wave, VIDEO_SIZE))
    left, top, right, bottom = _place_of_wave(VIDEO_SIZE)
    dim = (bright[top:bottom, left:right] * DIMMED).astype(np.uint8)
    count = max(1, round(duration_s * PICTURES_A_SECOND))
    for number in range(count):
        at = round((right - left) * number / count)
        picture = bright.copy()
        picture[top:bottom, left + at : right] = dim[:, at:]
        picture[top - 6 : bottom + 6, left + at : left + at + 3] = INK
        yield picture


def _place_of_wave(size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom."""
    width, height = size
    margin = width // 16
    high = (width - 2 * margin) // 4
    top = round(height * 0.52) - high // 3
    return margin, top, width - margin, top + high


def _card(title: str, wave: Path, size: tuple[int, int]) -> Image:
    from PIL import Image, ImageDraw, ImageFont

    card = Image.new("RGB", size, BACKGROUND)
    left, top, right, bottom = _place_of_wave(size)
    with Image.open(wave) as drawn:
        card.paste(drawn.convert("RGB").resize((right - left, bottom - top)), (left, top))
    pen = ImageDraw.Draw(card)
    large, small = (ImageFont.load_default(size[0] // part) for part in (24, 40))
    lines = _lines(title, size[0])
    step = size[0] // 18
    for number, line in enumerate(lines):
        place = (left, top - step * (len(lines) - number) - step // 3)
        pen.text(place, line, fill=INK, font=large)
    pen.rectangle((left, bottom + step // 2, left + step, bottom + step // 2 + 5), fill=MARK)
    pen.text((left, bottom + step * 0.8), "MusicGraph", fill=FAINT, font=small)
    return card


def _lines(title: str, width: int) -> list[str]:
    """A few of them; none of letters that the font does not have."""
    if max(title, default=" ") > LAST_LATIN:
        return []
    lines = [""]
    for word in title.split():
        longer = f"{lines[-1]} {word}".strip()
        if len(longer) > 38 and lines[-1]:
            lines.append(word[:38])
        else:
            lines[-1] = longer[:38]
    return lines if len(lines) <= MAX_LINES else [*lines[: MAX_LINES - 1], f"{lines[2][:34]} …"]
