"""Trains the codec for a time budget and leaves `codec.pt` in the work folder.

Run: `python training/train_codec.py --work-dir build/pocket --hours 1`. Stopped, it goes on where its last checkpoint was.

The order of things matters more than their size. The waveform error comes first: started on spectral losses, the decoder
stays in stationary noise. Then the quantiser joins with k-means codebooks, then log-mel losses blend in. At last encoder and
codebooks freeze, so that tokens can be computed while the decoder still improves: first as before, then with a discriminator that
listens, because spectral losses alone smooth the upper harmonics into noise.
"""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from codec import CodecSettings, TrainingCodec, checkpoint
from common import AudioPool, Budget, CsvLog, save_atomically
from discriminator import (
    Discriminator,
    DiscriminatorSettings,
    balanced_gradient,
    deceiving_loss,
    judging_loss,
)
from sound_world import SAMPLE_RATE
from torch import Tensor, nn

COLUMNS = (
    "step",
    "minutes",
    "lr",
    "wave",
    "mel",
    "commitment",
    "deceiving",
    "judging",
    "val_nmse",
    "val_mel",
    "used0",
    "used1",
    "used2",
    "used3",
)


@dataclass(frozen=True)
class Schedule:
    """Shares of the time budget."""

    quantise_at: float = 0.12
    mel_from: float = 0.15
    mel_full: float = 0.35
    cool_from: float = 0.41
    freeze_encoder_at: float = 0.5
    judge_from: float = 0.6


@dataclass(frozen=True)
class TrainSettings:
    batch: int = 10
    crop_s: float = 1.0
    lr: float = 1e-3
    lr_decoder: float = 6e-4
    lr_final: float = 5e-5
    lr_judge: float = 3e-4
    warmup_steps: int = 100
    mel_weight: float = 0.6
    commitment_weight: float = 0.1
    judged_batch: int = 6  # the discriminator triples the cost of a second of music
    judged_shares: tuple[float, float, float] = (0.5, 1.5, 1.5)  # of the gradient: waveform, mel, discriminator
    seed: int = 0


class MelLoss(nn.Module):
    """Mean absolute difference of log-mel spectra at several resolutions, on audio [B, 1, T]."""

    FLOOR = 2e-4  # -74 dB: what is quieter is not asked for

    def __init__(
        self, ffts: tuple[int, ...] = (256, 512, 1024, 2048), mels: tuple[int, ...] = (32, 48, 64, 96)
    ) -> None:
        super().__init__()
        self.ffts = ffts
        for fft, bands in zip(ffts, mels, strict=True):
            self.register_buffer(f"bank{fft}", _mel_bank(fft, bands))
            self.register_buffer(f"window{fft}", torch.hann_window(fft))

    def log_mel(self, audio: Tensor, fft: int) -> Tensor:
        window = getattr(self, f"window{fft}")
        spectrum = torch.stft(audio[:, 0], fft, fft // 4, window=window, return_complex=True)
        magnitude = torch.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-9) * (2 / window.sum())
        return torch.log(getattr(self, f"bank{fft}") @ magnitude + self.FLOOR)

    def forward(self, made: Tensor, wanted: Tensor) -> Tensor:
        return sum((self.log_mel(made, f) - self.log_mel(wanted, f)).abs().mean() for f in self.ffts) / len(self.ffts)


