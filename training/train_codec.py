"""Trains the codec for a time budget and leaves `codec.safetensors` in the work folder.

Run: `python training/train_codec.py --work-dir build/pocket --start models/pocket --hours 1`.
Stopped, it goes on where its last state (`codec.pt`, written every ten minutes) was; without that
file but with `codec.safetensors`, it goes on with what that file says is next. `--start` extends
the codec of a MusicGen folder by one stage next to the audio (extend_codec.py); of one with the
very shape the body is final, and detail goes on. Given a codec file of another work folder, it
trains that one's body further.

Two stages, each with its budget. **Body** (`--hours`): encoder, codebooks and decoder, on the
waveform's error and log-mel spectra; first the new outer stage alone, so that its random weights do
no harm within; k-means codebooks when the latents have settled. Begun from nothing, the waveform
must come first: started on spectral losses, the decoder stays in stationary noise. **Detail**
(`--detail-hours`): encoder and codebooks are final, so tokens can be computed while the decoder
trains on with a discriminator that listens, because spectral losses alone smooth the upper
harmonics into noise.
"""

import argparse
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from codec import CODEC_FILE, CodecSettings, TrainingCodec, codec_facts, load_codec, save_codec
from codec_losses import MelLoss, wave_error
from common import AudioPool, Budget, CsvLog, Every, Stop, clock_for, save_atomically
from discriminator import (
    Discriminator,
    DiscriminatorSettings,
    balanced_gradient,
    deceiving_loss,
    judging_loss,
)
from extend_codec import extend, outer_stage, read_codec
from torch import Tensor, nn

LOSSES = ("wave", "mel", "commitment", "deceiving", "judging")
COLUMNS = (
    "step",
    "minutes",
    "lr",
    *LOSSES,
    "val_nmse",
    "val_mel",
    "used0",
    "used1",
    "used2",
    "used3",
)
STATE_EVERY_S = 600
MORE = 1.05  # times as many hours are others, and not the same ones rounded


@dataclass(frozen=True)
class Schedule:
    """Shares of the body's budget."""

    outer_until: float = 0.04
    quantise_at: float = 0.3
    mel_from: float = 0.0
    mel_full: float = 0.02
    cool_from: float = 0.6


FROM_NOTHING = Schedule(
    outer_until=0.0, quantise_at=0.24, mel_from=0.3, mel_full=0.7, cool_from=0.82
)


@dataclass(frozen=True)
class TrainSettings:
    batch: int = 6
    crop_s: float = 1.0
    gain_db: tuple[float, float] = (-9.0, 1.0)  # crops are played at any level between
    lr: float = 6e-4
    lr_detail: float = 5e-4
    lr_final: float = 5e-5
    lr_judge: float = 3e-4
    warmup_steps: int = 100
    mel_weight: float = 0.6
    commitment_weight: float = 0.1
    detail_batch: int = 6  # the discriminator triples the cost of a second of music
    detail_cool_from: float = 0.5
    detail_shares: tuple[float, float, float] = (
        0.5,
        1.5,
        1.5,
    )  # of the gradient: waveform, mel, discriminator
    average: float = 0.998  # of the decoder's weights in the detail stage, a step
    seed: int = 0


def cooled(share: float, start: float, highest: float, lowest: float) -> float:
    """Flat until `start`, then a cosine down to the end."""
    done = max(0.0, (share - start) / (1 - start))
    return lowest + (highest - lowest) * (1 + math.cos(math.pi * done)) / 2


def start_codec(
    work_dir: Path, start: Path | None, settings: CodecSettings
) -> tuple[TrainingCodec, Schedule, bool]:
    """What training begins with, by what plan, and whether the body is already done."""
    if (work_dir / CODEC_FILE).exists():
        done = codec_facts(work_dir / CODEC_FILE)["frozen"] == "True"
        return load_codec(work_dir / CODEC_FILE).train(), Schedule(outer_until=0.0), done
    if start is None:
        return TrainingCodec(settings), FROM_NOTHING, False
    inner = load_codec(start).train() if start.is_file() else read_codec(start)
    if inner.settings == settings:
        return inner, Schedule(outer_until=0.0), start.is_dir()
    return extend(inner, settings), Schedule(), False


