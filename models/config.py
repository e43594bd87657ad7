"""Shapes and settings: small frozen dataclasses, checked where they are made."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .refused import Refused

MAX_DURATION_S = 600.0
OVERLAP_SHARE = 0.4  # of a window: 12 s of the official models' 30 s, audiocraft's default
MAX_BATCH = 16
MAX_PARTS = 8  # of a mix of prompts
MAX_TOKENS = (
    512  # T5 was trained on no more; a longer prompt is refused rather than cut without a word
)
MAX_CHARACTERS = 32768  # a text of 512 tokens is far shorter
ROUNDING_S = 1e-6  # by which a sum of seconds may be off
MUSIC, SOUND = MADE = "music", "sound effects"
"""What a model may make."""


@dataclass(frozen=True)
class ChromaConfig:
    """How a melody model hears a melody: as pitch classes over time, which it reads first."""

    bins: int = 12
    """pitch classes of an octave"""
    frames: int = 235
    """how many the model reads, whatever the melody's length: 30 s for the official models"""
    window: int = 2**14
    """samples that a frame looks at"""

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return self.window // 4


@dataclass(frozen=True)
class MERTConfig:
    """The shape of a HuBERT that was trained on music, as it is without MERT's own additions."""

    hidden_size: int
    num_layers: int
    num_heads: int
    ffn_size: int
    conv_sizes: tuple[int, ...]
    """channels behind each convolution"""
    conv_kernels: tuple[int, ...]
    conv_strides: tuple[int, ...]
    position_kernel: int
    """of the convolution that tells positions"""
    position_groups: int
    epsilon: float
    sample_rate: int

    @property
    def shortest(self) -> int:
        """Samples that one frame needs."""
        length = 1
        for kernel, stride in zip(self.conv_kernels[::-1], self.conv_strides[::-1], strict=True):
            length = (length - 1) * stride + kernel
        return length


@dataclass(frozen=True)
class StyleConfig:
    """How a style model hears a style: through a bottleneck, as a few vectors a second."""

    hidden_size: int
    num_layers: int
    num_heads: int
    levels: int
    """codebooks, of which the first few may be used: the fewer, the vaguer"""
    codebook_size: int
    stride: int
    """of so many frames of MERT one is kept"""
    mert: MERTConfig

    @property
    def ffn_size(self) -> int:
        return 4 * self.hidden_size


@dataclass(frozen=True)
class MagnetConfig:
    """Of a model that makes a piece at once, by filling in what is masked, and not step by step."""

    span: int
    """frames that are masked, and kept, together"""
    reach: int | None
    """frames on either side that codebooks after the first attend to; None: all"""


@dataclass(frozen=True)
class LongForm:
    """How far a model holds together by itself, where that is less than it was trained to see.

    It begins with one window of `first_frames`. Then, again and again, it hears the last
    `heard_frames` and plays `played_frames` more: what it is told counts most where a window
    begins, and what it has drifted into is forgotten.
    """

    first_frames: int
    heard_frames: int
    played_frames: int