def _mel_bank(fft: int, bands: int) -> Tensor:
    """Triangular filters [bands, fft // 2 + 1] with unit peaks."""
    top = 2595 * math.log10(1 + SAMPLE_RATE / 2 / 700)
    edges_hz = 700 * (10 ** (torch.linspace(0, top, bands + 2) / 2595) - 1)
    bins_hz = torch.linspace(0, SAMPLE_RATE / 2, fft // 2 + 1)
    width_hz = SAMPLE_RATE / fft  # no filter narrower than one bin
    rise = (bins_hz - edges_hz[:-2, None]) / (edges_hz[1:-1] - edges_hz[:-2]).clamp(min=width_hz)[:, None]
    fall = (edges_hz[2:, None] - bins_hz) / (edges_hz[2:] - edges_hz[1:-1]).clamp(min=width_hz)[:, None]
    return torch.minimum(rise, fall).clamp(min=0)


def wave_error(made: Tensor, wanted: Tensor) -> Tensor:
    """Squared error over the clip's own power, so that quiet clips count as much as loud ones."""
    return ((made - wanted).pow(2).mean((1, 2)) / (wanted.pow(2).mean((1, 2)) + 1e-4)).mean()


def learning_rate(settings: TrainSettings, schedule: Schedule, step: int, share: float) -> float:
    """Flat, then a cosine down to the freeze; the decoder alone starts once more, lower, and cools to the end."""
    if share < schedule.freeze_encoder_at:
        highest, start, end = settings.lr, schedule.cool_from, schedule.freeze_encoder_at
    else:
        highest, start, end = settings.lr_decoder, schedule.freeze_encoder_at, 1.0
    cooled = min(1.0, max(0.0, (share - start) / (end - start)))
    falling = settings.lr_final + (highest - settings.lr_final) * (1 + math.cos(math.pi * cooled)) / 2
    return falling * min(1.0, (step + 1) / settings.warmup_steps)


class Trainer:
    def __init__(self, work_dir: Path, hours: float, device: str) -> None:
        self.settings, self.schedule, self.device = TrainSettings(), Schedule(), device
        self.path, self.work_dir = work_dir / "codec.pt", work_dir
        torch.manual_seed(self.settings.seed)
        self.codec = TrainingCodec(CodecSettings()).to(device)
        self.mel = MelLoss().to(device)
        self.optimizer = torch.optim.Adam(self.codec.parameters(), betas=(0.9, 0.99))
        self.judge = Discriminator(DiscriminatorSettings()).to(device)
        self.judge_optimizer = torch.optim.Adam(self.judge.parameters(), self.settings.lr_judge, betas=(0.5, 0.9))
        self.step, spent_s = self._resume()
        self.budget = Budget(hours, spent_s)
        self.pool, self.held_out = AudioPool(work_dir, False), AudioPool(work_dir, True)
        self.rng = np.random.default_rng((self.settings.seed, self.step))
        self.log = CsvLog(work_dir / "codec.csv", COLUMNS)

    def _resume(self) -> tuple[int, float]:
        if not self.path.exists():
            return 0, 0.0
        state = torch.load(self.path, map_location=self.device, weights_only=True)
        self.codec.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.judge.load_state_dict(state["judge"])
        self.judge_optimizer.load_state_dict(state["judge_optimizer"])
        return state["step"], state["spent_s"]

    def save(self) -> None:
        parts = {"optimizer": self.optimizer, "judge": self.judge, "judge_optimizer": self.judge_optimizer}
        state = {name: part.state_dict() for name, part in parts.items()}
        state |= {"step": self.step, "spent_s": self.budget.spent_s}
        save_atomically({**checkpoint(self.codec), **state}, self.path)

    def start_quantiser(self) -> None:
        self.codec.eval()
        with torch.no_grad():
            latents = [self.codec.encoder(self._batch(self.settings.batch)) for _ in range(60)]
        self.codec.quantizer.initialise(torch.cat([z.transpose(1, 2).reshape(-1, z.shape[1]) for z in latents]))
        self.codec.train()

    def _batch(self, rows: int) -> Tensor:
        return self.pool.crops(self.rng, rows, self.settings.crop_s).to(self.device)

    def train_step(self) -> dict[str, float]:
        share, schedule = self.budget.share, self.schedule
        if share >= schedule.quantise_at and not self.codec.quantizer.ready:
            self.start_quantiser()
        frozen = share >= schedule.freeze_encoder_at
        self.codec.encoder.requires_grad_(not frozen)
        judged = share >= schedule.judge_from
        audio = self._batch(self.settings.judged_batch if judged else self.settings.batch)
        made, _, commitment = self.codec(audio, learn=not frozen, half=True)
        lr = learning_rate(self.settings, schedule, self.step, share)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad(set_to_none=True)
        if judged:
            losses = self._judged_backward(audio, made)
        else:
            losses = self._backward(audio, made, share, commitment)
        nn.utils.clip_grad_norm_(self.codec.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        losses["commitment"] = commitment
        return {"lr": lr, **{name: float(v.detach()) for name, v in losses.items()}}

    def _backward(self, audio: Tensor, made: Tensor, share: float, commitment: Tensor) -> dict[str, Tensor]:
        """Waveform error, log-mel losses as they blend in, and what keeps the encoder near its codes while it learns."""
        schedule = self.schedule
        blend = min(1.0, max(0.0, (share - schedule.mel_from) / (schedule.mel_full - schedule.mel_from)))
        wave = wave_error(made, audio)
        mel = self.mel(made, audio) if blend > 0 else torch.zeros(())
        loss = wave + blend * self.settings.mel_weight * mel
        if share < schedule.freeze_encoder_at:
            loss = loss + self.settings.commitment_weight * commitment
        loss.backward()
        return {"wave": wave, "mel": mel}

    def _judged_backward(self, audio: Tensor, made: Tensor) -> dict[str, Tensor]:
        """One step of the discriminator, then the decoder's gradient with its verdict beside the other losses."""
        heard = made.detach().requires_grad_()
        of_rendered, of_made = self.judge(audio, half=True), self.judge(heard.detach(), half=True)
        judging = judging_loss(of_rendered, of_made)
        self.judge_optimizer.zero_grad(set_to_none=True)
        judging.backward()
        self.judge_optimizer.step()
        self.judge.requires_grad_(False)
        deceiving = deceiving_loss(of_rendered, self.judge(heard, half=True))
        losses = {"wave": wave_error(heard, audio), "mel": self.mel(heard, audio), "deceiving": deceiving}
        shares = dict(zip(losses, self.settings.judged_shares, strict=True))
        made.backward(balanced_gradient(losses, shares, heard))
        self.judge.requires_grad_(True)
        return losses | {"judging": judging}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        self.codec.eval()
        rng = np.random.default_rng(1)
        audio = torch.cat([self.held_out.crops(rng, 8, 2.0) for _ in range(4)]).to(self.device)
        made, codes, _ = self.codec(audio)
        self.codec.train()
        figures = {"val_nmse": float(wave_error(made, audio)), "val_mel": float(self.mel(made, audio))}
        counts = self.codec.quantizer.counts
        alive = (counts > 0.1 * counts.mean(1, keepdim=True)).float().mean(1)
        return figures | ({f"used{k}": float(u) for k, u in enumerate(alive)} if codes is not None else {})

    def run(self, every: int = 100) -> None:
        sums: dict[str, float] = {}
        while self.budget.share < 1:
            for name, value in self.train_step().items():
                sums[name] = sums.get(name, 0.0) + value / every
            if self.step % every == 0:
                checked = self.validate() if self.step % (5 * every) == 0 else {}
                self.log.add(step=self.step, minutes=self.budget.spent_s / 60, **sums, **checked)
                sums = {}
                self.save()
        self.save()


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work-dir", type=Path, default=Path("build/pocket"))
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="one is fastest on a machine that others use too")
    return parser.parse_args()


if __name__ == "__main__":
    args = parse_args()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    Trainer(args.work_dir, args.hours, args.device).run()
