"""Music that is steered while it plays, and is written down as a request that plays it again.

Nothing here waits or has a thread: `play` makes the next samples, and whoever calls it says when.
What is said may come from another thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ...models.config import MAX_DURATION_S, Sampling
from ...models.refused import Refused
from ...nodes.host import Run, running
from ...workflows.prompts import MAX_CHANGES, Parts, parts_of
from ...workflows.request import SAMPLER, TEXT, Request
from .said import Said, Words, checked_text

if TYPE_CHECKING:
    from torch import Tensor

    from ...models.compose.composition import Composition
    from ...models.compose.direction import Direction
    from ...models.compose.state import State
    from ...models.conditioning import Conditioning
    from ...models.encodec import Codec, CodecStream
    from ...models.engines.lockstep import Seat
    from ...models.engines.session import Engine
    from ...models.mix import AnyMix
    from ...models.text import TextEncoder
    from ...workflows.executor import Runner
    from .job import Job

MAX_SAID = 10_000
"""changes of a performance, and words that it knows, also those that others took the place of
before they were heard; a graph holds fewer (`prompts.MAX_CHANGES`)
"""
LEAST_S = 0.1
"""as short as a sampler's music may be"""
MOVING = ("cfg", "temperature", "top_k", "seed")


@dataclass(frozen=True)
class LoadedModel:
    """A model's three parts, at work."""

    engine: Engine
    text: TextEncoder
    codec: Codec


@dataclass(frozen=True)
class Announced:
    """From where on what was said holds."""

    frame: int
    second: float
    prompt: str
    """what is followed then"""
    settings: dict[str, Any]
    """how it is drawn"""


@dataclass(frozen=True)
class Mark:
    """A moment of a performance, from which it may go on as often as one likes."""

    composition: State
    sound: CodecStream
    words: Words
    sampling: Sampling
    past: tuple[tuple[Words, Sampling], ...]
    frames: int
    samples: int
    """how many had been made by then"""


def loaded_model(runner: Runner, job: Job, stopped: Callable[[], bool]) -> LoadedModel:
    """What the graph of a `music_job` plays with, kept by the runner as for any other job.

    Raises what `Runner.run` raises.
    """
    import torch

    assert job.checked is not None, "a music_job is checked where it is made"
    graph = job.checked.graph
    (sampler,), (decoder,) = graph.of_class(SAMPLER), graph.of_class("EnCodecDecode")
    links = (
        sampler.links["model"],
        graph.of_class(TEXT)[0].links["text_encoder"],
        decoder.links["codec"],
    )
    result = runner.run(
        job.checked,
        targets=tuple(dict.fromkeys(link.node for link in links)),
        named_models=job.named_models,
        named_adapters=job.named_adapters,
        limits=job.limits,
        stopped=stopped,
    )
    model, text, codec = (result.value(link.node, link.slot) for link in links)
    with running(Run(stopped=stopped)), torch.inference_mode():
        return LoadedModel(model.source.ready(0), text.encoder.ready(), codec.codec.ready())


