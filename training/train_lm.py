"""Trains text encoder and decoder together on the token files and leaves `lm.pt` in the work folder.

Run: `python training/train_lm.py --work-dir build/pocket --hours 2`. Stopped, it goes on where its last checkpoint was.
`--workers 2` trains on two cores as two single-threaded processes, which beats two threads wherever others use the machine.
`--start FILE` begins with the averaged weights of an earlier run (its `lm.pt`, same tokenizer and codec) instead of random ones.

A crop begins on a bar line most of the time, so that what is generated begins with a bar, and keeps its piece's facts; the
caption is written anew each time. Every other batch holds short crops: only the first second depends on the words alone, so
many beginnings teach to listen to them. Some crops are long, so that the model knows the positions of a 30 s window.
"""

import argparse
import copy
import json
import math
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from captions import caption
from codec import CodecSettings, codec_config
from common import AudioPool, Budget, CsvLog, save_atomically
from compose import Facts
from encode_audio import HOP
from lm import LmSettings, build_model, codebook_losses, start_embeddings, trained_part
from text_tokenizer import MAX_TEXT_TOKENS, load_tokenizer
from torch import Tensor, distributed, nn

COLUMNS = ("step", "minutes", "lr", "ce0", "ce1", "ce2", "ce3", "val0", "val1", "val2", "val3", "null0")


@dataclass(frozen=True)
class TrainSettings:
    batch: int = 6  # a worker
    crop_frames: int = 500
    short_batch: int = 20
    short_frames: int = 150
    short_every: int = 2
    long_batch: int = 2
    long_frames: int = 1500
    long_every: int = 5
    long_from: float = 0.5  # share of the time budget
    bar_start: float = 0.95  # share of crops that begin on a bar line
    text_dropout: float = 0.2
    input_noise: float = 0.05  # share of heard codes that are swapped for others: against learning pieces by heart
    lr: float = 1.5e-3
    lr_final: float = 3e-5
    warmup_steps: int = 100
    weight_decay: float = 0.05
    ema: float = 0.997
    seed: int = 0


@dataclass(frozen=True)
class Batch:
    tokens: Tensor  # int64 [B, K, T]
    text_ids: Tensor  # [B, L]
    text_mask: Tensor  # [B, L]


