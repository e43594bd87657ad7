"""Teaches a trained model's text encoder everyday language, from text alone; decoder and codec stay
as they are.

Run: `python training/polish_text.py --hours 0.8`. Its `--model` is one that was not polished yet.
Stopped, it goes on where its last state was (`polish/polish.pt` in `--work-dir`, written every ten
minutes and when it is told to end). Hours are hours of computing, one thread. `--start FILE` begins
with the averaged weights of an earlier run's `polish.pt`, whose tables may have been smaller.

Every prompt stands for one caption (`words/pocket.py`). A decoder hears its text through its
layers' cross-attention only, so the encoder is right when each layer reads the same out of the
prompt's states as out of those that the old encoder gives for the caption. The layers' queries are
recorded once, while the decoder makes music by itself; training needs no audio. A few prompts of
every step are heard through the whole decoder, too (`guided_kl.py`).
"""

import argparse
import copy
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from captions import canonical, thorough
from common import Budget, CsvLog, Every, Stop, fast_precision, save_atomically
from compose import facts_of
from export import save_model, sharpen
from guided_kl import GuidedMusic, HeardSettings, record_music
from muon import Muon
from text_side import Listener, deepen, encode, small_letters, widen_embeddings
from text_tokenizer import extend
from torch import Tensor, nn
from transformers import AutoTokenizer, MusicgenForConditionalGeneration
from words.pocket import caption_for
from words.spelling import irrelevant_words
from words.wishes import TABLES, draw_wish, put_into_words, vocabulary
from world import phrases

COLUMNS = ("step", "minutes", "lr", "unexplained", "nats", "val_free", "val_plain", "val_nats")
TRAINED = ("text_encoder.", "enc_to_dec_proj.")
STATE_EVERY_S = 600
HELD_OUT_FROM = 10**9  # seeds of the prompts that are only looked at
MUSIC_FROM = 10**8  # seeds of the wishes whose music is recorded


@dataclass(frozen=True)
class PolishSettings:
    text_layers: int = 4  # of the polished encoder; those beyond the teacher's begin as nothing
    rows: int = 64
    pooled: int = 4  # batches drawn together and sorted by length, so that little is padding
    plain_share: float = 0.2  # captions as the decoder learnt them: they go on meaning the same
    max_tokens: int = 96
    layers: int = 2  # of the decoder, compared in a step of training
    queries: int = 16  # of each of these layers
    recorded_rows: int = 48
    recorded_frames: int = 260
    recorded_all_before: int = (
        60  # of the later frames every fourth is kept: the words decide the beginning
    )
    lr: float = 2e-3
    lr_final: float = 2e-5
    warmup_steps: int = 100
    weight_decay: float = 0.01
    ema: float = 0.998
    nats_weight: float = 0.3
    seed: int = 0


class Prompts:
    """Pairs of a prompt and the caption that it stands for; a seed always gives the same pair."""

    def __init__(self, plain_share: float) -> None:
        self.plain_share, self.words = plain_share, irrelevant_words()
        said = {word.lower() for word in vocabulary()}
        self.words = [word for word in self.words if word not in said]

    def plain(self, seed: int) -> tuple[str, str]:
        facts = facts_of(seed)
        return thorough(facts, random.Random(seed)), canonical(facts)

    def free(self, seed: int) -> tuple[str, str]:
        rng = random.Random(seed)
        wish = draw_wish(rng)
        return put_into_words(wish, rng, self.words), caption_for(wish)

    def draw(self, seed: int) -> tuple[str, str]:
        return (
            self.plain(seed)
            if random.Random(~seed).random() < self.plain_share
            else self.free(seed)
        )


def words_to_know() -> tuple[list[str], list[str]]:
    """Words to add to a tokenizer, and those that are known after another sign too, as in
    "piano/drums".
    """
    core = {
        w
        for name in ("genres", "instruments", "drums")
        for ps in TABLES[name].values()
        for p in ps
        for w in p.split()
    }
    return sorted({*vocabulary(), *phrases.vocabulary()}), sorted(
        w for w in core if w.isalpha() and w.islower() and len(w) > 3
    )


