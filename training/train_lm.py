"""Trains text encoder and decoder on the token files; leaves `lm.pt` in the work folder.

Run: `python training/train_lm.py --work-dir build/pocket --hours 2`. Stopped, it goes on where its
last state was, which is written every ten minutes; token shards that came meanwhile are read then
too. `--workers 2` trains on two cores as two single-threaded processes, which beats two threads
wherever others use the machine. `--start FOLDER` begins with the body, the words and the tokenizer
of another MusicGen of the same width (start_lm.py); else everything begins at random.

A crop begins on a bar line most of the time, so that what is generated begins with a bar, and keeps
its piece's facts; the caption is written anew each time. Half of the batches hold short crops: only
the first second depends on the words alone, so many beginnings teach to listen to them. A fifth
holds crops of 30 s, a tenth fills gaps (lm.py). Towards the end some of the short ones are heard
under wrong captions, too (contrast.py).
"""

import argparse
import copy
import json
import math
import os
import re
import shutil
import signal
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soxr
import torch
from codec import CODEC_FILE, codec_config, load_codec
from common import (
    AudioPool,
    Budget,
    CsvLog,
    Every,
    Stop,
    clock_for,
    fast_precision,
    save_atomically,
)
from contrast import posterior_nats
from extend_codec import read_codec
from lm import LmSettings, build_model, code_losses, start_embeddings, trained_part
from muon import Muon
from start_lm import keep_code_tables, read_weights, take_body, take_code_tables
from text_tokenizer import load_tokenizer
from token_pool import Batch, TokenPool
from torch import Tensor, distributed, nn
from transformers import AutoTokenizer

COLUMNS = (
    *("step", "minutes", "lr", "ce0", "ce1", "ce2", "ce3"),
    *("val0", "val1", "val2", "val3", "null0", "fill", "unfilled", "long", "told"),
)
STATE_EVERY_S = 600


@dataclass(frozen=True)
class Kind:
    """One kind of batch. `ending`: the range of the frames at the crop's end that come first."""

    rows: int
    frames: int
    ending: tuple[int, int] | None = None


KINDS = {
    "short": Kind(20, 150),
    "medium": Kind(6, 500),
    "long": Kind(2, 1500),
    "fill": Kind(5, 500, ending=(50, 250)),
    "told": Kind(10, 150),  # each twice
}
CYCLE = ("short", "medium", "short", "long", "short", "fill", "short", "medium", "short", "long")
LATE_CYCLE = ("told", "medium", "told", "long", "short", "fill", "told", "medium", "short", "long")


@dataclass(frozen=True)
class TrainSettings:
    bar_start: float = 0.95  # share of crops that begin on a bar line
    text_dropout: float = 0.2
    input_noise: float = (
        0.05  # share of heard codes swapped for others: against learning pieces by heart
    )
    lr: float = 1.5e-3
    lr_final: float = 3e-5
    warmup_steps: int = 100
    weight_decay: float = 0.05
    average: float = 0.997
    late: float = 0.4  # share of the budget from which captions are told apart
    told_weight: float = 4.0  # of the posterior's nats, beside those of one crop's codes
    keep_words: bool = False  # the text side stays as it is, and what was polished for it true
    seed: int = 0


def learning_rate(settings: TrainSettings, step: int, share: float) -> float:
    cosine = (
        settings.lr_final + (settings.lr - settings.lr_final) * (1 + math.cos(math.pi * share)) / 2
    )
    return cosine * min(1.0, (step + 1) / settings.warmup_steps)


