"""A training from folder to adapter: read, say what it needs, encode once, learn, look, keep.

Each step draws with a generator of its own (`pieces.step_generator`), and what was learnt is saved
whole every minute; so a training that was killed goes on to the same adapter.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ...models import dsp
from ...models.compose.composition import stream
from ...models.config import Generation, Sampling
from ...models.disk.file_lock import locked
from ...models.disk.files import check_folder_writable
from ...models.engines import choose
from ...models.refused import Refused
from ...models.weights import checkpoint, places
from ...models.weights.adapted import adapted
from ...models.weights.contract import Weights, state_of
from ...models.weights.hugging_face import HuggingFaceWeights
from ...models.weights.peft_adapter import open_peft
from ...nodes import host, resident_engine
from ...workflows.media.audio import read_audio, write_audio
from .needs import adapter_size, memory_bytes, minutes
from .pieces import MAX_HELD_PIECES, Piece, divided, drawn, gathered, step_generator, swapped
from .settings import TuneSettings
from .sounds import CaptionedSound, read_folder
from .state import ANOTHER, Look, RunFolder, TrainingState

WARM_UP = 20
"""steps to the highest learning rate"""
LAST_RATE = 0.1
"""of the highest, at the end of a cosine"""
MAX_NORM = 1.0
"""of a step's gradient"""
BETAS, DECAY = (0.9, 0.99), 0.01
MIN_S = 1.0
"""of a sound"""
SAMPLES = {"sample.wav": Sampling().cfg, "sample-cfg-1.wav": 1.0}
"""files of a look, and the guidance of each"""


class Listener(Protocol):
    def say(self, text: str) -> None: ...

    def progress(self, what: str, done: int, total: int, note: str = "") -> None: ...


@dataclass(frozen=True)
class Tuned:
    """What came of it."""

    output: Path
    steps: int
    before: float
    """the held-out loss of the base"""
    after: float
    """and of the adapter that was kept"""
    best_step: int


def train(settings: TuneSettings, listener: Listener) -> Tuned:
    """Trains, or goes on where it was. Nothing is written before all input is known to be good.

    Raises Refused: settings, sounds or captions that do not fit, a model that is not here or cannot
    be trained, an output folder that is another's.
    """
    settings.check()
    sounds = read_folder(settings.folder)
    weights = _trainable(settings, listener)
    device = _device(settings.device)
    known = [[one.path.name, one.caption, *state_of(one.path)[:2]] for one in sounds]
    facts = {"settings": settings.told(), "model": weights.fingerprint, "sounds": known}
    run = RunFolder(settings.output, facts)
    check_folder_writable(settings.output)
    memory = memory_bytes(settings, weights.config, is_half=device.type == "cuda") / 1e9
    size = adapter_size(settings.rank, weights.config) / 1e6
    listener.say(
        f"{len(sounds)} sounds with captions; {settings.model} with a LoRA of {size:.2f} million "
        f"numbers; about {memory:.1f} GB of memory on {device.type}"
    )
    return _Training(settings, listener, weights, sounds, run, device).run()


def _trainable(settings: TuneSettings, listener: Listener) -> Weights:
    """Downloaded if need be: the model was named by a person."""

    def on_progress(done: int, total: int) -> None:
        listener.progress("downloading", done, total)

    weights = checkpoint.open_checkpoint(
        places.fetch(settings.model, host.model_folders(), on_progress)
    )
    if not isinstance(weights, HuggingFaceWeights) or not weights.config.lm.cross_attention:
        raise Refused(
            f"{settings.model} cannot be trained",
            got="another layout or another kind of model",
            expected="a text model in Hugging Face's layout, which transformers can read",
            remedy="take pocket, facebook/musicgen-small, or another such model",
        )
    return weights


def _device(name: str) -> torch.device:
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next((one for one, yes in there.items() if yes), "cpu"))
    if not there.get(name, name == "cpu"):
        remedy = "leave --device out"
        raise Refused("--device", got=f"{name}, which is not here", remedy=remedy)
    return torch.device(name)


