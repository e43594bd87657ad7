"""Measures an exported pocket model: codec, language model, how well it follows words, sanity. Two
tables, then JSON.

Run: `python training/evaluate.py --model models/pocket`. Needs FluidSynth: held-out pieces are
composed and rendered on the spot from indices that no training stage uses, so nothing but the model
folder is needed. The first table asks in the manner of the training captions, the second
(`evaluate_everyday.py`) as strangers do. Sampling: top-k 250, guidance 3 (and 1 for comparison),
fixed seeds, by the product's own engines: float32, which gives transformers' tokens, and int8,
which must not be heard; int4 by its cross-entropy alone.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the product's front doors do

import measures
import numpy as np
import soundfile
import torch
from asks import Ask, asks
from captions import caption
from evaluate_everyday import EVERYDAY, add_arguments, everyday_figures
from judges import Judges, data_ceiling, train_judges
from lm import LmSettings, codebook_losses, delayed
from plots import spectrogram_page
from sound_world import LEADS, SAMPLE_RATE
from subject import PRECISIONS, Pocket, held_out, load
from torch.nn.functional import cross_entropy

from musicgraph.models.conditioning import Conditioning
from musicgraph.models.config import MAX_BATCH, Sampling
from musicgraph.models.engines.session import Engine

CLIP_S = 6
# name, guidance, precision; the last is what the product plays on a CPU
WAYS = (("cfg3", 3.0, "fp32"), ("cfg1", 1.0, "fp32"), ("cfg3_int8", 3.0, "int8"))


def codec_figures(pocket: Pocket, items: int) -> tuple[dict[str, float], list]:
    """The figures, and rows for `spectrogram_page`."""
    rows, codes, pages = [], [], []
    for song, audio in held_out(items):
        audio = audio[: CLIP_S * SAMPLE_RATE]
        made, tokens = pocket.reconstruct(audio)
        opus = measures.opus_round_trip(audio)
        codes.append(tokens)
        versions = {"codec": made, "opus_6k": opus, "silence": np.zeros_like(audio)}
        rows.append(
            {f"{n}_mel_db": measures.mel_distance_db(v, audio) for n, v in versions.items()}
        )
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
    """Cross-entropy of held-out pieces with their captions and without, beside the entropy of the
    codes alone.
    """
    settings, conditional, null, codes = LmSettings(), [], [], []
    for index, (song, audio) in enumerate(held_out(items, first=10_000)):
        tokens = torch.from_numpy(pocket.reconstruct(audio[: 10 * SAMPLE_RATE])[1]).long()[None]
        text = pocket.tokenizer(caption(song.facts, index), return_tensors="pt")
        for drop, losses in ((False, conditional), (True, null)):
            dropped = torch.tensor([drop])
            losses.append(
                codebook_losses(
                    pocket.model, settings, tokens, text.input_ids, text.attention_mask, dropped
                ).numpy()
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
    """Cross-entropy of held-out pieces under each engine, every step judged after the true past,
    mean of the codebooks.
    """
    songs = [
        (song, audio)
        for song, audio in held_out(2 * items, first=40_000)
        if len(audio) >= seconds * SAMPLE_RATE
    ]
    songs = songs[: min(items, MAX_BATCH)]
    tokens = torch.stack(
        [
            torch.from_numpy(pocket.reconstruct(a[: round(seconds * SAMPLE_RATE)])[1])
            for _, a in songs
        ]
    ).long()
    encoded = pocket.text.encode(
        [caption(song.facts, index) for index, (song, _) in enumerate(songs)]
    )
    figures = {
        f"ce_nats_{precision}": _cross_entropy(engine, encoded, tokens)
        for precision, engine in pocket.engines.items()
    }
    exact = figures["ce_nats_fp32"]
    return figures | {
        f"{precision}_worse_by_percent": 100 * (figures[f"ce_nats_{precision}"] / exact - 1)
        for precision in PRECISIONS[1:]
    }


def _cross_entropy(engine: Engine, encoded: Conditioning, tokens: torch.Tensor) -> float:
    session = engine.open(len(encoded), tokens.shape[2])
    slots = [session.admit([encoded.item(i)], tokens.shape[2]) for i in range(len(encoded))]
    heard = delayed(tokens, LmSettings().special)
    total = torch.zeros(())
    for step in range(
        tokens.shape[2]
    ):  # the first codebook's delay is one step, each further one's one more
        predicted = session.step(slots, heard[:, :, step : step + 1])
        for k in range(min(step, tokens.shape[1] - 1) + 1):
            total += cross_entropy(predicted[:, k], tokens[:, k, step - k]) / tokens.shape[1]
    return float(total / tokens.shape[2])


def adherence(judges: Judges, wanted: list[Ask], clips: list[np.ndarray]) -> dict[str, float]:
    drums = judges.drums.predict(clips)
    solos = [(a, c) for a, c in zip(wanted, clips, strict=True) if not a.drums]
    families = judges.solo_family.predict([c for _, c in solos])
    both = list(zip(wanted, clips, strict=True))
    named = [LEADS[a.lead].family for a, _ in solos]
    shares = {
        "drums": [d == str(a.drums) for a, d in zip(wanted, drums, strict=True)],
        "solo_family": [heard == family for heard, family in zip(families, named, strict=True)],
        "tempo": [
            measures.tempo_matches(measures.tempo_bpm(clip), a.tempo_bpm) for a, clip in both
        ],
        "mode": [judges.mode.mode(measures.chromas(clip)) == a.mode for a, clip in both],
    }
    return {name: float(np.mean(right)) for name, right in shares.items()}


def sanity(judges: Judges, clips: list[np.ndarray]) -> dict[str, float]:
    faults = [measures.faults(c) for c in clips]
    figures = {
        f"{name}_share": float(np.mean([name in f for f in faults]))
        for name in ("level", "clipped", "stuck")
    }
    figures["onsets_per_s"] = float(np.mean([measures.onsets_per_s(c) for c in clips]))
    of_data = float(np.mean([h.sound.onsets_per_s for h in judges.heard]))
    return figures | {"onsets_per_s_of_data": of_data}


def keep_audio(folder: Path, wanted: list[Ask], clips: list[np.ndarray]) -> None:
    folder.mkdir(exist_ok=True)
    for number, (ask, clip) in enumerate(zip(wanted, clips, strict=True)):
        name = "".join(c if c.isalnum() else "_" for c in ask.text)
        soundfile.write(folder / f"{number:03}_{name}.wav", clip, SAMPLE_RATE)


def judge_figures(judges: Judges, checked: int = 120) -> dict[str, float]:
    """How often each judge is right on rendered pieces after the codec."""
    some = judges.heard[:checked]
    return {
        "drums_accuracy": judges.drums.accuracy,
        "solo_family_accuracy": judges.solo_family.accuracy,
        "family_accuracy": judges.family.accuracy,
        "tempo_ceiling": float(
            np.mean([measures.tempo_matches(h.sound.tempo_bpm, h.tempo_bpm) for h in some])
        ),
        "mode_accuracy": judges.mode.accuracy,
    }


def evaluate(args: argparse.Namespace) -> dict:
    args.out.mkdir(parents=True, exist_ok=True)
    pocket, report, items = load(args.model), {}, args.items
    judges = train_judges(pocket, 4 * items, args.judges)
    report["judges"] = judge_figures(judges)
    sampling = Sampling(temperature=args.temperature)
    report["everyday"] = everyday_figures(
        pocket, judges, EVERYDAY, sampling, args.seconds, args.out / "everyday"
    )
    report["everyday_of_data"] = data_ceiling(judges)
    if not args.words_only:
        report["codec"], pages = codec_figures(pocket, min(items, 60))
        spectrogram_page(args.out / "reconstructions.png", pages[:8])
        report["lm"] = lm_figures(pocket, min(items, 40))
        report["engines"] = engine_figures(pocket, min(items, 16))
    return report | own_figures(pocket, judges, args)


def own_figures(pocket: Pocket, judges: Judges, args: argparse.Namespace) -> dict:
    """Prompts in the manner of the training captions: with guidance and without, float32 and
    int8.
    """
    wanted, report = asks(args.items), {}
    for name, cfg, precision in WAYS[-1:] if args.words_only else WAYS:
        started, sampling = time.perf_counter(), Sampling(temperature=args.temperature, cfg=cfg)
        clips = pocket.generate([a.text for a in wanted], args.seconds, sampling, 0, precision)
        speed = args.items * args.seconds / (time.perf_counter() - started)
        report[f"adherence_{name}"] = adherence(judges, wanted, clips)
        report[f"sanity_{name}"] = sanity(judges, clips) | {"x_real_time_in_batches": speed}
        keep_audio(args.out / name, wanted, clips)
        pages = [(a.text, c, None) for a, c in zip(wanted, clips, strict=True)]
        spectrogram_page(args.out / f"generated_{name}.png", pages[:16])
    return report


def print_table(report: dict) -> None:
    for section, figures in report.items():
        print(f"\n{section}")
        for name, value in figures.items():
            print(f"  {name:28} {value:10.3f}")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument(
        "--items", type=int, default=128, help="prompts; other counts follow from it"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("build/pocket/evaluation"), help="audio and spectrograms"
    )
    parser.add_argument(
        "--words-only",
        action="store_true",
        help="leave out codec and cross-entropy, and play as the product does on a CPU only",
    )
    return parser.parse_args()


if __name__ == "__main__":
    args = parse_args()
    torch.set_num_threads(args.threads)
    result = evaluate(args)
    print_table(result)
    print(json.dumps(result))