def make_model(work_dir: Path, settings: LmSettings, tokenizer, start: Path | None, audio: Path):
    """With random weights, or with `start`'s body and its code tables carried over."""
    codec = load_codec(work_dir / CODEC_FILE)
    model = build_model(settings, codec_config(codec.settings), len(tokenizer))
    start_embeddings(model, codec.quantizer.codebooks)
    if start:
        weights, source, old = trained_part(model), read_weights(start), read_codec(start)
        left = take_body(weights, source)
        print(f"not taken from {start}: {left}", flush=True)
        if torch.equal(old.quantizer.codebooks, codec.quantizer.codebooks):
            keep_code_tables(weights, source)
        else:
            take_code_tables(weights, source, *codes_of_both(old, codec, audio))
    return model


@torch.inference_mode()
def codes_of_both(old, new, audio: Path, pieces: int = 90) -> tuple[Tensor, Tensor]:
    """Codes int64 [K, N] of the same pieces under two codecs with frames of the same length."""
    pool, pairs = AudioPool(audio, False), ([], [])
    step = new.settings.sample_rate // old.settings.sample_rate
    for piece in pool.pieces[:: max(1, len(pool.pieces) // pieces)]:
        waveform = pool.audio(piece)[: piece.samples // new.settings.hop * new.settings.hop]
        low = soxr.resample(waveform, step, 1)
        for codec, samples, codes in zip((old, new), (low, waveform), pairs, strict=True):
            codes.append(codec.encode(torch.from_numpy(samples)[None, None])[0])
    return torch.cat(pairs[0], dim=1), torch.cat(pairs[1], dim=1)


def learning_part(weights: dict[str, Tensor], settings: TrainSettings) -> dict[str, Tensor]:
    """All of them, or all but the text side."""
    if not settings.keep_words:
        return weights
    kept = {n: p for n, p in weights.items() if n.startswith(("text_encoder.", "enc_to_dec_proj."))}
    for p in kept.values():
        p.requires_grad_(False)
    return {name: p for name, p in weights.items() if name not in kept}


def make_optimizers(
    weights: dict[str, Tensor], settings: TrainSettings
) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices, scaled to AdamW's learning rates; AdamW for the rest."""
    inside = re.compile(r"\.(layers|block)\..*(proj|fc1|fc2|SelfAttention\.[qkvo]|wi|wo)\.weight$")
    inner = [p for name, p in weights.items() if inside.search(name)]
    known = {id(p) for p in inner}
    outer = [p for p in weights.values() if id(p) not in known]
    muon = Muon(inner, weight_decay=settings.weight_decay)
    return [muon, torch.optim.AdamW(outer, betas=(0.9, 0.95), weight_decay=0.0)]


@dataclass(frozen=True)
class Source:
    """Where a run takes things from; only to carry code tables over from `start` needs `audio`."""

    work_dir: Path
    tokenizer: Path
    start: Path | None = None
    audio: Path | None = None


class Trainer:
    """One of `workers` processes, which share gradients; the first keeps clock, log and state."""

    def __init__(
        self,
        source: Source,
        hours: float,
        device: str = "cpu",
        rank: int = 0,
        workers: int = 1,
        lm: LmSettings | None = None,
        kinds: dict[str, Kind] | None = None,
        train: TrainSettings | None = None,
        clock=None,
    ) -> None:
        self.settings, self.lm, self.device = train or TrainSettings(), lm or LmSettings(), device
        self.kinds, self.rank, self.workers = kinds or KINDS, rank, workers
        self.path = source.work_dir / "lm.pt"
        tokenizer = AutoTokenizer.from_pretrained(source.tokenizer)
        torch.manual_seed(self.settings.seed)
        start = None if self.path.exists() else source.start
        model = make_model(
            source.work_dir, self.lm, tokenizer, start, source.audio or source.work_dir
        )
        self.model = model.to(device)
        self.weights = trained_part(self.model)
        self.average = {name: p.detach().clone() for name, p in self.weights.items()}
        self.learning = learning_part(self.weights, self.settings)
        self.optimizers = make_optimizers(self.learning, self.settings)
        self.step, spent_s = self._resume()
        self.budget = Budget(hours, spent_s, clock or clock_for(device))
        hop = load_codec(source.work_dir / CODEC_FILE).settings.hop
        self.pool, self.held_out = (
            TokenPool(source.work_dir / "tokens", validation, tokenizer, hop)
            for validation in (False, True)
        )
        self.log = CsvLog(source.work_dir / "lm.csv", COLUMNS) if rank == 0 else None
        self.state_due = Every(STATE_EVERY_S)

    def _resume(self) -> tuple[int, float]:
        if not self.path.exists():
            return 0, 0.0
        state = torch.load(self.path, map_location=self.device, weights_only=True)
        if state["keep_words"] != self.settings.keep_words:
            how = "with" if state["keep_words"] else "without"
            raise ValueError(
                f"got {self.path}, begun {how} --keep-words: go on {how} it, or in another folder"
            )
        for name, p in self.weights.items():
            p.data.copy_(state["weights"][name])
            self.average[name].copy_(state["average"][name])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        return state["step"], state["spent_s"]

    def save(self) -> None:
        weights = {name: p.detach() for name, p in self.weights.items()}
        optimizers = [optimizer.state_dict() for optimizer in self.optimizers]
        state = {"optimizers": optimizers, "step": self.step, "spent_s": self.budget.spent_s}
        state |= {"keep_words": self.settings.keep_words}
        save_atomically(
            {"settings": asdict(self.lm), "weights": weights, "average": self.average, **state},
            self.path,
        )

    def _losses(
        self, batch: Batch, drop: Tensor, noise: float = 0.0, ending: int | None = None
    ) -> Tensor:
        """Of each code [B, K, T]."""
        with fast_precision(self.device.split(":")[0]):
            parts = (batch.tokens, batch.text_ids, batch.text_mask, drop)
            parts = (p.to(self.device) for p in parts)
            return code_losses(self.model, self.lm, *parts, noise=noise, ending=ending)

    def _share_gradients(self) -> None:
        if self.workers == 1:
            return
        weights = list(self.learning.values())
        flat = torch.cat([p.grad.flatten() for p in weights])
        distributed.all_reduce(flat)
        flat /= self.workers
        for p, part in zip(weights, flat.split([p.numel() for p in weights]), strict=True):
            p.grad.copy_(part.view_as(p))

    def train_step(self, share: float) -> Tensor:
        """Losses of the codebooks [K]. What is drawn at random depends on the step alone, so a
        resumed run is the same.
        """
        s, cycle = self.settings, CYCLE if share < self.settings.late else LATE_CYCLE
        name = cycle[self.step % len(cycle)]
        rng = np.random.default_rng((s.seed, self.step, self.rank))
        torch.manual_seed(int(rng.integers(2**31)))
        hear = self._hear_twice if name == "told" else self._hear
        losses, besides = hear(rng, self.kinds[name])
        weights = losses.new_tensor(self.lm.codebook_weights)
        self.model.zero_grad(set_to_none=True)
        ((losses * weights / weights.sum()).sum() + besides).backward()
        self._share_gradients()
        self._learn(learning_rate(s, self.step, share))
        self.step += 1
        return losses.detach()

    def _hear(self, rng: np.random.Generator, kind: Kind) -> tuple[Tensor, float]:
        """Losses of the codebooks [K]; nothing besides."""
        s = self.settings
        ending = kind.frames - int(rng.integers(*kind.ending)) if kind.ending else None
        batch = self.pool.batch(rng, kind.rows, kind.frames, s.bar_start)
        drop = torch.rand(kind.rows) < s.text_dropout
        return self._losses(batch, drop, s.input_noise, ending).mean((0, 2)), 0.0

    def _hear_twice(self, rng: np.random.Generator, kind: Kind) -> tuple[Tensor, Tensor]:
        """Losses of the codebooks [K] under the right captions, and what telling them from wrong
        ones costs.
        """
        batch = self.pool.pairs(rng, kind.rows, kind.frames)
        right, wrong = self._both(batch, self.settings.input_noise)
        told = posterior_nats(right, wrong) / right[0].numel()
        return right.mean((0, 2)), self.settings.told_weight * told

    def _both(self, pairs: Batch, noise: float = 0.0) -> tuple[Tensor, Tensor]:
        """Losses of the codes [B, K, T] under right captions and wrong ones, which hear the same
        noise.
        """
        count = len(pairs.tokens) // 2
        state = torch.random.get_rng_state()
        drop, losses = torch.zeros(count).bool(), []
        for some in (slice(count), slice(count, None)):
            torch.random.set_rng_state(state)
            half = Batch(pairs.tokens[some], pairs.text_ids[some], pairs.text_mask[some])
            losses.append(self._losses(half, drop, noise))
        return tuple(losses)

    def _learn(self, lr: float) -> None:
        nn.utils.clip_grad_norm_(self.learning.values(), 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.step()
        decay = min(self.settings.average, (1 + self.step) / (20 + self.step))
        for name, p in self.weights.items():
            self.average[name].lerp_(p.detach(), 1 - decay)

    @torch.no_grad()
    def validate(self, batches: int = 4) -> dict[str, float]:
        """With the averaged weights, on the same held-out crops each time.

        `null0` is the first codebook without its text: the gap is what the words tell. `fill` is
        the mean over the codebooks of half a crop before an ending that was heard, `unfilled` the
        same unheard, `long` that of crops as long as the held-out pieces allow.
        """
        kept = copy.deepcopy({name: p.detach() for name, p in self.weights.items()})
        for name, p in self.weights.items():
            p.copy_(self.average[name])
        figures = self._figures(np.random.default_rng(5), batches)
        for name, p in self.weights.items():
            p.copy_(kept[name])
        return figures

    def _figures(self, rng: np.random.Generator, batches: int) -> dict[str, float]:
        heard, null, fill, unfilled, long, told = [], [], [], [], [], []
        medium, there = self.kinds["medium"], max(map(self.held_out.frames, self.held_out.pieces))
        longest = min(self.kinds["long"].frames, there)
        for _ in range(batches):
            batch = self.held_out.batch(rng, 8, medium.frames, 1.0)
            keep, drop = (torch.full((8,), dropped) for dropped in (False, True))
            heard.append(self._losses(batch, keep).mean((0, 2)))
            null.append(self._losses(batch, drop)[:, 0].mean())
            gap = medium.frames // 2
            begun = Batch(batch.tokens[..., :gap], batch.text_ids, batch.text_mask)
            fill.append(self._losses(batch, keep, ending=gap).mean())
            unfilled.append(self._losses(begun, keep).mean())
            batch = self.held_out.batch(rng, 2, longest, 1.0)
            long.append(self._losses(batch, keep[:2]).mean())
            pairs = self.held_out.pairs(rng, 16, self.kinds["told"].frames)
            told.append(posterior_nats(*self._both(pairs)))
        figures = {f"val{k}": float(v) for k, v in enumerate(torch.stack(heard).mean(0))}
        means = {"null0": null, "fill": fill, "unfilled": unfilled, "long": long, "told": told}
        return figures | {name: float(torch.stack(values).mean()) for name, values in means.items()}

    def _agreed(self, stop: Stop | None) -> tuple[float, bool, bool]:
        """Share of the budget, whether to end, whether to write state: every worker must do the
        same at the same step.
        """
        ends = bool(stop and stop.asked) or self.budget.share >= 1
        said = torch.tensor([self.budget.share, float(ends), float(self.state_due.due())])
        if self.workers > 1:
            distributed.broadcast(said, 0)
        return float(said[0]), bool(said[1]), bool(said[2])

    def run(self, stop: Stop | None = None, every: int = 50, check_every: int = 400) -> None:
        """Until the budget is spent or `stop` is asked for."""
        total = torch.zeros(self.lm.codebooks)
        while True:
            share, ends, state_due = self._agreed(stop)
            if ends:
                break
            total += self.train_step(share).cpu() / every
            if self.step % every == 0:
                self._report(total, share, self.step % check_every == 0)
                total.zero_()
            if state_due:
                self._keep()
        self._keep()
        if self.rank == 0 and share >= 1:  # who asks for an end wants it at once
            self.log.add(step=self.step, minutes=self.budget.spent_s / 60, **self.validate(12))

    def _keep(self) -> None:
        self.pool.refresh()
        if self.rank == 0:
            self.save()

    def _report(self, mean: Tensor, share: float, checked: bool) -> None:
        if self.rank == 0:
            losses = {f"ce{k}": float(v) for k, v in enumerate(mean)}
            lr = learning_rate(self.settings, self.step, share)
            figures = self.validate() if checked else {}
            self.log.add(
                step=self.step, minutes=self.budget.spent_s / 60, lr=lr, **losses, **figures
            )


def _worker(rank: int, args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    if args.workers > 1:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(args.port))
        distributed.init_process_group("gloo", rank=rank, world_size=args.workers)
    source = Source(args.work_dir, args.work_dir / "tokenizer", args.start, args.audio)
    settings = TrainSettings(keep_words=args.keep_words, late=args.told_from)
    Trainer(source, args.hours, args.device, rank, args.workers, train=settings).run(Stop())


def _workers(args: argparse.Namespace) -> None:
    """Several, who hear of it too when this process is told to end."""
    spawned = torch.multiprocessing.spawn(_worker, (args,), args.workers, join=False)

    def pass_on(_number: int, _frame: object) -> None:
        for process in spawned.processes:
            process.terminate()  # SIGTERM, which their Stop knows

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    while not spawned.join():
        pass


def unigram_entropy(work_dir: Path) -> list[float]:
    """Nats of each codebook's own frequencies on the training pieces: what knowing nothing else
    would cost.
    """
    shards = [
        np.load(path, mmap_mode="r")
        for path in sorted((work_dir / "tokens").glob("shard-????.npy"))
    ]
    entropies = []
    for k in range(shards[0].shape[0]):
        share = np.bincount(np.concatenate([s[k] for s in shards]), minlength=1024) / sum(
            s.shape[1] for s in shards
        )
        entropies.append(float(-(share[share > 0] * np.log(share[share > 0])).sum()))
    return entropies


def have_tokenizer(work_dir: Path, start: Path | None) -> None:
    """Made or copied once, before the workers start: words keep their ids with the weights."""
    folder = work_dir / "tokenizer"
    if start and not folder.exists():
        folder.mkdir()
        for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
            shutil.copyfile(start / name, folder / name)
    load_tokenizer(work_dir)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work-dir", type=Path, default=Path("build/pocket"))
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--start", type=Path, help="a MusicGen folder of the same width")
    parser.add_argument(
        "--audio",
        type=Path,
        help="another work folder whose audio/ tells how its codes map to ours",
    )
    parser.add_argument(
        "--keep-words",
        action="store_true",
        help="the text encoder stays as it is, so that one polished for it stays understood",
    )
    parser.add_argument(
        "--told-from",
        type=float,
        default=TrainSettings.late,
        help="share of the hours after which captions are told apart; less where it went before",
    )
    parser.add_argument("--threads", type=int, default=1, help="of each worker")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--port", type=int, default=29617, help="on which workers meet")
    return parser.parse_args()


def train(args: argparse.Namespace) -> None:
    print(
        json.dumps({"unigram_nats": [round(e, 3) for e in unigram_entropy(args.work_dir)]}),
        flush=True,
    )
    have_tokenizer(args.work_dir, args.start)
    if args.workers == 1:
        _worker(0, args)
    else:
        _workers(args)


if __name__ == "__main__":
    train(parse_args())