class _Training:
    def __init__(
        self,
        settings: TuneSettings,
        listener: Listener,
        weights: Weights,
        sounds: Sequence[CaptionedSound],
        run: RunFolder,
        device: torch.device,
    ):
        from .lora_model import LoraModel

        self.settings, self.listener, self.weights, self.run_folder = (
            settings, listener, weights, run,
        )  # fmt: skip
        self.sounds, self.device, self.config = sounds, device, weights.config.lm
        self.frames = self.config.frames(settings.seconds)
        self.text = checkpoint.load_text_encoder(weights)
        heard = [self.text.encode([one.caption]) for one in sounds]
        self.states = [one.states[0] for one in heard]  # each [L, text_size]
        self.codec = checkpoint.load_codec(weights)
        if device.type == "cuda":
            self.codec.to(device)
        rank, seed = settings.rank, settings.seed
        self.model = LoraModel(weights.folder, self.config, rank, device, seed)
        self.parameters = self.model.parameters
        self.optimiser = torch.optim.AdamW(
            list(self.parameters.values()), lr=settings.rate, betas=BETAS, weight_decay=DECAY
        )
        self.step, self.looks, self.losses = 0, [], []

    def run(self) -> Tuned:
        if not self.run_folder.is_begun:
            self._say_time(self.settings.steps)
            self.run_folder.begin(self._encoded())
        with locked(self.run_folder.room / "lock", self._refuse_second):
            self.tokens = self.run_folder.tokens()
            lengths = [one.shape[1] for one in self.tokens]
            self.division = divided(lengths, self.frames, self.settings.seed)
            self._go_on()
            self._learn()
        later = [look for look in self.looks if look[0]]
        best = min(later, key=lambda look: look[2])
        before, steps = self.looks[0][2], self.settings.steps
        return Tuned(self.settings.output, steps, before, best[2], best[0])

    def _refuse_second(self) -> None:
        got = "a folder in which another process is training"
        raise Refused(str(self.settings.output), got=got, remedy=f"wait for it, or {ANOTHER}")

    # ------------------------------------------------------------ before

    def _say_time(self, steps: int) -> None:
        """By a step that is timed, and from which nothing is learnt."""
        settings, config = self.settings, self.config
        shape = (settings.batch, config.num_codebooks, self.frames)
        tokens = torch.zeros(shape, dtype=torch.int64)
        pieces = [Piece(0, 0, self.frames)] * settings.batch

        def trial() -> None:
            mask, guidance = torch.ones(shape[0], self.frames).bool(), torch.ones(shape[0])
            self._loss(tokens, mask, pieces, tokens, guidance).backward()
            self.optimiser.zero_grad()

        trial()  # warms up
        step_s = _timed(trial)
        look_s = step_s * MAX_HELD_PIECES / settings.batch / 4  # no gradient, one branch
        left = steps * step_s + steps / settings.every * look_s
        self.listener.say(
            f"{steps} steps of {step_s:.2f} s: about {minutes(left)} in all, and some seconds for "
            "each minute of sound and for each sample"
        )

    def _encoded(self) -> list[Tensor]:
        """Each sound's tokens `[K, T]`."""
        found = []
        for done, sound in enumerate(self.sounds):
            self.listener.progress("encoding", done, len(self.sounds), sound.path.name)
            waveform, rate = read_audio(sound.path)
            length = waveform.shape[1] / rate
            if length < MIN_S:
                expected = f"at least {MIN_S:g} s"
                raise Refused(str(sound.path), got=f"{length:.2f} s of sound", expected=expected)
            waveform = dsp.with_channels(waveform.unsqueeze(0), self.config.channels)
            waveform = dsp.resample(waveform, rate, self.config.sample_rate)
            found.append(self.codec.encode(waveform, self.config.num_codebooks)[0])
        self.listener.progress("encoding", len(self.sounds), len(self.sounds))
        return found

    # ------------------------------------------------------------ learning

    def _learn(self) -> None:
        settings, saved = self.settings, time.monotonic()
        if not self.looks:
            self._look()
        while self.step < settings.steps:
            self.losses.append(self._learn_once())
            self.step += 1
            note = f"loss {sum(self.losses) / len(self.losses):.3f}"
            self.listener.progress("training", self.step, settings.steps, note)
            if self.step % settings.every == 0 or self.step == settings.steps:
                self._look()
            elif time.monotonic() - saved >= settings.save_s:
                self._save()
            else:
                continue
            saved = time.monotonic()

    def _learn_once(self) -> float:
        settings = self.settings
        draw = step_generator(settings.seed, self.step)
        pieces = drawn(self.division.trained, self.frames, settings.batch, draw)
        guidance = 1 + (settings.guidance - 1) * torch.rand(settings.batch, generator=draw)
        for group in self.optimiser.param_groups:
            group["lr"] = settings.rate * rate_share(self.step, settings.steps)
        tokens, mask = gathered(self.tokens, pieces)
        read = swapped(tokens, mask, settings.noise, draw)
        loss = self._loss(tokens, mask, pieces, read, guidance)
        self.optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(list(self.parameters.values()), MAX_NORM)
        self._check_is_number(float(loss.detach() * norm))
        self.optimiser.step()
        return loss.item()

    def _check_is_number(self, value: float) -> None:
        """Of a step, before anything is learnt from it or kept.

        Raises Refused; what was kept before stays as it was.
        """
        if math.isfinite(value):
            return
        settings = self.settings
        raise Refused(
            f"training, after step {self.step}",
            got="a loss that is no number",
            expected="one that falls",
            remedy=f"learn more slowly (--rate {settings.rate / 3:.1g}), into another --output",
        )

    def _loss(
        self,
        tokens: Tensor,
        mask: Tensor,
        pieces: Sequence[Piece],
        read: Tensor,
        guidance: Tensor | None = None,
    ) -> Tensor:
        """Of pieces with their captions; see `LoraModel.loss`."""
        states = [self.states[piece.sound] for piece in pieces]
        heard = torch.nn.utils.rnn.pad_sequence(
            [torch.ones(len(one), dtype=torch.bool) for one in states], batch_first=True
        )
        padded = torch.nn.utils.rnn.pad_sequence(states, batch_first=True)
        return self.model.loss(tokens, mask, padded, heard, read, guidance)

    # ------------------------------------------------------------ looking and keeping

    def _look(self) -> None:
        """The held-out loss; after the first step also the adapter and how it sounds."""
        loss = sum(self.losses) / len(self.losses) if self.losses else None
        held = self._held_out()
        self._check_is_number(held)
        best = min((look[2] for look in self.looks if look[0]), default=float("inf"))
        if self.step:
            name = Path(self.settings.model).name if _is_folder(self.settings) else None
            name = name or self.settings.model
            self.model.save(self.run_folder.at(self.step), name)
            if held < best:
                self.model.save(self.settings.output, name)
        look: Look = (self.step, loss, held)
        self.looks.append(look)
        self.losses = []
        self._sample()
        self._save()
        trained = "" if loss is None else f"loss {loss:.3f}, "
        self.listener.say(f"step {self.step}: {trained}held-out loss {held:.3f}")

    @torch.no_grad()
    def _held_out(self) -> float:
        """Of all held-out pieces, each frame counting alike."""
        held, total, frames = self.division.held, 0.0, 0
        for begin in range(0, len(held), self.settings.batch):
            pieces = held[begin : begin + self.settings.batch]
            count = sum(piece.stop - piece.start for piece in pieces)
            tokens, mask = gathered(self.tokens, pieces)
            total += count * float(self._loss(tokens, mask, pieces, tokens))
            frames += count
        return total / frames

    def _sample(self) -> None:
        """The first held-out caption, played by our own engine, always from the same seed, at each
        guidance of `SAMPLES`.
        """
        weights, folder = self.weights, self.run_folder.at(self.step)
        if self.step:
            weights = adapted(weights, open_peft(folder, weights.config), 1.0)
        precision = "bf16" if self.device.type == "cuda" else "fp32"
        choice = choose.choose(precision, self.device.type, self.config, supports_fp16=False)
        engine = resident_engine.load(weights, choice, self.device).ready(0)
        sound = self.sounds[self.division.held[0].sound]
        for name, cfg in SAMPLES.items():
            top_k = min(Sampling().top_k, self.config.codebook_size)
            sampling = Sampling(cfg=cfg, top_k=top_k)
            generation = Generation(self.frames, self.settings.seed, sampling)
            with torch.inference_mode():
                heard = self.text.encode([sound.caption])
                tokens = torch.cat(list(stream(engine, generation, heard)), dim=2)
                waveform = self.codec.decode(tokens, self.config.channels)
            write_audio(folder / name, waveform[0], self.config.sample_rate)

    def _save(self) -> None:
        moments = self.optimiser.state
        known = {name: moments[one] for name, one in self.parameters.items() if one in moments}
        self.run_folder.save(
            TrainingState(
                self.step,
                self.parameters,
                {name: one["exp_avg"] for name, one in known.items()},
                {name: one["exp_avg_sq"] for name, one in known.items()},
                tuple(self.looks),
                tuple(self.losses),
            )
        )

    def _go_on(self) -> None:
        """From the state that was saved, if there is one."""
        state = self.run_folder.state()
        if state is None:
            return
        for name, parameter in self.parameters.items():
            parameter.data.copy_(state.parameters[name])
            if name in state.first:
                self.optimiser.state[parameter] = {
                    "step": torch.tensor(float(state.step)),
                    "exp_avg": state.first[name].to(parameter),
                    "exp_avg_sq": state.second[name].to(parameter),
                }
        self.step, self.looks, self.losses = state.step, [*state.looks], [*state.losses]
        self.listener.say(f"going on after step {state.step}")
        if state.step < self.settings.steps:
            self._say_time(self.settings.steps - state.step)


def rate_share(step: int, steps: int) -> float:
    """Of the highest learning rate: a straight way up, then half a cosine down to `LAST_RATE`."""
    up = min(1.0, (step + 1) / min(WARM_UP, steps))
    down = 0.5 + 0.5 * math.cos(math.pi * step / steps)
    return up * (LAST_RATE + (1 - LAST_RATE) * down)


def _is_folder(settings: TuneSettings) -> bool:
    return Path(settings.model).expanduser().is_dir()


def _timed(work: Callable[[], None]) -> float:
    """Seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