@dataclass(frozen=True)
class LMConfig:
    """The decoder's shape, and how its tokens relate to time and sound."""

    hidden_size: int
    num_layers: int
    num_heads: int
    ffn_size: int
    codebook_size: int
    """tokens 0 … codebook_size − 1; the special token is codebook_size itself"""
    num_codebooks: int
    """K: 4 for mono, 8 for stereo (L1 R1 L2 R2 …)"""
    channels: int
    text_size: int
    """width of the text encoder's states"""
    frame_rate: float
    """frames a second"""
    sample_rate: int
    cross_attention: bool = True
    """whether text is heard in layers of its own; else it is a prefix, as in the models that follow
    a melody or a style"""
    window_frames: int = 1500
    """how many frames the model was trained to see at once: 30 s for the official models"""
    long_form: LongForm | None = None
    """where music longer than that is made in shorter windows, as its checkpoint proposes"""
    chroma: ChromaConfig | None = None
    """of a melody model"""
    style_size: int | None = None
    """of a style model: the width of the vectors that it hears of a style"""
    own_delays: tuple[int, ...] | None = None
    """steps by which each codebook lags, where a checkpoint says so"""
    always_projects_text: bool = False
    """whether text is projected even where its states are as wide as the model"""
    magnet: MagnetConfig | None = None
    """of a MAGNeT, whose pieces are a window long and whose codebooks do not lag"""

    @property
    def special_token(self) -> int:
        return self.codebook_size

    @property
    def head_size(self) -> int:
        return self.hidden_size // self.num_heads

    @property
    def levels(self) -> int:
        """Codebooks of a channel."""
        return self.num_codebooks // self.channels

    @property
    def sound_size(self) -> int | None:
        """Width of what is heard of a sound before the text, if anything is."""
        return self.style_size if self.chroma is None else self.chroma.bins

    @property
    def projects_text(self) -> bool:
        return self.always_projects_text or self.text_size != self.hidden_size

    @property
    def delays(self) -> tuple[int, ...]:
        """Steps by which each codebook lags: [0 1 2 3], or [0 0 1 1 2 2 3 3] for stereo."""
        return self.own_delays or self.usual_delays

    @property
    def usual_delays(self) -> tuple[int, ...]:
        """Where nothing is said."""
        return tuple(k // self.channels for k in range(self.num_codebooks))

    @property
    def max_delay(self) -> int:
        return max(self.delays)

    @property
    def first_frames(self) -> int:
        """Of the first window."""
        return self.window_frames if self.long_form is None else self.long_form.first_frames

    def window_length(self, known: int, position: int) -> int:
        """Frames of a window that hears the last `known` ones before frame `position`, these
        included.
        """
        if self.long_form is None:
            return self.window_frames
        length = min(self.window_frames, known + self.long_form.played_frames)
        return max(length, self.first_frames) if known == position else length

    def prefix_length(self, text_length: int, style_length: int = 0) -> int:
        """Positions that are taken by what the model reads before its first step."""
        if self.cross_attention:
            return 0
        heard = max(1, style_length) if self.chroma is None else self.chroma.frames
        return heard + max(1, text_length)

    def frames(self, duration_s: float) -> int:
        """Whole frames nearest to a duration, at least one.

        Raises Refused if the duration is not a positive number of at most `MAX_DURATION_S`.
        """
        if not (math.isfinite(duration_s) and 0 < duration_s <= MAX_DURATION_S):
            raise Refused(
                "duration",
                got=f"{duration_s} s",
                expected=f"more than 0 and at most {MAX_DURATION_S:g} s",
                remedy="choose a length in between",
            )
        return max(1, round(duration_s * self.frame_rate))


@dataclass(frozen=True)
class T5Config:
    """The text encoder's shape."""

    vocab_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    head_size: int
    ffn_size: int
    activation: str
    """relu, gelu or silu"""
    gated: bool
    """whether the feed-forward is the product of an activated half and a plain one, as in T5 1.1"""
    num_buckets: int
    """of relative positions, whose bias each head learns"""
    max_distance: int
    """from which on all distances share a bucket"""
    epsilon: float


@dataclass(frozen=True)
class CodecConfig:
    """EnCodec's shape. One channel; stereo is two runs."""

    sample_rate: int
    strides: tuple[int, ...]
    """of the decoder, from frames to samples; the encoder's are the same from behind"""
    codebook_size: int
    num_codebooks: int
    """a channel, which the LM uses"""
    hidden_size: int
    """of a latent, and so of a codebook's vectors"""
    num_filters: int
    """channels beside the sound; they double with each stride"""
    compress: int
    """by which a residual block is narrower inside"""
    num_residual_layers: int
    """for each stride"""
    num_lstm_layers: int
    kernel_size: int
    last_kernel_size: int
    residual_kernel_size: int
    dilation_growth: int
    trim_right: float
    """share of a transposed convolution's surplus that is cut off behind, where it is causal"""
    pad_mode: str
    """reflect, constant or replicate"""
    causal: bool
    conv_shortcut: bool
    """whether the way around a residual block has a convolution"""

    @property
    def hop(self) -> int:
        """Samples a frame."""
        return math.prod(self.strides)

    @property
    def frame_rate(self) -> float:
        return self.sample_rate / self.hop


@dataclass(frozen=True)
class ModelConfig:
    """A checkpoint's parts."""

    lm: LMConfig
    text: T5Config
    codec: CodecConfig
    makes: str = MUSIC
    """one of MADE"""
    style: StyleConfig | None = None
    """of a style model"""


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn. Defaults and meaning are audiocraft's."""

    temperature: float = 1.0
    """0: always the likeliest token"""
    top_k: int = 250
    """draw among the k likeliest"""
    top_p: float = 0.0
    """when above 0: draw among the likeliest that together are so probable; replaces top_k"""
    cfg: float = 3.0
    """classifier-free guidance: null + cfg · (conditional − null); 1 switches it off"""
    seed: int | None = None
    """of the noise, drawn anew where it becomes another one; None: the piece's own"""
    guidance_until_s: float = math.inf
    """from this second of the music on cfg is 1, whatever it is before; inf: to the end"""

    def check(self, codebook_size: int) -> None:
        """Raises Refused naming the first setting that is out of range for this vocabulary."""
        rules = (
            ("temperature", self.temperature, 0 <= self.temperature <= 10, "0 to 10"),
            ("top_p", self.top_p, 0 <= self.top_p <= 1, "0 (off) to 1"),
            (
                "top_k",
                self.top_k,
                1 <= self.top_k <= codebook_size,
                f"1 to {codebook_size} (the codebook's size)",
            ),
            ("cfg", self.cfg, 0 <= self.cfg <= 20, "0 to 20"),
            ("seed", self.seed, 0 <= (self.seed or 0) < 2**64, f"0 to {2**64 - 1}"),
            ("guidance_until", self.guidance_until_s, self.guidance_until_s >= 0, "0 s or more"),
        )
        for name, got, fine, expected in rules:
            if not fine:  # NaN fails every comparison, so it lands here too
                raise Refused(
                    name, got=got, expected=expected, remedy="choose a value in that range"
                )


@dataclass(frozen=True)
class Generation:
    """One request: how much music, from which seed, drawn how."""

    frames: int
    """T, the length of the result; a prompt counts as its beginning"""
    seed: int = 0
    """item i of the batch draws from its own generator, seeded seed + i"""
    sampling: Sampling = Sampling()
    overlap_frames: int | None = None
    """how much of the last window the next one hears; None: the model's, else 40 % of a window"""