class Performance:
    """One item of music, from its first frame to where it is told to end."""

    def __init__(
        self, loaded: LoadedModel, request: Request, *, parts: int = 2, frames: int | None = None
    ):
        """
        Args:
            request: what it begins with, how it is drawn, and the blend of every change.
            parts: texts that may be mixed at once.
            frames: after which it ends in any case; None: it does not.
        Raises:
            Refused: settings out of range, or a text that cannot stand in a schedule.
        """
        from ...models.compose.composition import Composition
        from ...models.compose.direction import Direction
        from ...models.compose.rows import Room
        from ...models.encodec import CodecStream
        from ...models.engines.shared import seat_at

        self._loaded, self._request = loaded, request
        self._saying = threading.Lock()  # held by who says something; one after the other
        self._playing = threading.Lock()  # held while a piece is made
        self._lock = threading.Lock()  # guards all that follows
        self._known: dict[str, AnyMix] = {}
        self._encoded_texts: dict[str, Conditioning] = {}
        config = loaded.engine.config
        self.frame_rate, self.sample_rate = config.frame_rate, loaded.codec.sample_rate
        self._blend_frames = round(request.blend_s * config.frame_rate)
        self._words = Words(parts_of(checked_text(request.prompt)))
        _check_negative(request)
        self._sampling = Sampling(
            request.temperature, request.top_k, request.top_p, request.cfg, seed=None
        )
        self._negative = None
        if request.negative:
            self._negative = self._encoded(parts_of(request.negative))
        heard = self._known[self._words.prompt] = self._heard(self._words)
        begun = Direction(heard, self._negative, self._sampling)
        room = Room.for_all([begun]).widened(parts, blends=self._blend_frames > 0)
        self._begun, self._parts = begun, room.prompts
        self._composition: Composition = Composition(
            loaded.engine, begun, seed=request.seed, room=room
        )
        self._seat: Seat = seat_at(loaded.engine, self._composition.frames(frames))
        self._read_ahead: list[Tensor] = []
        """frames that were made when it went back, for the next piece"""
        self._sound = CodecStream(loaded.codec, config.channels)
        self._past: list[tuple[Words, Sampling]] = []
        self._end = frames
        self._is_closed = False
        self._fade_frames = 0
        self._fading: tuple[int, Tensor] | None = None
        """its first sample, and what each from there on is multiplied by"""
        self.frames = self.samples = 0
        """how many have been made"""
        self.begun_at = self.taken_back = 0
        """the first sample of the last piece; how many were made and taken back"""

    @property
    def is_over(self) -> bool:
        return self._end is not None and self.frames >= self._end

    @property
    def fades_from(self) -> int | None:
        """The first sample of its end, once that was told."""
        return None if self._fading is None else self._fading[0]

    @property
    def most_frames(self) -> int:
        """That a graph can hold: a piece may be so long, and change so often."""
        longest = round(MAX_DURATION_S * self.frame_rate)
        with self._lock:
            changes = [frame for frame, _ in self._composition.schedule]
        return min(longest, *changes[MAX_CHANGES : MAX_CHANGES + 1], longest)

    def close(self) -> None:
        """Ends it where it is, for others to have its room: it is not played any more."""
        with self._playing, self._lock:
            self._is_closed = True
            self._seat.close()

    # ------------------------------------------------------------ playing

    def play(self) -> Tensor | None:
        """The next samples, `[C, n]` on the CPU; None when it is over."""
        import torch

        with self._playing, torch.inference_mode():
            with self._lock:
                if self.is_over:
                    return None
                tokens, is_over, fading = self._next_tokens(), self.is_over, self._fading
            # an end is never told nearer than a frame behind these
            pieces = [] if tokens is None else [self._sound.push(tokens, goes_on=not is_over)]
            if is_over:
                pieces.append(self._sound.close())
            sound = torch.cat(pieces, dim=2)[0]
            if fading is not None:
                _fade(sound, self.samples, *fading)
            self.begun_at = self.samples
            self.samples += sound.shape[1]
        return sound

    def _next_tokens(self) -> Tensor | None:
        """As many as the next block of sound is made of, `[1, K, t]`."""
        import torch

        from ...models.encodec import BLOCK_FRAMES

        wanted = BLOCK_FRAMES - self.frames % BLOCK_FRAMES
        pieces, self._read_ahead = self._read_ahead, []
        wanted -= sum(piece.shape[2] for piece in pieces)
        pieces += [piece for piece in self._seat.more(wanted) if piece is not None]
        self.frames += sum(piece.shape[2] for piece in pieces)
        return torch.cat(pieces, dim=2) if pieces else None

    # ------------------------------------------------------------ saying

    def say(self, said: Said) -> Announced:
        """Raises Refused for what cannot be, and for what comes too late."""
        with self._saying:
            before = self._words, self._sampling
            words = self._words.changed(said)
            self._check_room(words)
            self._check_said()
            sampling = replace(self._sampling, **said.settings)
            heard = self._heard(words)  # takes time, in which the music goes on
            with self._lock:
                announced = self._turn(words, heard, sampling)
                self._past = [*self._past[1 - MAX_SAID :], before]
                return announced

    def undo(self) -> Announced:
        """Back to what was in force before what was said last; it is a change as any other."""
        with self._saying, self._lock:
            if not self._past:
                expected = "something that was said"
                raise Refused("undo", got="nothing to take back", expected=expected)
            self._check_said()
            words, sampling = self._past[-1]
            announced = self._turn(words, self._heard(words), sampling)
            self._past.pop()
            return announced

    def end(self, after_s: float = 0.0, fade_s: float = 0.0) -> float:
        """Ends the music so many seconds on, and lets it fall silent in the last of them, for which
        it goes on as long as that takes.

        Returns when that will be, in seconds from its beginning.
        """
        import torch

        from ...models.dsp import fade_gains

        with self._lock, torch.inference_mode():
            if self._fading is not None:
                told = f"it, and it ends at {(self._end or 0) / self.frame_rate:g} s already"
                raise Refused("the end", got=told, expected="it once")
            rate, now = self.frame_rate, self._composition.next_frame
            self._check_is_on(now)
            least = max(round(LEAST_S * rate), self.frames + 1)
            frame = max(now + round(max(after_s, fade_s) * rate), least)
            if self._end is not None:
                frame = min(frame, self._end)
            self._composition.end_at(frame)
            self._end, self._fade_frames = frame, min(round(fade_s * rate), frame - now)
            hop = self._loaded.codec.hop
            gains = fade_gains(self._fade_frames * hop)
            self._fading = (frame - self._fade_frames) * hop, gains
            return frame / rate

    def _turn(self, words: Words, heard: AnyMix, sampling: Sampling) -> Announced:
        from ...models.compose.direction import Direction

        composition = self._composition
        frame = composition.next_frame
        self._check_is_on(frame)
        if sampling.top_p > 0 and sampling.top_k != self._sampling.top_k:
            got = "it with top_p above 0, where it has no effect"
            raise Refused("top_k", got=got, expected="top_p 0", remedy="begin without top_p")
        if heard is not self._known[self._words.prompt]:
            blend = self._blend_frames if frame else 0  # nothing is there yet to blend with
            direction = Direction(heard, self._negative, sampling, blend_frames=blend)
            frame = composition.steer(direction, instead=True)
            self._check_is_on(frame)
        if sampling != self._sampling:
            frame = max(frame, composition.redraw(sampling))
        self._words, self._sampling = words, sampling
        self._known[words.prompt] = heard
        settings = {name: getattr(sampling, name) for name in ("cfg", "temperature", "top_k")}
        settings["seed"] = self._request.seed if sampling.seed is None else sampling.seed
        return Announced(frame, frame / self.frame_rate, words.prompt, settings)

    def _check_room(self, words: Words) -> None:
        if len(words.parts) > self._parts:
            raise Refused(
                "text",
                got=f"a mix of {len(words.parts)}",
                expected=f"at most {self._parts} at once",
                remedy="begin with more parts",
            )

    def _check_said(self) -> None:
        if max(len(self._composition.schedule), len(self._known)) >= MAX_SAID:
            expected = f"at most {MAX_SAID} changes of one performance"
            raise Refused("what is said", got="one more", expected=expected, remedy="begin anew")

    def _check_is_on(self, frame: int) -> None:
        if self._end is not None and frame >= self._end:
            raise Refused(
                "what is said",
                got=f"it for {frame / self.frame_rate:g} s",
                expected=f"a time before the music's end at {self._end / self.frame_rate:g} s",
                remedy="it comes too late: begin anew",
            )

    def _heard(self, words: Words) -> AnyMix:
        """Words that were followed before are the same conditioning."""
        known = self._known.get(words.prompt)
        return self._encoded(parts_of(words.prompt)) if known is None else known

    def _encoded(self, parts: Parts) -> AnyMix:
        import torch

        from ...models.mix import combined

        with torch.inference_mode():
            each = [(self._encoded_text(text), weight) for text, weight in parts]
        return each[0][0] if len(each) == 1 else combined(each)

    def _encoded_text(self, text: str) -> Conditioning:
        """Once: other weights for the same texts come with every move of a hand."""
        if text not in self._encoded_texts:
            self._encoded_texts[text] = self._loaded.text.encode([text])
        return self._encoded_texts[text]

    # ------------------------------------------------------------ going back

    def mark(self) -> Mark:
        """Where it stands. Raises Refused before the first frame, and behind the last."""
        with self._saying, self._playing, self._lock:
            if self.is_over:
                expected, remedy = "a moment of it", "set marks while it plays"
                raise Refused("this mark", got="the music's end", expected=expected, remedy=remedy)
            return Mark(
                self._composition.state(), self._sound.copied(), self._words, self._sampling,
                tuple(self._past), self.frames, self.samples,
            )  # fmt: skip

    def go_back(self, mark: Mark) -> None:
        """It goes on where it stood then, and what was made since is no part of it.

        Meanwhile it plays on: what the model heard by then is read again first.
        Raises Refused once it was told to end.
        """
        import torch

        from ...models.compose.composition import Composition
        from ...models.engines.shared import seat_at

        with self._saying:
            self._check_is_endless()
            engine = self._loaded.engine
            with torch.inference_mode():
                composition = Composition.resumed(engine, mark.composition)
                seat = seat_at(engine, composition.rest())
                first = [piece for piece in seat.more(1) if piece is not None]
            with self._playing, self._lock:
                try:
                    self._check_is_endless()
                except Refused:
                    seat.close()
                    raise
                self._seat.close()
                self._composition, self._seat, self._read_ahead = composition, seat, first
                self._sound, self._past = mark.sound.copied(), list(mark.past)
                self._words, self._sampling = mark.words, mark.sampling
                self.taken_back += self.samples - mark.samples
                self.frames, self.samples = mark.frames, mark.samples

    def _check_is_endless(self) -> None:
        if self._is_closed:
            expected, remedy = "one under way", "begin anew"
            raise Refused(
                "the performance", got="one that is over", expected=expected, remedy=remedy
            )
        if self._fading is not None:
            expected = "one that goes on"
            raise Refused("the performance", got="one that was told to end", expected=expected)

    # ------------------------------------------------------------ writing down

    def score(self, frames: int | None = None) -> Request:
        """What plays it again: so far or, once it is to end, to its end; or only so many frames.

        Raises Refused before the first frame.
        """
        with self._lock:
            is_whole = self.is_over and frames in (None, self.frames)
            frames = min(self.frames, frames or self.frames)
            if frames < round(LEAST_S * self.frame_rate):
                got = f"{frames} frames of music"
                raise Refused("the graph", got=got, expected="some", remedy="let it play first")
            changes = [change for change in self._composition.schedule if change[0] < frames]
            begun = [one for frame, one in changes if frame == 0] or [self._begun]
            followed = [(0, begun[-1]), *(change for change in changes if change[0])]
            drawn, own = begun[-1].sampling, self._request.seed
            return replace(
                self._request,
                prompt=self._prompt_of(begun[-1]),
                seed=own if drawn.seed is None else drawn.seed,
                cfg=drawn.cfg,
                temperature=drawn.temperature,
                top_k=drawn.top_k,
                duration_s=frames / self.frame_rate,
                blend_s=self._blend_frames / self.frame_rate,
                fade_s=self._fade_frames / self.frame_rate if is_whole else 0.0,
                schedule="; ".join(self._texts(followed)),
                automation=_automation(followed, self.frame_rate, own),
            )

    def _prompt_of(self, direction: Direction) -> str:
        return next(text for text, one in self._known.items() if one is direction.positive)

    def _texts(self, followed: list[tuple[int, Direction]]) -> Iterator[str]:
        for (_, before), (frame, now) in pairwise(followed):
            if now.positive is not before.positive:
                yield f"{frame / self.frame_rate!r}: {self._prompt_of(now)}"


def _check_negative(request: Request) -> None:
    if request.negative and request.cfg == 1:
        got = "one with cfg 1, where it has no effect"
        raise Refused("negative", got=got, expected="another cfg", remedy="raise cfg (3 is usual)")


def _fade(sound: Tensor, at: int, begin: int, gains: Tensor) -> None:
    """`sound` `[C, n]` from sample `at` on, in place, where the fade begins at sample `begin`."""
    first = max(0, begin - at)
    if first < sound.shape[1]:
        sound[:, first:] *= gains[at + first - begin : at - begin + sound.shape[1]]


def _automation(followed: list[tuple[int, Direction]], rate: float, own_seed: int) -> str:
    """Of settings that jump: a line to the frame before, and from there to the frame."""
    lines = []
    for name in MOVING:
        points: dict[int, Any] = {}
        for (_, before), (frame, now) in pairwise(followed):
            old, new = getattr(before.sampling, name), getattr(now.sampling, name)
            if old == new:
                continue
            if name != "seed":
                points.setdefault(frame - 1, old)
            points[frame] = own_seed if new is None else new
        if points:
            told = ", ".join(f"{frame / rate!r}: {value!r}" for frame, value in points.items())
            lines.append(f"{name} {told}")
    return "; ".join(lines)
