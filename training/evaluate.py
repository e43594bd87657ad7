"""Measures an exported pocket model: codec, language model, how well it follows words, sanity. A table, then JSON.

Run: `python training/evaluate.py --model models/pocket`. Needs FluidSynth: held-out pieces are composed and
rendered on the spot from indices that no training stage uses, so nothing but the model folder is needed.
Sampling: top-k 250, temperature 1, guidance 3 (and 1 for comparison), fixed seeds, by the product's own engines: float32,
which gives transformers' tokens, and int8, which must not be heard.
"""

import argparse
import itertools
import json
import time
from dataclasses import dataclass
from pathlib import Path

import measures
import numpy as np
import soundfile
import torch
from captions import caption
from compose import compose
from lm import LmSettings, codebook_losses, delayed
from plots import spectrogram_page
from render import synthesize
from sound_world import FRAME_RATE, LEADS, SAMPLE_RATE, TEMPI_BPM
from torch.nn.functional import cross_entropy
from transformers import AutoTokenizer, MusicgenForConditionalGeneration

from musicgraph.models import checkpoint
from musicgraph.models.conditioning import memory_for
from musicgraph.models.config import MAX_BATCH, Generation, Sampling
from musicgraph.models.encodec import Codec
from musicgraph.models.generate import stream
from musicgraph.models.numba_engine import NumbaEngine
from musicgraph.models.text import TextEncoder

HELD_OUT_FROM = 1_000_000  # indices far above those of training
CLIP_S = 6


@dataclass(frozen=True)
class Ask:
    """One prompt and what it asks for."""

    text: str
    lead: str
    drums: bool
    tempo_bpm: int
    mode: str