class Trainer:
    """`hours` and `detail_hours` are the budgets of the two stages, counted by `clock`."""

    def __init__(
        self,
        work_dir: Path,
        hours: float,
        detail_hours: float,
        device: str = "cpu",
        start: Path | None = None,
        audio: Path | None = None,
        settings: CodecSettings | None = None,
        train: TrainSettings | None = None,
        clock=None,
    ) -> None:
        self.settings, self.device, self.work_dir = train or TrainSettings(), device, work_dir
        torch.manual_seed(self.settings.seed)
        begun = start_codec(work_dir, start, settings or CodecSettings())
        self.codec, self.schedule, self.frozen = begun[0].to(device), *begun[1:]
        self.mel = MelLoss(self.codec.settings.sample_rate).to(device)
        self.judge = Discriminator(DiscriminatorSettings()).to(device)
        self.optimizer = torch.optim.Adam(self.codec.parameters(), betas=(0.9, 0.99))
        self.judge_optimizer = torch.optim.Adam(
            self.judge.parameters(), self.settings.lr_judge, betas=(0.5, 0.9)
        )
        self.average, self.step, self.spent_s = (
            self._decoder_weights(),
            0,
            {"body": 0.0, "detail": 0.0},
        )
        self._resume()
        self.hours = {"body": hours, "detail": detail_hours}
        self._say_what_is_final()
        self.clock = clock or clock_for(device)
        self._start_budget()
        self.pool, self.held_out = (
            AudioPool(audio or work_dir, validation) for validation in (False, True)
        )
        self.log, self.state_due = CsvLog(work_dir / "codec.csv", COLUMNS), Every(STATE_EVERY_S)

    def _decoder_weights(self) -> dict[str, Tensor]:
        return {name: p.detach().clone() for name, p in self.codec.decoder.named_parameters()}

    @property
    def stage(self) -> str:
        return "detail" if self.frozen else "body"

    def _say_what_is_final(self) -> None:
        spent, asked = self.spent_s["body"] / 3600, self.hours["body"]
        if self.frozen and asked > spent * MORE:
            print(
                f"the codec's body is final after {spent:.3g} h: {asked:g} h change nothing, the "
                f"decoder's detail goes on; to train it further, --start {CODEC_FILE} in a new "
                "--work-dir",
                flush=True,
            )

    def _start_budget(self) -> None:
        self.codec.encoder.requires_grad_(not self.frozen)
        self.budget = Budget(self.hours[self.stage], self.spent_s[self.stage], self.clock)

    # State

    def _parts(self) -> dict:
        parts = {"weights": self.codec, "optimizer": self.optimizer, "judge": self.judge}
        return parts | {"judge_optimizer": self.judge_optimizer}

    def _resume(self) -> None:
        path = self.work_dir / "codec.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.average, self.frozen, self.step = state["average"], state["frozen"], state["step"]
        self.schedule = Schedule(**state["schedule"])
        self.spent_s = {stage: state[f"{stage}_s"] for stage in self.spent_s}

    def save(self) -> None:
        self.spent_s[self.stage] = self.budget.spent_s
        state = {name: part.state_dict() for name, part in self._parts().items()}
        state |= {"average": self.average, "frozen": self.frozen, "step": self.step}
        state |= {f"{stage}_s": spent for stage, spent in self.spent_s.items()}
        state["schedule"] = asdict(self.schedule)
        save_atomically(state, self.work_dir / "codec.pt")
        if self.codec.quantizer.ready:
            minutes = {f"{stage}_min": f"{s / 60:.1f}" for stage, s in self.spent_s.items()}
            self._save_file({"frozen": str(self.frozen), **minutes})

    def _save_file(self, facts: dict[str, str]) -> None:
        """With the averaged decoder once there is one."""
        kept = self._decoder_weights()
        if self.frozen:
            self.codec.decoder.load_state_dict(self.average)
        save_codec(self.codec, self.work_dir / CODEC_FILE, facts)
        self.codec.decoder.load_state_dict(kept)

    # Stages

    def start_quantiser(self) -> None:
        self.codec.eval()
        rng = np.random.default_rng((self.settings.seed, self.step, 1))
        with torch.no_grad():
            latents = [
                self.codec.encoder(self._batch(rng, self.settings.batch)) for _ in range(100)
            ]
        self.codec.quantizer.initialise(
            torch.cat([z.transpose(1, 2).reshape(-1, z.shape[1]) for z in latents])
        )
        self.codec.train()

    @torch.no_grad()
    def freeze(self) -> None:
        """Encoder and codebooks become final, exactly as half precision can store them."""
        self.spent_s["body"], self.frozen = self.budget.spent_s, True
        for p in (*self.codec.encoder.parameters(), self.codec.quantizer.codebooks):
            p.copy_(p.half().float())
        self.average = self._decoder_weights()
        self._start_budget()
        self.save()

    def _batch(self, rng: np.random.Generator, rows: int) -> Tensor:
        codec, hop = self.codec.settings, self.codec.settings.hop
        frames = round(self.settings.crop_s * codec.sample_rate / hop)
        gain = 10 ** (rng.uniform(*self.settings.gain_db, (rows, 1, 1)) / 20)
        crops = self.pool.crops(rng, rows, frames * hop) * torch.from_numpy(gain).float()
        return crops.to(self.device)

    def _learning_rate(self, share: float) -> float:
        s = self.settings
        if self.frozen:
            return cooled(share, s.detail_cool_from, s.lr_detail, s.lr_final)
        warm = min(1.0, (self.step + 1) / s.warmup_steps)
        return warm * cooled(share, self.schedule.cool_from, s.lr, s.lr_final)

    def train_step(self) -> dict[str, float]:
        share, s = self.budget.share, self.settings
        torch.manual_seed(s.seed + self.step)  # the quantiser places unused codes at random
        if share >= self.schedule.quantise_at and not self.codec.quantizer.ready:
            self.start_quantiser()
        rng = np.random.default_rng((s.seed, self.step))
        audio = self._batch(rng, s.detail_batch if self.frozen else s.batch)
        lr = self._learning_rate(share)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        if not self.frozen:
            self._choose_what_learns(share)
        made, _, commitment = self.codec(audio, learn=not self.frozen, half=True)
        self.optimizer.zero_grad(set_to_none=True)
        losses = (
            self._detail(audio, made) if self.frozen else self._body(audio, made, share, commitment)
        )
        nn.utils.clip_grad_norm_(self.codec.parameters(), 1.0)
        self.optimizer.step()
        if self.frozen:
            for name, p in self.codec.decoder.named_parameters():
                self.average[name].lerp_(p.detach(), 1 - s.average)
        self.step += 1
        return {
            "lr": lr,
            "commitment": float(commitment.detach()),
            **{n: float(v.detach()) for n, v in losses.items()},
        }

    def _choose_what_learns(self, share: float) -> None:
        outer_alone = share < self.schedule.outer_until
        self.codec.requires_grad_(not outer_alone)
        for layer in outer_stage(self.codec):
            layer.requires_grad_(True)

    def _body(
        self, audio: Tensor, made: Tensor, share: float, commitment: Tensor
    ) -> dict[str, Tensor]:
        """Waveform error, log-mel spectra as they blend in, the encoder's way to its codes."""
        plan = self.schedule
        blend = min(1.0, max(0.0, (share - plan.mel_from) / (plan.mel_full - plan.mel_from)))
        wave = wave_error(made, audio)
        mel = self.mel(made, audio) if blend > 0 else torch.zeros(())
        loss = (
            wave
            + blend * self.settings.mel_weight * mel
            + self.settings.commitment_weight * commitment
        )
        loss.backward()
        return {"wave": wave, "mel": mel}

    def _detail(self, audio: Tensor, made: Tensor) -> dict[str, Tensor]:
        """One step of the discriminator, then the decoder's gradient with its verdict beside the
        other losses.
        """
        heard = made.detach().requires_grad_()
        of_rendered, of_made = self.judge(audio, half=True), self.judge(heard.detach(), half=True)
        judging = judging_loss(of_rendered, of_made)
        self.judge_optimizer.zero_grad(set_to_none=True)
        judging.backward()
        self.judge_optimizer.step()
        self.judge.requires_grad_(False)
        deceiving = deceiving_loss(of_rendered, self.judge(heard, half=True))
        losses = {
            "wave": wave_error(heard, audio),
            "mel": self.mel(heard, audio),
            "deceiving": deceiving,
        }
        shares = dict(zip(losses, self.settings.detail_shares, strict=True))
        made.backward(balanced_gradient(losses, shares, heard))
        self.judge.requires_grad_(True)
        return losses | {"judging": judging}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        self.codec.eval()
        rng, length = np.random.default_rng(1), 2 * self.codec.settings.sample_rate
        audio = torch.cat([self.held_out.crops(rng, 8, length) for _ in range(4)]).to(self.device)
        made, codes, _ = self.codec(audio)
        self.codec.train()
        figures = {
            "val_nmse": float(wave_error(made, audio)),
            "val_mel": float(self.mel(made, audio)),
        }
        counts = self.codec.quantizer.counts
        alive = (counts > 0.1 * counts.mean(1, keepdim=True)).float().mean(1)
        return figures | (
            {f"used{k}": float(u) for k, u in enumerate(alive)} if codes is not None else {}
        )

    def run(self, stop: Stop | None = None, every: int = 100) -> None:
        """Until both budgets are spent or `stop` is asked for."""
        rows: list[dict[str, float]] = []
        while not (stop and stop.asked):
            if self.budget.share >= 1 and self.frozen:
                break
            if self.budget.share >= 1:
                self.freeze()
                rows = []  # the other stage's losses are others
                continue
            rows.append(self.train_step())
            if self.step % every == 0:
                self._report(rows, checked=self.step % (5 * every) == 0)
                rows = []
            if self.state_due.due():
                self.save()
        self.save()

    def _report(self, rows: list[dict[str, float]], checked: bool) -> None:
        means = {name: float(np.mean([row[name] for row in rows])) for name in rows[-1]}
        spent = self.budget.spent_s + (self.spent_s["body"] if self.frozen else 0)
        checks = self.validate() if checked else {}
        self.log.add(step=self.step, minutes=spent / 60, **means, **checks)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work-dir", type=Path, default=Path("build/pocket"))
    parser.add_argument("--audio", type=Path, help="another work folder whose audio/ is heard")
    parser.add_argument(
        "--start", type=Path, help="a MusicGen folder or a codec file; else from nothing"
    )
    parser.add_argument("--hours", type=float, default=0.5, help="of the body")
    parser.add_argument(
        "--detail-hours", type=float, default=0.5, help="of the decoder with the discriminator"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--threads", type=int, default=1, help="one is fastest on a machine that others use too"
    )
    return parser.parse_args()


if __name__ == "__main__":
    args = parse_args()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    Trainer(args.work_dir, args.hours, args.detail_hours, args.device, args.start, args.audio).run(
        Stop()
    )