@torch.inference_mode()
def record_queries(
    model: MusicgenForConditionalGeneration, tokenizer, settings: PolishSettings
) -> Tensor:
    """What the decoder layers ask their text while they make music from captions:
    float32 [layers, N, hidden].
    """
    captions = [
        caption_for(draw_wish(random.Random(HELD_OUT_FROM - 1 - i)))
        for i in range(settings.recorded_rows)
    ]
    recorded: list[list[Tensor]] = [[] for _ in model.decoder.model.decoder.layers]

    def keep(layer: int):
        return lambda _module, _inputs, made: recorded[layer].append(
            made[: len(captions)].flatten(0, 1).clone()
        )

    layers = model.decoder.model.decoder.layers
    hooks = [one.encoder_attn.q_proj.register_forward_hook(keep(k)) for k, one in enumerate(layers)]
    text = tokenizer(captions, padding=True, return_tensors="pt")
    torch.manual_seed(settings.seed)
    model.generate(
        **text, max_new_tokens=settings.recorded_frames, do_sample=True, guidance_scale=3.0
    )
    for hook in hooks:
        hook.remove()
    kept = [i for i in range(len(recorded[0])) if i < settings.recorded_all_before or i % 4 == 0]
    return torch.stack([torch.cat([steps[i] for i in kept]) for steps in recorded])


def _pieces(tokenizer) -> list[str]:
    return tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))