@dataclass(frozen=True)
class Pocket:
    """Upstream's model, which encodes and is judged step by step, and the product's engines, which compose."""

    model: MusicgenForConditionalGeneration
    tokenizer: object
    text: TextEncoder
    codec: Codec
    engines: dict[str, NumbaEngine]  # by precision

    @torch.inference_mode()
    def reconstruct(self, audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """float32 [T] -> the codec's rendition [T], tokens [K, frames]"""
        codec = self.model.audio_encoder
        codes = codec.encode(torch.from_numpy(audio)[None, None]).audio_codes
        made = codec.decode(codes, [None]).audio_values[0, 0]
        return made.numpy()[: len(audio)], codes[0, 0].numpy()

    def generate(
        self, texts: list[str], seconds: float, guidance: float, seed: int, precision: str
    ) -> list[np.ndarray]:
        wanted = Generation(round(seconds * FRAME_RATE), seed, Sampling(cfg=guidance))
        frames = stream(self.engines[precision], wanted, self.text.encode(texts))
        return list(self.codec.decode(torch.cat(list(frames), dim=2), 1)[:, 0].numpy())


def load(folder: Path) -> Pocket:
    model = MusicgenForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    opened = checkpoint.open_checkpoint(folder)
    engines = {precision: NumbaEngine(opened, precision) for precision in ("fp32", "int8")}
    parts = checkpoint.load_text_encoder(opened), checkpoint.load_codec(opened)
    return Pocket(model, AutoTokenizer.from_pretrained(folder), *parts, engines)


def held_out(count: int, first: int = 0):
    """Songs and their audio, whole."""
    for index in range(HELD_OUT_FROM + first, HELD_OUT_FROM + first + count):
        song = compose(index)
        yield song, synthesize(song)


def codec_figures(pocket: Pocket, items: int) -> tuple[dict[str, float], list]:
    """The figures, and rows for `spectrogram_page`."""
    rows, codes, pages = [], [], []
    for song, audio in held_out(items):
        audio = audio[: CLIP_S * SAMPLE_RATE]
        made, tokens = pocket.reconstruct(audio)
        opus = measures.opus_round_trip(audio)
        codes.append(tokens)
        versions = {"codec": made, "opus_6k": opus, "silence": np.zeros_like(audio)}
        rows.append({f"{n}_mel_db": measures.mel_distance_db(v, audio) for n, v in versions.items()})
        rows[-1] |= {"original_flatness_db": measures.flatness_db(audio)}
        for name in ("codec", "opus_6k"):
            rows[-1][f"{name}_si_sdr_db"] = measures.si_sdr_db(versions[name], audio)
            rows[-1][f"{name}_hiss_db"] = measures.hiss_db(versions[name], audio)
            rows[-1][f"{name}_flatness_db"] = measures.flatness_db(versions[name])
        pages.append((f"{song.facts.lead}, {song.facts.texture}", audio, made))
    figures = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    joined = np.concatenate(codes, axis=1)
    for k, row in enumerate(joined):
        figures[f"codes_used_{k}"] = len(np.unique(row)) / 1024
    return figures | {"frames": joined.shape[1]}, pages


@torch.inference_mode()
def lm_figures(pocket: Pocket, items: int) -> dict[str, float]:
    """Cross-entropy of held-out pieces with their captions and without, beside the entropy of the codes alone."""
    settings, conditional, null, codes = LmSettings(), [], [], []
    for index, (song, audio) in enumerate(held_out(items, first=10_000)):
        tokens = torch.from_numpy(pocket.reconstruct(audio[: 10 * SAMPLE_RATE])[1]).long()[None]
        text = pocket.tokenizer(caption(song.facts, index), return_tensors="pt")
        for drop, losses in ((False, conditional), (True, null)):
            dropped = torch.tensor([drop])
            losses.append(
                codebook_losses(pocket.model, settings, tokens, text.input_ids, text.attention_mask, dropped).numpy()
            )
        codes.append(tokens[0].numpy())
    joined, figures = np.concatenate(codes, axis=1), {}
    for k in range(settings.codebooks):
        share = np.bincount(joined[k], minlength=1024) / joined.shape[1]
        share = share[share > 0]
        figures[f"unigram_nats_{k}"] = float(-(share * np.log(share)).sum())
        figures[f"ce_nats_{k}"] = float(np.mean([c[k] for c in conditional]))
        figures[f"ce_no_text_nats_{k}"] = float(np.mean([c[k] for c in null]))
    return figures


def engine_figures(pocket: Pocket, items: int, seconds: float = 10.0) -> dict[str, float]:
    """Cross-entropy of held-out pieces under each engine, every step judged after the true past, mean of the codebooks."""
    songs = [(song, audio) for song, audio in held_out(2 * items, first=40_000) if len(audio) >= seconds * SAMPLE_RATE]
    songs = songs[: min(items, MAX_BATCH)]
    tokens = torch.stack(
        [torch.from_numpy(pocket.reconstruct(a[: round(seconds * SAMPLE_RATE)])[1]) for _, a in songs]
    ).long()
    encoded = pocket.text.encode([caption(song.facts, index) for index, (song, _) in enumerate(songs)])
    figures = {
        f"ce_nats_{precision}": _cross_entropy(engine.prepare(memory_for(encoded, None, cfg=1), 2048), tokens)
        for precision, engine in pocket.engines.items()
    }
    return figures | {"int8_worse_by_percent": 100 * (figures["ce_nats_int8"] / figures["ce_nats_fp32"] - 1)}


def _cross_entropy(session, tokens: torch.Tensor) -> float:
    heard = delayed(tokens, LmSettings().special)
    total = torch.zeros(())
    for step in range(tokens.shape[2]):  # the first codebook's delay is one step, each further one's one more
        predicted = session.step(heard[:, :, step : step + 1])
        for k in range(min(step, tokens.shape[1] - 1) + 1):
            total += cross_entropy(predicted[:, k], tokens[:, k, step - k]) / tokens.shape[1]
    return float(total / tokens.shape[2])


def asks(items: int, seed: int = 0) -> list[Ask]:
    """Half solo without drums, half with drums; leads, tempi and modes evenly spread; words unlike the training templates."""
    rng, made = np.random.default_rng(seed), []
    for i in range(items):
        lead = list(LEADS)[i // 2 % len(LEADS)]
        mode = ("major", "minor")[i // (2 * len(LEADS)) % 2]
        tempo = int(rng.choice(TEMPI_BPM))
        mood = {"major": "happy", "minor": "sad"}[mode]
        words = f"a {mood} {lead} tune with drums" if i % 2 else f"a {mood} solo {lead} tune, no drums"
        made.append(Ask(f"{words}, in {mode}, {tempo} bpm", lead, bool(i % 2), tempo, mode))
    return made


@dataclass(frozen=True)
class Judges:
    """Classifiers for drums and for the lead of a solo, trained on rendered pieces after the codec."""

    drums: measures.Classifier
    family: measures.Classifier
    tempo_ceiling: float  # how often the estimators are right on rendered pieces after the codec
    mode_ceiling: float
    onsets_per_s: float


def train_judges(pocket: Pocket, items: int) -> Judges:
    """`items` pieces with a lead for drums, as many solos for the lead's instrument; a fifth of each only to be judged."""
    drums, family, tempo_right, mode_right, onsets = [], [], [], [], []
    for song, audio in judged_pieces(items):
        clip = pocket.reconstruct(audio[: 8 * SAMPLE_RATE])[0]
        vector, facts = measures.features(clip), song.facts
        if facts.texture == "solo":
            family.append((vector, facts.lead))
        if len(drums) == items:  # what follows are solos only
            continue
        drums.append((vector, str(facts.drums)))
        onsets.append(measures.onsets_per_s(clip))
        if len(tempo_right) < 120:
            tempo_right.append(measures.tempo_matches(measures.tempo_bpm(clip), facts.tempo_bpm))
            mode_right.append(measures.mode(clip) == facts.mode)
    ceilings = (float(np.mean(tempo_right)), float(np.mean(mode_right)), float(np.mean(onsets)))
    return Judges(*(_judge(pairs) for pairs in (drums, family)), *ceilings)


def judged_pieces(items: int):
    """Songs with a lead and their audio: first `items` of any kind, then solos until there are `items` of those."""
    count = solos = 0
    for index in itertools.count(HELD_OUT_FROM + 20_000):
        song = compose(index)
        solo = song.facts.texture == "solo"
        if song.facts.lead is None or (count >= items and not solo):
            continue
        count, solos = count + 1, solos + solo
        yield song, synthesize(song)
        if solos >= items:
            return


def _judge(pairs: list[tuple[np.ndarray, str]]) -> measures.Classifier:
    fifth = len(pairs) // 5
    return measures.train_classifier(pairs[fifth:], pairs[:fifth])


def adherence(judges: Judges, wanted: list[Ask], clips: list[np.ndarray]) -> dict[str, float]:
    drums = judges.drums.predict(clips)
    solos = [(a, c) for a, c in zip(wanted, clips, strict=True) if not a.drums]
    families = judges.family.predict([c for _, c in solos])
    return {
        "drums": float(np.mean([d == str(a.drums) for a, d in zip(wanted, drums, strict=True)])),
        "solo_instrument": float(np.mean([f == a.lead for (a, _), f in zip(solos, families, strict=True)])),
        "tempo": float(
            np.mean(
                [measures.tempo_matches(measures.tempo_bpm(c), a.tempo_bpm) for a, c in zip(wanted, clips, strict=True)]
            )
        ),
        "mode": float(np.mean([measures.mode(c) == a.mode for a, c in zip(wanted, clips, strict=True)])),
    }


def generated(
    pocket: Pocket, wanted: list[Ask], seconds: float, guidance: float, precision: str = "fp32"
) -> list[np.ndarray]:
    clips = []
    for start in range(0, len(wanted), MAX_BATCH):
        texts = [a.text for a in wanted[start : start + MAX_BATCH]]
        clips += pocket.generate(texts, seconds, guidance, start, precision)
    return clips


def sanity(judges: Judges, clips: list[np.ndarray]) -> dict[str, float]:
    faults = [measures.faults(c) for c in clips]
    figures = {f"{name}_share": float(np.mean([name in f for f in faults])) for name in ("level", "clipped", "stuck")}
    figures["onsets_per_s"] = float(np.mean([measures.onsets_per_s(c) for c in clips]))
    return figures | {"onsets_per_s_of_data": judges.onsets_per_s}


def keep_audio(folder: Path, wanted: list[Ask], clips: list[np.ndarray]) -> None:
    for number, (ask, clip) in enumerate(zip(wanted, clips, strict=True)):
        name = "".join(c if c.isalnum() else "_" for c in ask.text)
        soundfile.write(folder / f"{number:03}_{name}.wav", clip, SAMPLE_RATE)


def evaluate(folder: Path, items: int, seconds: float, out: Path) -> dict:
    out.mkdir(parents=True, exist_ok=True)
    pocket, report = load(folder), {}
    report["codec"], pages = codec_figures(pocket, min(items, 60))
    spectrogram_page(out / "reconstructions.png", pages[:8])
    report["lm"] = lm_figures(pocket, min(items, 40))
    report["engines"] = engine_figures(pocket, min(items, 16))
    judges = train_judges(pocket, 4 * items)
    report["judges"] = {
        "drums_accuracy": judges.drums.accuracy,
        "solo_instrument_accuracy": judges.family.accuracy,
        "tempo_ceiling": judges.tempo_ceiling,
        "mode_ceiling": judges.mode_ceiling,
    }
    wanted = asks(items)
    started = time.perf_counter()
    clips = generated(pocket, wanted, seconds, guidance=3.0)
    report["generation"] = {"x_real_time_in_batches": items * seconds / (time.perf_counter() - started)}
    keep_audio(out, wanted, clips)
    spectrogram_page(out / "generated.png", [(a.text, c, None) for a, c in zip(wanted, clips, strict=True)][:16])
    report["adherence_cfg3"] = adherence(judges, wanted, clips)
    report["sanity_cfg3"] = sanity(judges, clips)
    report["adherence_cfg1"] = adherence(judges, wanted, generated(pocket, wanted, seconds, guidance=1.0))
    report["adherence_cfg3_int8"] = adherence(judges, wanted, generated(pocket, wanted, seconds, 3.0, "int8"))
    return report


def print_table(report: dict) -> None:
    for section, figures in report.items():
        print(f"\n{section}")
        for name, value in figures.items():
            print(f"  {name:28} {value:10.3f}")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("models/pocket"))
    parser.add_argument("--items", type=int, default=128, help="prompts; other counts follow from it")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--out", type=Path, default=Path("build/pocket/evaluation"), help="audio and spectrograms")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    args = parse_args()
    torch.set_num_threads(args.threads)
    result = evaluate(args.model, args.items, args.seconds, args.out)
    print_table(result)
    print(json.dumps(result))
