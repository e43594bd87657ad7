"""The generator that everything else consumes: it yields frames as soon as they are whole.

Knows no text and no sound: conditioning comes in, tokens go out. Closing the generator stops the
work within one step; a GPU still finishes those that are queued (`readback.LAG_STEPS` at most).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..automation import STEADY, Automation
from ..config import Generation, Sampling
from ..engines.readback import LAG_STEPS, bring_back, lag_on
from ..engines.session import Engine
from ..mix import AnyMix
from ..refused import Refused
from . import checks
from .direction import Direction, Schedule, Turn, check_blends, guidance_has_ended
from .noise import Noise, NoiseMark, Seeds
from .rows import Room, Rows, rows_for, rows_of
from .state import State
from .timeline import Timeline, score_of
from .voices import Voices
from .window import Bounds, Window

READ_STEPS = 50  # of a prompt at a time, so that a stop is heard while a long one is read
HEARD_S = 1.0
"""of what was played, where other texts take over at once: who hears more of it goes on with it"""


def stream(
    engine: Engine,
    generation: Generation,
    positive: AnyMix | Timeline,
    negative: AnyMix | None = None,
    prompt: Tensor | None = None,
    open_end: bool = False,
    automation: Automation = STEADY,
) -> Generator[Tensor, None, None]:
    """`generation.frames` frames of a `Composition`, the prompt's first.

    Raises Refused at once, not later.
    """
    begun, schedule = score_of(engine.config, generation, positive, negative, automation)
    return Composition(
        engine,
        begun,
        seed=generation.seed,
        overlap_frames=generation.overlap_frames,
        prompt=prompt,
        open_end=open_end,
        schedule=schedule,
    ).frames(generation.frames)


class Composition:
    """Music for a batch of items that start together, frame by frame; it may be steered on the way.

    What is said is kept: the same beginning with the same `schedule` gives the same tokens again.

    Beyond one window the music is made in windows that overlap: each hears the end of the last one
    as its prompt, with positions that start anew, so memory does not grow with length. Source:
    audiocraft's extended generation. Where other texts take over at once a window begins too, which
    hears `HEARD_S` of what was played.
    """

    def __init__(
        self,
        engine: Engine,
        direction: Direction,
        *,
        seed: Seeds = 0,
        overlap_frames: int | None = None,
        prompt: Tensor | None = None,
        open_end: bool = False,
        schedule: Schedule = (),
        room: Room | None = None,
    ):
        """
        Args:
            seed: item i draws from a generator of its own, seeded seed + i or by its own of these.
            overlap_frames: how much of the last window the next one hears; None: the model's.
            prompt: `[B or 1, K, T0]` tokens to continue.
            open_end: the prompt was itself generated. The delayed codebooks of its last `max_delay`
                frames were then drawn when there was nothing after it to hear; they are drawn
                again, so that continuing gives what generating at once would have given. Other
                prompts are kept whole, as upstream does.
            room: for more than these directions need, so that others may be said later.
        Raises:
            Refused: settings out of range, or a prompt that does not fit the model.
        """
        config = engine.config
        checks.check_composes(config)
        self._engine, self._config, self._seed = engine, config, seed
        self._items = checks.checked_batch(len(direction.positive))
        self._overlap = checks.checked_overlap(overlap_frames, config)
        self._prompt = (
            None if prompt is None else checks.checked_prompt(prompt, config, self._items)
        )
        self._redrawn = config.max_delay if open_end else 0
        self._noise: Noise | None = None
        self._marks: deque[tuple[int, NoiseMark | None]] = deque(maxlen=LAG_STEPS + 2)
        self._window: Window | None = None
        self._count: int | None = None
        self._next_frame = 0
        for one in (direction, *(change for _, change in schedule)):
            one.check(config)
        self._begun, self._turned = direction, Turn(direction)
        self._rows: Rows
        self._room = room or Room.for_all([direction, *(change for _, change in schedule)])
        rows_of(config, direction, schedule, self._room)
        self._to_come: list[tuple[int, Direction]] = []
        self._followed: list[tuple[int, Direction]] = []
        for frame, change in schedule:
            self._announce(frame, change)

    @classmethod
    def resumed(cls, engine: Engine, state: State) -> Composition:
        """One that goes on where another stood; `rest` gives what is left.

        Any number may go on from one state.

        What the window heard so far is read again, as it was heard then. On an engine whose results
        do not depend on how many steps are read at once that is quick; on others it takes as long
        as drawing the window did.
        """
        composition = cls(
            engine,
            state.begun,
            seed=state.seed,
            overlap_frames=state.overlap_frames,
            schedule=state.schedule,
            room=state.room,
        )
        composition._count = state.count
        window = composition._window = Window(state.bounds, engine.config, state.steps)
        composition._next_frame = window.bounds.frame_after(
            max(window.arrived, window.bounds.known + 1)
        )
        if state.noise is not None:
            composition._noise = composition._new_noise(state.noise.seed, state.noise)
        return composition

    def state(self) -> State:
        """Where it stands now: all that `frames` has yielded is behind it.

        Good between two of its yields.

        Raises Refused before the first.
        """
        if self._window is None:
            raise Refused(
                "the composition",
                got="one that has not begun",
                expected="one under way",
                remedy="take its first frame before its state",
            )
        window = self._window
        noise = dict(self._marks).get(window.arrived)
        return State(
            self._seed,
            self._overlap,
            self._count,
            self._begun,
            self.schedule,
            window.bounds,
            window.steps_so_far,
            noise,
            self._room,
        )

    @property
    def schedule(self) -> Schedule:
        """Everything that was said after the beginning."""
        return tuple(self._followed + self._to_come)

    @property
    def next_frame(self) -> int:
        """The first that has not been begun: what is said now holds from there on, or later."""
        return self._next_frame

    def steer(self, direction: Direction, *, instead: bool = False) -> int:
        """From the frame that is returned on the music follows `direction`: the next one that has
        not been begun or, where another text or melody is told to a model that reads it before its
        first step, the first of the next window.

        A blend waits for the end of the one under way and, where the window has no rows for it, for
        the next window. What was said to hold from then on or later comes after it or, with
        `instead`, not at all.

        Raises Refused for settings out of range, another number of items, or more branches than it
        began with: those would have no past.
        """
        frame = max(self._next_frame, self._read_from(direction))
        if direction.blend_frames:
            frame = max(frame, self._blends_from())
        self._announce(frame, direction, instead)
        return frame

    def redraw(self, sampling: Sampling) -> int:
        """From the frame that is returned on, the next one that has not been begun, tokens are
        drawn so, whatever is followed then and later.

        Raises Refused for settings out of range, and for guidance without rows for it.
        """
        frame = self._next_frame
        drawn = replace(self._turned.now, sampling=sampling, blend_frames=0)
        drawn.check(self._config)
        self._check_has_rows(frame, drawn)
        to_come = [(at, replace(one, sampling=sampling)) for at, one in self._to_come]
        is_said = any(at <= frame for at, _ in to_come)
        self._to_come = to_come if is_said else [(frame, drawn), *to_come]
        return frame

    def end_at(self, frame: int) -> None:
        """There will be `frame` frames in all, as if that had been known from the beginning.

        Raises Refused for a frame that has been begun, and for one behind the end.
        """
        checks.check_end(frame, self._next_frame, self._count)
        self._count = frame
        if self._window is not None and frame < self._window.bounds.end:
            self._window.shorten(frame - self._window.bounds.first_frame)

    def _blends_from(self) -> int:
        if self._window is None:
            return 0
        return self._turned.whole_from if self._rows.can_blend else self._window.bounds.end

    def _read_from(self, direction: Direction) -> int:
        """The frame from which a model that has read its conditioning already can follow this one,
        or one that was said before it; 0 if it can at once.
        """
        if self._config.cross_attention or self._window is None:
            return 0
        end = self._window.bounds.end
        waiting = [frame for frame, _ in self._to_come if frame == end]
        return max([0, *waiting] if direction.says_the_same_as(self._turned.now) else [end])

    def _announce(self, frame: int, direction: Direction, instead: bool = False) -> None:
        direction.check(self._config)
        self._check_has_rows(frame, direction)
        kept = [change for change in self._to_come if not instead or change[0] < frame]
        to_come = sorted([*kept, (frame, direction)], key=lambda change: change[0])
        check_blends(self._begun, (*self._followed, *to_come))
        self._to_come = to_come

    def _has_ended(self, frame: int) -> bool:
        """Whether guidance has, for all that is followed from this frame on."""
        followed = (self._turned.now, *(direction for _, direction in self._to_come))
        return guidance_has_ended(followed, frame / self._config.frame_rate)

    def _check_has_rows(self, frame: int, direction: Direction) -> None:
        self._room.check_holds(direction)
        if self._has_ended(max(0, self._next_frame - 1)):
            direction.check_unguided(frame / self._config.frame_rate)

    def frames(self, count: int | None) -> Generator[Tensor, None, None]:
        """Yields `[B, K, t]` int64 CPU tokens, in order: `count` frames in all, the prompt's first,
        or without end.

        Every step yields, also those that finish no frame (t = 0), so that the consumer can stop it
        at each; on a shared engine also where it was asked for, so that others may ask as well. On
        a GPU frames come `readback.LAG_STEPS` steps late, lest the GPU wait for the CPU; so many
        more yields then end each window. Raises Refused at once if the prompt is not shorter than
        `count`.
        """
        checks.check_longer(count, self._prompt)
        if self._window is not None:
            raise RuntimeError("this composition has begun: resume its state, and play the rest")
        self._count = count
        return self._from_the_beginning()

    def rest(self) -> Generator[Tensor, None, None]:
        """What is left of a composition that was resumed, as `frames` would have yielded it."""
        if self._window is None:
            raise RuntimeError("this composition has not begun: play its frames")
        return self._windows(self._window)

    def _from_the_beginning(self) -> Generator[Tensor, None, None]:
        done = self._prompt
        if done is None:
            done = torch.empty(self._items, self._config.num_codebooks, 0, dtype=torch.int64)
        position = done.shape[2]
        redrawn = min(self._redrawn, position)
        context = done if position < self._config.first_frames else done[:, :, -self._overlap :]
        window = self._window = self._next_window(context, redrawn, position)
        self._next_frame = position
        if position > redrawn:
            yield done[:, :, : position - redrawn]
        yield from self._windows(window)

    def _windows(self, window: Window) -> Generator[Tensor, None, None]:
        while True:
            self._window = window
            yield from self._played(window)
            position = self._left_at(window)
            if self._count is not None and position >= self._count:
                return
            window = self._after(window, position)

    def _left_at(self, window: Window) -> int:
        """The first frame that a window, which was played, has not begun."""
        return window.bounds.frame_after(window.arrived)

    def _after(self, window: Window, position: int) -> Window:
        """The window that goes on from frame `position` of another one, at its end or before."""
        bounds, delay = window.bounds, self._config.max_delay
        frames = window.frames()[:, :, : position - bounds.first_frame]
        least = min(self._overlap, round(HEARD_S * self._config.frame_rate))
        heard = least if self._is_news_at(position) else self._overlap
        unfinished = min(delay, frames.shape[2] - bounds.settled) if position < bounds.end else 0
        return self._next_window(frames[:, :, -heard:], unfinished, position)

    def _is_news_at(self, frame: int) -> bool:
        """Whether other texts take over there at once, for a model that can be told them then."""
        said = [direction for at, direction in self._to_come if at <= frame]
        can_be = self._config.cross_attention and bool(said)
        return can_be and said[-1].is_news_after(self._turned.now)

    def _next_window(self, context: Tensor, redrawn: int, position: int) -> Window:
        """The window whose first new frame is `position`, and `context` `[B, K, T0]` before it."""
        length, known = self._config.window_length(context.shape[2], position), context.shape[2]
        if self._count is not None:
            length = min(length, known + self._count - position)
        return Window(Bounds(context, redrawn, length, position - known), self._config)

    def _played(self, window: Window) -> Iterator[Tensor]:
        """Yields, step by step, `[B, K, 1 or 0]`: the frames that the prompt does not settle, nor
        earlier steps did.
        """
        bounds, device, given = window.bounds, self._engine.device, window.arrived
        known, nothing = bounds.known, bounds.prompt[:, :, :0]
        steps, sums = window.steps, torch.zeros(window.steps.shape[:2])  # see `Engine.draw`
        if device.type == "cuda":
            # what comes from the GPU then needs no waiting
            steps, sums = steps.pin_memory(), sums.pin_memory()
            window.steps = steps
        on_device = steps.to(device)
        self._mark(given)
        self._follow_anew(bounds.position, bounds.end)
        begin_s = bounds.first_frame / self._config.frame_rate
        voices = Voices(self._engine, self._heard, len(steps) - 1, begin_s)
        # the prompt is read as it was begun; what is said later never holds for what is past
        self._next_frame = max(self._next_frame, bounds.position + 1)
        try:
            for _ in voices.begin():
                yield nothing
            for piece in on_device[:known].split(READ_STEPS) if known else ():
                voices.read(piece)
                yield nothing
            for _ in self._read_again(voices, on_device[: given + 1], window):
                yield nothing
            yield from self._new_frames(voices, on_device, (steps, sums), window)
        finally:
            voices.leave()

    def _new_frames(
        self, voices: Voices, on_device: Tensor, places: tuple[Tensor, Tensor], window: Window
    ) -> Iterator[Tensor]:
        """Draws the steps behind those that are there, into `places`."""
        given, sums, nothing = window.arrived, places[1], window.bounds.prompt[:, :, :0]
        drawn = self._drawn(voices, on_device[given : given + 1], given + 1, window)
        read = sums.numpy()  # the same memory: a look at it takes a tenth of a tensor's
        for arrived in bring_back(drawn, places, given + 1, lag_on(on_device.device)):
            if arrived is None:
                yield nothing
                continue
            if arrived > given and not math.isfinite(sum(read[arrived].tolist())):
                where = f"step {window.bounds.first_frame + arrived}"
                raise checks.no_numbers(where, sums[arrived], self._engine.precision)
            window.arrived = max(arrived, given)
            whole = window.whole_at(arrived)
            new = arrived > given and whole >= window.bounds.settled
            yield window.frame(whole) if new else nothing

    def _read_again(self, voices: Voices, steps: Tensor, window: Window) -> Iterator[None]:
        """Reads the steps that an earlier session drew, each as it was heard then; the last is left
        for the next draw.
        """
        unread = []
        for step in range(window.bounds.known + 1, len(steps)):
            self._follow_at(step, window)
            if not voices.hears(self._heard):
                yield from self._read_pieces(voices, unread)
                unread = []
            voices.listen(self._heard)
            unread.append(steps[step - 1])
        yield from self._read_pieces(voices, unread)

    def _read_pieces(self, voices: Voices, unread: Sequence[Tensor]) -> Iterator[None]:
        at_once = READ_STEPS if unread and self._engine.reads_exactly else 1
        for begin in range(0, len(unread), at_once):
            voices.read(torch.stack(tuple(unread[begin : begin + at_once])))
            yield

    def _drawn(
        self, voices: Voices, unread: Tensor, first: int, window: Window
    ) -> Iterator[tuple[Tensor, Tensor] | None]:
        """Yields `[B, K]` for each step from `first` on, behind the one `[1, B, K]` that is unread:
        the window's, drawn anew where it has them to be drawn. Up to its end, or to where another
        window is to begin. In company None before each, when it was asked for.

        And `[B]`, which are numbers if all that was drawn from were numbers.

        All on the device, which is asked for nothing: its work is queued, and nobody waits for it.
        A step draws its first codebook's frame step − 1; what is said while it is drawn holds from
        the next frame on.
        """
        bounds, steps = None, window.steps
        for step in range(first, len(steps)):
            if window.bounds is not bounds:  # at first, and when it was told to end sooner
                bounds, device, new = window.bounds, unread.device, window.to_draw
                all_new, new = new.all(dim=1).tolist(), new.to(device).unbind()
                steps = window.steps.to(device).unbind()
            if step == len(steps) or self._is_news_at(window.bounds.frame_after(step) - 1):
                return
            self._follow_at(step, window)
            voices.listen(self._heard)
            answer = voices.ask(unread)
            if voices.in_company:
                yield None
            logits = answer()
            self._heed(step, logits, voices)
            drawn, sums = voices.draw(logits, self._next_noise(self._sampling), self._sampling)
            del logits, answer  # their memory is everybody's
            tokens = drawn if all_new[step] else torch.where(new[step], drawn, steps[step])
            unread = tokens.unsqueeze(0)
            self._mark(step)
            yield tokens, sums

    def _heed(self, step: int, logits: Tensor, voices: Voices) -> None:
        """What a step is drawn from, `[R, K, V]`: for those who ask more of it than a draw."""

    def _follow_at(self, step: int, window: Window) -> None:
        """Takes up what was announced for what a step draws; steps behind the last frame finish
        frames.
        """
        following = window.bounds.frame_after(step)
        turned = self._turn(following - 1)
        self._next_frame = max(self._next_frame, following)
        ends = (following - 1) / self._config.frame_rate >= self._guided_until_s
        if turned or ends or self._moves:
            self._follow(following - 1)

    def _mark(self, step: int) -> None:
        self._marks.append((step, self._noise.mark() if self._noise else None))

    def _turn(self, frame: int) -> bool:
        """Takes up what was announced for this frame or earlier; says whether there was any."""
        turned = False
        while self._to_come and self._to_come[0][0] <= frame:
            at, direction = self._to_come.pop(0)
            self._followed.append((at, direction))
            self._turned, turned = self._turned.followed_by(direction, at), True
        return turned

    def _follow_anew(self, begin: int, end: int) -> None:
        """At the beginning of a window, whose rows are made for what is said within it."""
        self._turn(begin)
        coming = [direction for frame, direction in self._to_come if frame < end]
        self._rows = rows_for(self._config, self._room, self._turned, coming, begin)
        self._follow(begin)

    def _follow(self, frame: int) -> None:
        """What is heard and drawn from at this frame."""
        now = self._turned.now
        self._sampling = now.automation.at(now.sampling, frame / self._config.frame_rate)
        has_ended = self._has_ended(frame)
        self._heard = self._rows.at(self._turned, frame, self._sampling.cfg, has_ended)
        self._guided_until_s = math.inf if has_ended else now.sampling.guidance_until_s
        self._moves = bool(now.automation) or self._turned.share_at(frame) < 1

    def _next_noise(self, sampling: Sampling) -> Tensor | None:
        if sampling.temperature == 0:
            return None
        seed = self._seed if sampling.seed is None else sampling.seed
        if self._noise is None or self._noise.seed != seed:
            self._noise = self._new_noise(seed)
        return self._noise.draw()

    def _new_noise(self, seed: Seeds, mark: NoiseMark | None = None) -> Noise:
        shape = self._items, self._config.num_codebooks, self._config.codebook_size
        engine, at_once = self._engine, max(1, lag_on(self._engine.device))
        return Noise(seed, *shape, engine.device, at_once, mark, engine.noise)
