"""What the LM listens to, by item: encoded text and, for models that can, a melody or a style.

Its parts, not what a model makes of them: the weights that project them belong to the engine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .config import LMConfig
from .refused import Refused

PUBLISHED = {
    "melody": "facebook/musicgen-melody or one of its kind",
    "style": "facebook/musicgen-style",
}


@dataclass(frozen=True)
class Melody:
    """The pitch classes of a batch of items over time: one of each frame is 1, the others are 0."""

    chroma: Tensor  # float [B, T, bins]; T as long as the melody, whatever a model reads of it
    frame_rate: float  # frames of chroma a second

    def at(self, begin_s: float) -> Melody:
        """As heard from a moment on; behind its end it begins again."""
        begin = round(begin_s * self.frame_rate) % self.chroma.shape[1]
        return replace(self, chroma=self.chroma.roll(-begin, dims=1)) if begin else self


@dataclass(frozen=True)
class Style:
    """What a style model hears of a sound, for a batch of items."""

    states: Tensor  # float [B, S, style_size]
    guidance: float = 1.0
    """by how much the text counts more beside the style, where an item has both: β of double
    guidance
    """


@dataclass(frozen=True)
class Conditioning:
    """Text for a batch of items, encoded. An item whose mask is empty hears no text; one that has
    no melody and no style either is unconditional.
    """

    texts: tuple[str, ...]
    states: Tensor  # float [B, L, text_size]; zeros where the mask is False
    mask: Tensor  # bool [B, L]
    melody: Melody | None = None
    style: Style | None = None
    """this and the melody are read before the first step, by models that listen so"""

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def is_null(self) -> bool:
        """Whether no item hears anything: guidance then has nothing to push away from."""
        return self.melody is self.style is None and not self.has_text

    @property
    def has_text(self) -> bool:
        return bool(self.mask.any())

    @property
    def text_length(self) -> int:
        """Tokens of the longest text."""
        return self.mask.shape[1]

    def at(self, begin_s: float) -> Conditioning:
        """What a window hears that begins there: a melody goes on with time, all else stays."""
        if self.melody is None:
            return self
        return replace(self, melody=self.melody.at(begin_s))

    def repeated(self, times: int) -> Conditioning:
        """Each item `times` times in a row: variations."""
        return self._taken(torch.arange(len(self)).repeat_interleave(times))

    def item(self, index: int) -> Conditioning | None:
        """One item by itself, without its neighbours' padding; None if it hears nothing."""
        one = self._taken(torch.tensor([index]))
        if one.is_null:
            return None
        length = int(one.mask[0].nonzero().amax()) + 1 if one.has_text else 0
        return replace(one, states=one.states[:, :length], mask=one.mask[:, :length])

    def without_text(self) -> Conditioning:
        """What is left where no text is heard."""
        return replace(
            self, texts=("",) * len(self), states=self.states[:, :0], mask=self.mask[:, :0]
        )

    def shares(self, index: int) -> tuple[tuple[Conditioning | None, float], ...]:
        """What an item hears, all of it: as of a mix."""
        return ((self.item(index), 1.0),)

    def with_melody(self, melody: Melody) -> Conditioning:
        """The same texts to a melody: one for all, or one for each; one text takes each melody.

        Raises Refused if there is another number of them.
        """
        ours, chroma = self._paired("melody", melody.chroma)
        return replace(ours, melody=replace(melody, chroma=chroma))

    def with_style(self, style: Style) -> Conditioning:
        """The same texts in a style, as `with_melody` has it for melodies."""
        ours, states = self._paired("style", style.states)
        return replace(ours, style=replace(style, states=states))

    def _paired(self, what: str, heard: Tensor) -> tuple[Conditioning, Tensor]:
        """As many texts as sounds `[B, T, C]`."""
        texts, sounds = len(self), len(heard)
        if 1 not in (texts, sounds) and texts != sounds:
            raise Refused(
                what,
                got=f"{sounds} for {texts} texts",
                expected=f"1 or {texts}",
                remedy=f"give one {what} for all, or one for each text",
            )
        ours = self.repeated(sounds) if texts == 1 else self
        return ours, heard.expand(len(ours), -1, -1)

    def check_fits(self, config: LMConfig) -> None:
        """Raises Refused if it was made for another kind of model."""
        if self.states.shape[-1] != config.text_size:
            raise Refused(
                "conditioning",
                got=f"text states of {self.states.shape[-1]} numbers",
                expected=f"{config.text_size}, as this model's own text encoder makes them",
                remedy="connect the text encoder and the model of one checkpoint",
            )
        if self.melody is not None:
            _check_melody(self.melody, config)
        if self.style is not None:
            _check_style(self.style, config)

    def _taken(self, items: Tensor) -> Conditioning:
        melody, style = self.melody, self.style
        return Conditioning(
            tuple(self.texts[i] for i in items.tolist()),
            self.states[items],
            self.mask[items],
            None if melody is None else replace(melody, chroma=melody.chroma[items]),
            None if style is None else replace(style, states=style.states[items]),
        )


def check_hears(what: str, config: LMConfig) -> None:
    """Raises Refused for a model that was not trained to follow a "melody", or a "style"."""
    heard = {"melody": config.chroma, "style": config.style_size}
    if heard[what] is None:
        other = next((one for one, how in heard.items() if how is not None), None)
        raise Refused(
            what,
            got=f"a {other} model" if other else "a model that hears text only",
            expected=f"a {what} model",
            remedy=f"load {PUBLISHED[what]}, or leave the {what} out",
        )


def _check_melody(melody: Melody, config: LMConfig) -> None:
    check_hears("melody", config)
    assert config.chroma is not None
    expected = config.chroma.bins, config.sample_rate / config.chroma.hop
    got = melody.chroma.shape[-1], melody.frame_rate
    if got != expected:
        raise Refused(
            "melody",
            got=f"{got[0]} pitch classes, {got[1]:g} times a second",
            expected=f"{expected[0]}, {expected[1]:g} times a second",
            remedy="connect the same model to MusicGen Melody and to the sampler",
        )


def _check_style(style: Style, config: LMConfig) -> None:
    check_hears("style", config)
    if style.states.shape[-1] != config.style_size:
        raise Refused(
            "style",
            got=f"vectors of {style.states.shape[-1]} numbers",
            expected=f"{config.style_size}, as this model hears styles",
            remedy="connect the same model to MusicGen Style and to the sampler",
        )