class Polisher:
    def __init__(self, source: Path, folder: Path, hours: float, start: Path | None = None) -> None:
        self.settings, self.path, self.folder = PolishSettings(), folder / "polish.pt", folder
        torch.manual_seed(self.settings.seed)
        self.teacher = MusicgenForConditionalGeneration.from_pretrained(
            source, dtype=torch.float32
        ).eval()
        self.teacher.requires_grad_(False)
        self.teacher_tokenizer = AutoTokenizer.from_pretrained(source)
        self.tokenizer = self._tokenizer(source)
        self.queries = self._queries()
        self.listener = Listener(
            [layer.encoder_attn for layer in self.teacher.decoder.model.decoder.layers]
        )
        self.music = self._music(source)
        self.taught: dict[str, Tensor] = {}
        self.all_layers = list(range(len(self.listener.layers)))
        self.prompts = Prompts(self.settings.plain_share)
        self.variances = self._variances()
        self.model = copy.deepcopy(self.teacher)
        deepen(self.model, self.settings.text_layers)
        self._widen(_pieces(self.teacher_tokenizer), self.teacher.text_encoder.shared.weight)
        self.weights = {n: p for n, p in self.model.named_parameters() if n.startswith(TRAINED)}
        self.average = {n: p.detach().clone() for n, p in self.weights.items()}
        for parameter in self.weights.values():
            parameter.requires_grad_(True)
        self.shared = small_letters(_pieces(self.tokenizer))
        self.optimizers = self._optimizers()
        self.step, spent_s = self._resume(start)
        self.budget = Budget(hours, spent_s, time.process_time)
        torch.manual_seed(self.settings.seed + self.step)
        self.waiting: list[list[tuple[str, str]]] = []
        self.log = CsvLog(folder / "polish.csv", COLUMNS)

    def _widen(self, pieces: list[str], table: Tensor) -> None:
        known = dict(
            zip(pieces, table[: len(pieces)], strict=True)
        )  # a table may be longer than its vocabulary
        widen_embeddings(self.model, _pieces(self.tokenizer), known)

    def _tokenizer(self, source: Path):
        folder = self.folder / "tokenizer"
        if not (folder / "tokenizer.json").exists():
            extend(source, *words_to_know(), folder)
        return AutoTokenizer.from_pretrained(folder)

    def _queries(self) -> Tensor:
        path = self.folder / "queries.pt"
        if not path.exists():
            save_atomically(
                record_queries(self.teacher, self.teacher_tokenizer, self.settings), path
            )
        return torch.load(path, weights_only=True)

    def _music(self, source: Path) -> GuidedMusic:
        path, settings = self.folder / "music.pt", HeardSettings()
        if not path.exists():
            save_atomically(record_music(source, settings, MUSIC_FROM), path)
        tokens = torch.load(path, weights_only=True)
        return GuidedMusic(self.teacher.decoder, tokens, MUSIC_FROM, settings)

    def _optimizers(self) -> list[torch.optim.Optimizer]:
        """Muon for the matrices inside the layers, AdamW for the rest."""
        inner = [
            p
            for n, p in self.weights.items()
            if ".block." in n and p.dim() == 2 and "bias" not in n
        ]
        known = {id(p) for p in inner}
        outer = [p for p in self.weights.values() if id(p) not in known]
        muon = Muon(inner, weight_decay=self.settings.weight_decay)
        return [muon, torch.optim.AdamW(outer, betas=(0.9, 0.98), weight_decay=0.0, fused=True)]

    def _resume(self, start: Path | None) -> tuple[int, float]:
        if self.path.exists():
            state = torch.load(self.path, weights_only=True)
            for name, parameter in self.weights.items():
                parameter.data.copy_(state["weights"][name])
                self.average[name].copy_(state["average"][name])
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
            return state["step"], state["spent_s"]
        if start:
            self._start_from(torch.load(start, weights_only=True))
        return 0, 0.0

    @torch.no_grad()
    def _start_from(self, state: dict) -> None:
        for name, parameter in self.weights.items():
            if name != "text_encoder.shared.weight" and name in state["average"]:
                parameter.copy_(state["average"][name])
        self._widen(state["pieces"], state["average"]["text_encoder.shared.weight"])
        for name, parameter in self.weights.items():
            self.average[name].copy_(parameter)

    def save(self) -> None:
        state = {
            "weights": {n: p.detach() for n, p in self.weights.items()},
            "average": self.average,
            "pieces": _pieces(self.tokenizer),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "spent_s": self.budget.spent_s,
        }
        save_atomically(state, self.path)

    def loss(self, pairs: list[tuple[str, str]], layers: list[int]) -> Tensor:
        """Share of the variance of what these layers read that is not explained.

        1 is no better than the mean caption.
        """
        queries, listener = self._some_queries(layers), self.listener.only(layers)
        texts, captions = zip(*pairs, strict=True)
        with fast_precision("cpu"):
            wanted = self._wanted(captions, queries, listener)
            states, mask = encode(
                self.model, self.tokenizer, texts, self.settings.max_tokens, self.shared
            )
            apart = listener.differences(listener.hear(states, mask, queries), wanted)
        return (apart / self.variances[layers]).mean()

    def _some_queries(self, layers: list[int]) -> Tensor:
        chosen = torch.randint(self.queries.shape[1], (self.settings.queries,))
        return self.queries[layers][:, chosen]

    @torch.no_grad()
    def _wanted(self, captions: Sequence[str], queries: Tensor, listener: Listener) -> list[Tensor]:
        return listener.hear(*self._states_of(captions), queries)

    @torch.no_grad()
    def _states_of(self, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """What the old encoder makes of captions: [B, L, H] and their mask."""
        self._remember(sorted(set(captions) - set(self.taught)))
        states = nn.utils.rnn.pad_sequence([self.taught[c] for c in captions], True).float()
        lengths = torch.tensor([len(self.taught[c]) for c in captions])
        return states, (torch.arange(states.shape[1]) < lengths[:, None]).long()

    def _remember(self, captions: list[str]) -> None:
        """The old encoder's states of captions; a few thousand come again and again."""
        if not captions:
            return
        states, mask = encode(
            self.teacher, self.teacher_tokenizer, captions, self.settings.max_tokens
        )
        for caption, own, heard in zip(captions, states, mask.sum(1).tolist(), strict=True):
            self.taught[caption] = own[:heard].bfloat16()

    @torch.no_grad()
    def _variances(self) -> Tensor:
        """Of what each layer reads, over captions [layers]."""
        captions = [self.prompts.draw(HELD_OUT_FROM - 1000 - i)[1] for i in range(256)]
        wanted = self._wanted(captions, self._some_queries(self.all_layers), self.listener)
        return self.listener.differences(
            wanted, [w.mean(0, keepdim=True).expand_as(w) for w in wanted]
        )

    def _batch(self) -> list[tuple[str, str]]:
        s = self.settings
        if not self.waiting:
            first = self.step * s.rows
            pairs = [self.prompts.draw(first + row) for row in range(s.rows * s.pooled)]
            lengths = [len(ids) for ids in self.tokenizer([text for text, _ in pairs]).input_ids]
            pairs = [pair for _, pair in sorted(zip(lengths, pairs, strict=True))]
            self.waiting = [pairs[i : i + s.rows] for i in range(0, len(pairs), s.rows)]
            random.Random(first).shuffle(self.waiting)
        return self.waiting.pop()

    def nats(self, rng: random.Random, held_out: bool = False) -> Tensor:
        """How far the decoder's music is from what it plays by the captions, in nats a frame."""
        pairs, columns = self.music.draw(rng, self.prompts.words, held_out)
        texts, captions = zip(*pairs, strict=True)
        with fast_precision("cpu"):
            read = encode(self.model, self.tokenizer, texts, self.settings.max_tokens, self.shared)
            return self.music.divergence(read, self._states_of(captions), columns)

    def train_step(self) -> tuple[float, float]:
        s = self.settings
        layers = torch.randperm(len(self.all_layers))[: s.layers].tolist()
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self._batch(), layers)
        loss.backward()
        nats = self.nats(random.Random(-self.step))
        (s.nats_weight * nats).backward()
        nn.utils.clip_grad_norm_(self.weights.values(), 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate()
            optimizer.step()
        decay = min(s.ema, (1 + self.step) / (20 + self.step))
        for name, parameter in self.weights.items():
            self.average[name].lerp_(parameter.detach(), 1 - decay)
        self.step += 1
        return float(loss.detach()), float(nats.detach())

    def learning_rate(self) -> float:
        s = self.settings
        cosine = s.lr_final + (s.lr - s.lr_final) * (1 + math.cos(math.pi * self.budget.share)) / 2
        return cosine * min(1.0, (self.step + 1) / s.warmup_steps)

    @torch.no_grad()
    def validate(self, batches: int = 4) -> dict[str, float]:
        """With the averaged weights, on prompts that training never draws."""
        kept = {name: p.detach().clone() for name, p in self.weights.items()}
        self._use(self.average)
        state = torch.get_rng_state()
        torch.manual_seed(5)
        figures = {}
        for name, draw in (("val_free", self.prompts.free), ("val_plain", self.prompts.plain)):
            firsts = [HELD_OUT_FROM + 1000 * b for b in range(batches)]
            losses = [
                self.loss([draw(f + row) for row in range(self.settings.rows)], self.all_layers)
                for f in firsts
            ]
            figures[name] = float(torch.stack(losses).mean())
        rng = random.Random("held out")
        nats = [self.nats(rng, held_out=True) for _ in range(batches)]
        figures["val_nats"] = float(torch.stack(nats).mean())
        torch.set_rng_state(state)
        self._use(kept)
        return figures

    @torch.no_grad()
    def _use(self, values: dict[str, Tensor]) -> None:
        for name, parameter in self.weights.items():
            parameter.copy_(values[name])

    def run(self, stop: Stop | None = None, every: int = 100, check_every: int = 400) -> bool:
        """Until the budget is spent, which it returns, or `stop` is asked for."""
        losses, state_due = [], Every(STATE_EVERY_S)
        while self.budget.share < 1 and not (stop and stop.asked):
            losses.append(self.train_step())
            if self.step % every == 0:
                checked = self.validate() if self.step % check_every == 0 else {}
                unexplained, nats = (
                    sum(column) / len(losses) for column in zip(*losses, strict=True)
                )
                self._report(unexplained=unexplained, nats=nats, **checked)
                losses = []
            if state_due.due():
                self.save()
        self.save()
        if self.budget.share < 1:
            return False  # who asks for an end wants it at once
        self._report(**self.validate(12))
        return True

    def _report(self, **figures: float) -> None:
        minutes, lr = self.budget.spent_s / 60, self.learning_rate()
        self.log.add(step=self.step, minutes=minutes, lr=lr, **figures)

    def export(self, folder: Path) -> None:
        self._use(self.average)
        table = self.model.text_encoder.shared.weight
        table.data.copy_(table[self.shared])
        sharpen(self.model)
        save_model(self.model, self.folder / "tokenizer", folder)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model",
        type=Path,
        default=Path("build/pocket/unpolished"),
        help="whose text encoder is the teacher",
    )
    parser.add_argument("--to", type=Path, default=Path("build/pocket/model"))
    parser.add_argument("--work-dir", type=Path, default=Path("build/pocket"))
    parser.add_argument("--hours", type=float, default=0.8)
    parser.add_argument("--start", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    args = parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    folder = args.work_dir / "polish"
    folder.mkdir(parents=True, exist_ok=True)
    polisher = Polisher(args.model, folder, args.hours, args.start)
    if polisher.run(Stop()):
        polisher.export(args.to)
