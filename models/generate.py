"""The generator that everything else consumes: it yields frames as soon as they are whole.

Knows no text and no sound: conditioning comes in, tokens go out. Closing the generator stops the work within one step;
a GPU still finishes those that are queued (`readback.LAG_STEPS` at most).
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator

import torch
from torch import Tensor

from .conditioning import Conditioning, Memory, memory_for
from .config import MAX_BATCH, OVERLAP_SHARE, Generation, LMConfig, Sampling
from .delay import defined_at, delayed
from .engine import Engine, Session
from .readback import bring_back, lag_on
from .refused import Refused
from .sampling import Noise, draw, guide, logit_sums

OWN_CODEC = "encode the audio with this model's own codec"
READ_STEPS = 50  # of a prompt at a time, so that a stop is heard while a long one is read


def stream(
    engine: Engine,
    generation: Generation,
    positive: Conditioning,
    negative: Conditioning | None = None,
    prompt: Tensor | None = None,
    open_end: bool = False,
) -> Generator[Tensor, None, None]:
    """Yields `[B, K, t]` int64 CPU tokens, in order, `generation.frames` in all; the prompt's frames come first.

    Every step yields, also those that finish no frame (t = 0), so that the consumer can stop it at each. On a GPU frames
    come `readback.LAG_STEPS` steps late, lest the GPU wait for the CPU; so many more yields then end each window.

    Beyond one window the music is made in windows that overlap: each hears the end of the last one as its prompt, with
    positions that start anew, so memory does not grow with length. Source: audiocraft's extended generation.

    Args:
        prompt: `[B or 1, K, T0]` tokens to continue, T0 < frames.
        open_end: the prompt was itself generated. The delayed codebooks of its last `max_delay` frames were then drawn
            when there was nothing after it to hear; they are drawn again, so that continuing gives what generating at
            once would have given. Other prompts are kept whole, as upstream does.
    Raises:
        Refused: settings out of range, or a prompt that does not fit the model or the length. At once, not at the
            first frame.
    """
    config = engine.config
    generation.sampling.check(config.codebook_size)
    if not 1 <= len(positive) <= MAX_BATCH:
        raise Refused(
            "batch",
            got=f"{len(positive)} items",
            expected=f"1 to {MAX_BATCH}",
            remedy="split it into several runs",
        )
    if prompt is not None:
        prompt = _checked_prompt(prompt, engine, generation.frames, len(positive))
    overlap = _checked_overlap(generation, config)
    memory = memory_for(positive, negative, generation.sampling.cfg)
    return _windows(
        engine, generation, memory, prompt, config.max_delay if open_end else 0, overlap
    )


def _checked_prompt(prompt: Tensor, engine: Engine, frames: int, batch: int) -> Tensor:
    config = engine.config
    if (
        prompt.dim() != 3
        or prompt.shape[0] not in (1, batch)
        or prompt.shape[1] != config.num_codebooks
    ):
        raise Refused(
            "audio prompt",
            got=f"tokens of shape {list(prompt.shape)}",
            expected=f"[1 or {batch}, {config.num_codebooks}, frames]",
            remedy=OWN_CODEC,
        )
    if prompt.shape[2] >= frames:
        raise Refused(
            "audio prompt",
            got=f"{prompt.shape[2]} frames for a result of {frames}, which includes the prompt",
            expected="fewer",
            remedy="ask for a longer duration or crop the prompt",
        )
    if prompt.numel() and not 0 <= int(prompt.min()) <= int(prompt.max()) < config.codebook_size:
        raise Refused(
            "audio prompt",
            got=f"tokens {int(prompt.min())} to {int(prompt.max())}",
            expected=f"0 to {config.codebook_size - 1}",
            remedy=OWN_CODEC,
        )
    return prompt.to("cpu", torch.int64).expand(batch, -1, -1)


def _checked_overlap(generation: Generation, config: LMConfig) -> int:
    overlap, least, most = generation.overlap_frames, config.max_delay + 1, config.window_frames - 1
    if overlap is None:
        return max(least, round(OVERLAP_SHARE * config.window_frames))
    if not least <= overlap <= most:
        raise Refused(
            "overlap",
            got=f"{overlap} frames",
            expected=f"{least} to {most}",
            remedy="choose a value in that range",
        )
    return overlap


def _windows(
    engine: Engine,
    generation: Generation,
    memory: Memory,
    prompt: Tensor | None,
    redrawn: int,
    overlap: int,
) -> Generator[Tensor, None, None]:
    """`redrawn`: how many of the prompt's last frames are not final yet."""
    config, window, frames = engine.config, engine.config.window_frames, generation.frames
    noise = None
    if generation.sampling.temperature > 0:
        shape = (memory.items, config.num_codebooks, config.codebook_size)
        noise = Noise(
            generation.seed, *shape, engine.device, steps_at_once=max(1, lag_on(engine.device))
        )
    done = (
        prompt
        if prompt is not None
        else torch.empty(memory.items, config.num_codebooks, 0, dtype=torch.int64)
    )
    position = done.shape[2]
    redrawn = min(redrawn, position)
    if position > redrawn:
        yield done[:, :, : position - redrawn]
    context = done if position < window else done[:, :, -overlap:]
    while position < frames:
        known = context.shape[2]
        length = min(window, known + frames - position)
        heard = [context[:, :, : known - redrawn]]
        window_of = _window(
            engine, generation, memory, context, redrawn, length, noise, position - known
        )
        for piece in window_of:
            yield piece
            heard.append(piece)
        position += length - known
        context = torch.cat(heard, dim=2)[:, :, -overlap:]
        redrawn = 0