class TokenPool:
    """The pieces of one split as tokens, with captions written on demand."""

    def __init__(self, work_dir: Path, validation: bool) -> None:
        self.pieces = AudioPool(work_dir, validation).pieces
        paths = sorted((work_dir / "tokens").glob("shard-????.npy"))
        self.shards = [np.load(path, mmap_mode="r") for path in paths]
        self.pieces = [p for p in self.pieces if p.shard < len(self.shards)]
        self.tokenizer = load_tokenizer(work_dir)

    def batch(self, rng: np.random.Generator, count: int, frames: int, bar_start: float) -> Batch:
        fitting = [p for p in self.pieces if p.samples // HOP >= frames]
        tokens, texts = [], []
        for piece in (fitting[i] for i in rng.integers(len(fitting), size=count)):
            spare = piece.samples // HOP - frames
            on_bar = rng.random() < bar_start
            start = (
                piece.bar_frames * int(rng.integers(spare // piece.bar_frames + 1))
                if on_bar
                else rng.integers(spare + 1)
            )
            start += piece.offset // HOP
            tokens.append(self.shards[piece.shard][:, start : start + frames])
            texts.append(caption(Facts(**piece.facts), int(rng.integers(2**31))))
        text = self.tokenizer(texts, padding=True, truncation=True, max_length=MAX_TEXT_TOKENS, return_tensors="pt")
        return Batch(torch.from_numpy(np.stack(tokens).astype(np.int64)), text.input_ids, text.attention_mask)


def crop_shape(settings: TrainSettings, step: int, share: float) -> tuple[int, int]:
    """Rows and frames of a step's batch."""
    if step % settings.short_every == 0:
        return settings.short_batch, settings.short_frames
    if share >= settings.long_from and step % settings.long_every == 0:
        return settings.long_batch, settings.long_frames
    return settings.batch, settings.crop_frames


def learning_rate(settings: TrainSettings, step: int, share: float) -> float:
    cosine = settings.lr_final + (settings.lr - settings.lr_final) * (1 + math.cos(math.pi * share)) / 2
    return cosine * min(1.0, (step + 1) / settings.warmup_steps)


def make_model(work_dir: Path, settings: LmSettings):
    codec = torch.load(work_dir / "codec.pt", map_location="cpu", weights_only=True)
    model = build_model(settings, codec_config(CodecSettings(**codec["settings"])), len(load_tokenizer(work_dir)))
    start_embeddings(model, codec["weights"]["quantizer.codebooks"])
    return model


def make_optimizers(weights: dict[str, Tensor], settings: TrainSettings) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers (scaled so that AdamW's learning rates fit), AdamW for all else."""
    inside = re.compile(r"\.(layers|block)\..*(proj|fc1|fc2|SelfAttention\.[qkvo]|wi|wo)\.weight$")
    inner = [p for name, p in weights.items() if inside.search(name)]
    known = {id(p) for p in inner}
    outer = [p for p in weights.values() if id(p) not in known]
    muon = torch.optim.Muon(inner, weight_decay=settings.weight_decay, adjust_lr_fn="match_rms_adamw")
    return [muon, torch.optim.AdamW(outer, betas=(0.9, 0.95), weight_decay=0.0)]


class Trainer:
    def __init__(
        self, work_dir: Path, hours: float, device: str, start: Path | None = None, rank: int = 0, workers: int = 1
    ) -> None:
        self.settings, self.lm, self.device = TrainSettings(), LmSettings(), device
        self.path, self.rank, self.workers = work_dir / "lm.pt", rank, workers
        torch.manual_seed(self.settings.seed)
        self.model = make_model(work_dir, self.lm).to(device)
        self.weights = trained_part(self.model)
        self.average = {name: p.detach().clone() for name, p in self.weights.items()}
        self.optimizers = make_optimizers(self.weights, self.settings)
        self.step, spent_s = self._resume(start)
        self.budget = Budget(hours, spent_s)
        self.pool, self.held_out = TokenPool(work_dir, False), TokenPool(work_dir, True)
        self.rng = np.random.default_rng((self.settings.seed, self.step, rank))
        torch.manual_seed(int(self.rng.integers(2**31)))
        self.log = CsvLog(work_dir / "lm.csv", COLUMNS) if rank == 0 else None

    def _resume(self, start: Path | None) -> tuple[int, float]:
        if not self.path.exists():
            if start:
                averaged = torch.load(start, map_location=self.device, weights_only=True)["average"]
                self._set_weights(averaged, averaged)
            return 0, 0.0
        state = torch.load(self.path, map_location=self.device, weights_only=True)
        self._set_weights(state["weights"], state["average"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        return state["step"], state["spent_s"]

    def _set_weights(self, weights: dict[str, Tensor], average: dict[str, Tensor]) -> None:
        for name, p in self.weights.items():
            p.data.copy_(weights[name])
            self.average[name].copy_(average[name])

    def save(self) -> None:
        weights = {name: p.detach() for name, p in self.weights.items()}
        optimizers = [optimizer.state_dict() for optimizer in self.optimizers]
        state = {"optimizers": optimizers, "step": self.step, "spent_s": self.budget.spent_s}
        save_atomically({"settings": asdict(self.lm), "weights": weights, "average": self.average, **state}, self.path)

    def _losses(self, batch: Batch, drop: Tensor, noise: float = 0.0) -> Tensor:
        with torch.autocast(self.device.split(":")[0], torch.bfloat16):
            parts = (batch.tokens, batch.text_ids, batch.text_mask, drop)
            return codebook_losses(self.model, self.lm, *(p.to(self.device) for p in parts), noise=noise)

    def _share_gradients(self) -> None:
        if self.workers == 1:
            return
        flat = torch.cat([p.grad.flatten() for p in self.weights.values()])
        distributed.all_reduce(flat)
        flat /= self.workers
        for p, part in zip(self.weights.values(), flat.split([p.numel() for p in self.weights.values()]), strict=True):
            p.grad.copy_(part.view_as(p))

    def train_step(self, share: float) -> Tensor:
        """Losses of the codebooks [K]."""
        s = self.settings
        shape = crop_shape(s, self.step, share)
        batch = self.pool.batch(self.rng, *shape, s.bar_start)
        losses = self._losses(batch, torch.rand(shape[0]) < s.text_dropout, s.input_noise)
        weights = losses.new_tensor(self.lm.codebook_weights)
        self.model.zero_grad(set_to_none=True)
        (losses * weights / weights.sum()).sum().backward()
        self._share_gradients()
        nn.utils.clip_grad_norm_(self.weights.values(), 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(s, self.step, share)
            optimizer.step()
        decay = min(s.ema, (1 + self.step) / (20 + self.step))
        for name, p in self.weights.items():
            self.average[name].lerp_(p.detach(), 1 - decay)
        self.step += 1
        return losses.detach()

    @torch.no_grad()
    def validate(self, batches: int = 4) -> dict[str, float]:
        """With the averaged weights; `null0` is the first codebook without its text: the gap is what the words tell."""
        kept = copy.deepcopy({name: p.detach() for name, p in self.weights.items()})
        for name, p in self.weights.items():
            p.copy_(self.average[name])
        rng, losses, null = np.random.default_rng(5), [], []
        for _ in range(batches):
            batch = self.held_out.batch(rng, 8, self.settings.crop_frames, 1.0)
            losses.append(self._losses(batch, torch.zeros(8, dtype=torch.bool)))
            null.append(self._losses(batch, torch.ones(8, dtype=torch.bool))[0])
        for name, p in self.weights.items():
            p.copy_(kept[name])
        figures = {f"val{k}": float(v) for k, v in enumerate(torch.stack(losses).mean(0))}
        return figures | {"null0": float(torch.stack(null).mean())}

    def _agreed_share(self) -> float:
        """Of the budget; every worker must stop at the same step, so the first one's clock counts."""
        share = torch.tensor(self.budget.share)
        if self.workers > 1:
            distributed.broadcast(share, 0)
        return float(share)

    def run(self, every: int = 50, check_every: int = 400) -> None:
        total = torch.zeros(self.lm.codebooks)
        while (share := self._agreed_share()) < 1:
            total += self.train_step(share).cpu() / every
            if self.step % every == 0 and self.rank == 0:
                checked = self.validate() if self.step % check_every == 0 else {}
                losses = {f"ce{k}": float(v) for k, v in enumerate(total)}
                lr = learning_rate(self.settings, self.step, share)
                self.log.add(step=self.step, minutes=self.budget.spent_s / 60, lr=lr, **losses, **checked)
                self.save()
            if self.step % every == 0:
                total.zero_()
        if self.rank == 0:
            self.log.add(step=self.step, minutes=self.budget.spent_s / 60, **self.validate(12))
            self.save()


def _worker(rank: int, args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    if args.workers > 1:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(args.port))
        distributed.init_process_group("gloo", rank=rank, world_size=args.workers)
    Trainer(args.work_dir, args.hours, args.device, args.start, rank, args.workers).run()


def unigram_entropy(work_dir: Path) -> list[float]:
    """Nats of each codebook's own frequencies on the training pieces: what knowing nothing else would cost."""
    shards = [np.load(path) for path in sorted((work_dir / "tokens").glob("shard-????.npy"))]
    entropies = []
    for k in range(shards[0].shape[0]):
        share = np.bincount(np.concatenate([s[k] for s in shards]), minlength=1024) / sum(s.shape[1] for s in shards)
        entropies.append(float(-(share[share > 0] * np.log(share[share > 0])).sum()))
    return entropies


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work-dir", type=Path, default=Path("build/pocket"))
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--start", type=Path)
    parser.add_argument("--threads", type=int, default=1, help="of each worker")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--port", type=int, default=29617, help="on which workers meet")
    return parser.parse_args()


def train(args: argparse.Namespace) -> None:
    print(json.dumps({"unigram_nats": [round(e, 3) for e in unigram_entropy(args.work_dir)]}), flush=True)
    load_tokenizer(args.work_dir)  # made once, before the workers start
    if args.workers == 1:
        _worker(0, args)
    else:
        torch.multiprocessing.spawn(_worker, (args,), args.workers)


if __name__ == "__main__":
    train(parse_args())