def _window(
    engine: Engine,
    generation: Generation,
    memory: Memory,
    prompt: Tensor,
    redrawn: int,
    frames: int,
    noise: Noise | None,
    origin: int,
) -> Iterator[Tensor]:
    """Yields, step by step, `[B, K, 1 or 0]`: the frames that the prompt `[B, K, T0]` does not settle, up to `frames`.

    `origin`: the window's first frame, counted in the whole music.
    """
    config, delays = engine.config, engine.config.delays
    known = prompt.shape[2]
    settled = known - redrawn
    steps = delayed(
        torch.nn.functional.pad(prompt, (0, frames - known)), delays, config.special_token
    )
    steps = steps.permute(2, 0, 1).contiguous()  # [S, B, K]: a step is one piece of memory
    sums = torch.zeros(steps.shape[:2])  # of each item's logits; see `logit_sums`
    if engine.device.type == "cuda":
        # what comes from the GPU then needs no waiting
        steps, sums = steps.pin_memory(), sums.pin_memory()
    new = torch.tensor(
        [_unsettled_at(step, settled, frames, delays) for step in range(len(steps))]
    )  # [S, K]
    session = engine.prepare(memory, max_steps=len(steps) - 1)
    on_device, halves = steps.to(engine.device), memory.rows // memory.items
    for piece in on_device[:known].split(READ_STEPS) if known else ():
        session.step(_for_all_rows(piece, halves))
        yield prompt[:, :, :0]
    drawn = _drawn(
        session, generation.sampling, memory, on_device, new.to(engine.device), known + 1, noise
    )
    read = sums.numpy()  # the same memory: a look at it takes a tenth of a tensor's
    for arrived in bring_back(drawn, (steps, sums), known + 1, lag_on(engine.device)):
        if arrived > known and not math.isfinite(sum(read[arrived].tolist())):
            raise _no_numbers(engine, origin + arrived, sums[arrived])
        whole = arrived - 1 - config.max_delay
        if whole < settled:
            yield prompt[:, :, :0]
        else:
            frame = [steps[whole + 1 + delay, :, k] for k, delay in enumerate(delays)]
            yield torch.stack(frame, dim=1).unsqueeze(-1)


def _drawn(
    session: Session,
    sampling: Sampling,
    memory: Memory,
    steps: Tensor,
    new: Tensor,
    first: int,
    noise: Noise | None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields `[B, K]` for each step from `first` on: `steps` `[S, B, K]`, drawn anew where `new` `[S, K]` says so.

    And `[B]`, which are numbers if all that was drawn from were numbers.

    All on the device, which is asked for nothing: its work is queued, and nobody waits for it.
    """
    unread = steps[first - 1 : first]
    for step in range(first, len(steps)):
        logits = session.step(_for_all_rows(unread, memory.rows // memory.items))
        if memory.guided:
            logits = guide(logits, sampling.cfg)
        drawn = draw(logits, noise.draw() if noise else None, sampling)
        unread = torch.where(new[step], drawn, steps[step]).unsqueeze(0)
        yield unread[0], logit_sums(logits)


def _no_numbers(engine: Engine, step: int, sums: Tensor) -> Refused:
    items = [str(item) for item, fine in enumerate(sums.isfinite().tolist(), 1) if not fine]
    wider = {
        "fp16": "choose precision bf16 or fp32, whose range is larger",
        "bf16": "choose precision fp32; if that fails too, download the checkpoint again",
    }
    damaged = "the weights are damaged: download the checkpoint again"
    return Refused(
        f"step {step} of item {', '.join(items)} (precision {engine.precision})",
        got="logits that are NaN or infinite",
        expected="numbers",
        remedy=wider.get(engine.precision, damaged),
    )


def _for_all_rows(steps: Tensor, halves: int) -> Tensor:
    """`[S, B, K]` → `[halves · B, K, S]`: both halves of guidance hear the same music."""
    return steps.permute(1, 2, 0).repeat(halves, 1, 1)


def _unsettled_at(step: int, settled: int, frames: int, delays: tuple[int, ...]) -> list[bool]:
    """Which codebooks of a step are to be drawn: those that hold a frame which the prompt does not settle."""
    return [
        defined and step - 1 - delay >= settled
        for defined, delay in zip(defined_at(step, frames, delays), delays, strict=True)
    ]


def in_blocks(frames: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """Regroups `[B, K, t]` pieces into blocks of exactly `size` frames; the last one may be shorter."""
    held: list[Tensor] = []
    count = 0
    for piece in frames:
        held.append(piece)
        count += piece.shape[2]
        if count >= size:
            joined = torch.cat(held, dim=2)
            whole = count - count % size
            yield from joined[:, :, :whole].split(size, dim=2)
            held, count = [joined[:, :, whole:]], count - whole
    if count:
        yield torch.cat(held, dim=2)
