"""What each door asks of a request: projections of its one declaration (`workflows/request.py`), by
name.

A door may allow less than the nodes do (a length, a number of takes) and may call a field
otherwise; it checks nothing of its own. pydantic, which is there with FastAPI, is not used for it:
its refusals would have to be translated into ours, and a strict model refuses 250.0 where a whole
number is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...models.config import MAX_DURATION_S, MAX_PARTS
from ...models.quoting import one_line, shown
from ...workflows.inputs import BadInput, InputSpec
from ...workflows.media.formats import FORMATS
from ...workflows.request import Request, request_inputs, seed_for
from .settings import AppSettings

MAX_NAME_CHARACTERS = 200
ENDLESS_S = 24 * 3600.0
LIVE = (
    "prompt", "negative", "model", "precision", "device", "loras", "duration_s", "seed", "cfg",
    "temperature", "top_k", "top_p", "blend_s",
)  # fmt: skip
"""fields of a Request that music which is steered begins with"""
MAX_VARIATIONS = 4
"""that a visitor of the page may ask for at once"""

Fields = Mapping[str, InputSpec]
"""field of a Request (or what goes beside it) → its input, under the name that the door has for
it
"""


# ---------------------------------------------------------------- the doors


def terminal_fields() -> dict[str, InputSpec]:
    """Of `musicgraph generate`. A person at a terminal may ask for whatever the nodes take."""
    fields = _fields(model_words="pocket, a folder, or a hub id such as facebook/musicgen-small.")
    del fields["prompt"]  # an argument, which may be empty
    del fields["loras"]  # --lora, as often as wanted
    return _named(fields, "duration_s blend_s loudness_lufs overlap_s guidance_until_s fade_s")


def row_fields() -> dict[str, InputSpec]:
    """Of a row of `musicgraph batch`: what `musicgraph generate` takes, by the same names."""
    fields = _fields(model_words="pocket, a folder, or a hub id such as facebook/musicgen-small.")
    fields["prompt"] = replace(fields["prompt"], required=False, default="")
    fields["melody"] = _file("melody", "A sound whose tune the music follows.")
    fields["style"] = _file("style", "A sound to sound like.")
    fields["format"] = choice("format", tuple(FORMATS), "The kind of file.")
    return _named(fields, "duration_s blend_s loudness_lufs overlap_s guidance_until_s fade_s")


def _file(name: str, words: str) -> InputSpec:
    return InputSpec(name, "STRING", required=False, default="", has_default=True, tooltip=words)


def all_fields(settings: AppSettings) -> dict[str, InputSpec]:
    """Of POST /v1/generate."""
    fields = _fields(
        settings, model_words="One of GET /v1/models; left out or empty: the default one."
    )
    variations = fields["variations"]
    loras = fields["loras"]
    fields["loras"] = replace(loras, tooltip=f"{loras.tooltip} Names: GET /v1/models.")
    fields["variations"] = replace(
        variations, tooltip=variations.tooltip + " Several come as a ZIP file."
    )
    fields["format"] = choice(
        "format",
        tuple(FORMATS),
        "The kind of file. Left out: what the Accept header asks for, else wav.",
    )
    fields["stream"] = InputSpec(
        "stream", "BOOLEAN", required=False, default=False, has_default=True,
        tooltip="Send the sound while it is being made. One variation, loudness as decoded. A WAV "
        "or FLAC leaves its length open then, and some programs cannot read such a FLAC whole.",
    )  # fmt: skip
    fields |= _join_fields()
    return _named(fields, "duration_s blend_s overlap_s guidance_until_s fade_s")


def _join_fields() -> dict[str, InputSpec]:
    """Of a recording that comes along, and of a loop: `http/joins.py` reads them."""
    number = InputSpec(
        "", "FLOAT", required=False, default=None, has_default=True, may_be_null=True, minimum=0
    )
    text = InputSpec("", "STRING", required=False, default="", has_default=True, max_characters=20)
    return {
        "continue_from": replace(
            number, name="continue_from", tooltip="With a recording (the part audio of a form): "
            "the second from which the music is new; left out: its end.",
        ),
        "region": replace(
            text, name="repaint", tooltip="BEGIN:END in seconds, such as 4:8: make this part of "
            "the recording anew and leave the rest as it is.",
        ),
        "bars": replace(
            text, name="loop", tooltip="Make a loop of so many bars, such as 4bars, to the sample; "
            "the file has its points.",
        ),
        "bpm": replace(
            number, name="bpm", minimum=20.0, maximum=400.0, tooltip="Of the loop; left out: as "
            "the prompt names it, such as 120 bpm.",
        ),
    }  # fmt: skip


def live_fields(settings: AppSettings) -> dict[str, InputSpec]:
    """Of POST /v1/live: what music begins with that is steered while it plays."""
    every = all_fields(settings)
    fields = {name: every[name] for name in LIVE}
    words = "Seconds after which it ends by itself; null: when it is told to, or nobody is there."
    longest = MAX_DURATION_S if settings.api_keys else ENDLESS_S
    fields["duration_s"] = replace(
        fields["duration_s"], maximum=longest, tooltip=words, may_be_null=not settings.api_keys,
        default=MAX_DURATION_S if settings.api_keys else None,
    )  # fmt: skip
    fields["blend_s"] = replace(fields["blend_s"], default=0.0)  # what is said shall be heard
    fields["parts"] = InputSpec(
        "parts", "INT", required=False, default=2, has_default=True, minimum=1, maximum=MAX_PARTS,
        tooltip="How many texts may be mixed at once; each costs a row.",
    )  # fmt: skip
    return fields


def compatible_fields(settings: AppSettings) -> dict[str, InputSpec]:
    """Of POST /v1/meta-musicgen-medium, as clients of that hosted API send them."""
    fields, longest = all_fields(settings), min(30.0, settings.max_duration_s)
    return {
        "prompt": fields["prompt"],
        "duration_s": fields["duration_s"].narrowed(minimum=1.0, maximum=longest),
        "seed": fields["seed"].narrowed(maximum=9999, default=42),
    }  # fmt: skip


def plugin_fields(settings: AppSettings) -> dict[str, InputSpec]:
    """Of the routes of a DAW's plug-in, under its names. A missing text is none."""
    fields = all_fields(settings)
    text, longest = fields["prompt"], settings.max_duration_s
    nothing = {"required": False, "default": "", "has_default": True, "may_be_blank": True}
    prompt = InputSpec(
        "prompt_duration", "FLOAT", required=False, default=6.0, has_default=True,
        minimum=0.1, maximum=longest, tooltip="Seconds of the sound that are listened to.",
    )  # fmt: skip
    return {
        "prompt": replace(text, name="description", **nothing),
        "model": replace(fields["model"], name="model_name"),
        "duration_s": fields["duration_s"].narrowed(default=min(30.0, longest)),
        "seed": fields["seed"],
        "cfg": replace(fields["cfg"], name="cfg_coef"),
        "temperature": fields["temperature"],
        "top_k": fields["top_k"],
        "prompt_s": prompt,
    }


def page_fields(settings: AppSettings) -> dict[str, InputSpec]:
    """Of the page's form, and of what programs may ask of the page."""
    fields = _fields(
        settings, model_words="The name of a model on this server; empty for its usual one."
    )
    fields["variations"] = fields["variations"].narrowed(maximum=MAX_VARIATIONS)
    fields["cfg"] = replace(fields["cfg"], name="guidance")
    return _named(fields, "duration_s blend_s loudness_lufs overlap_s guidance_until_s fade_s")


def choice(name: str, among: tuple[str, ...], words: str, default: str | None = None) -> InputSpec:
    """One of several, which stands beside a request."""
    return InputSpec(
        name, list(among), required=False, default=default, has_default=default is not None,
        choices=among, tooltip=words,
    )  # fmt: skip


def _fields(settings: AppSettings | None = None, *, model_words: str) -> dict[str, InputSpec]:
    fields = dict(request_inputs())
    seed, duration = fields["seed"], fields["duration_s"]
    words = f"{seed.tooltip} -1 draws one, and says which."
    fields["seed"] = seed.narrowed(minimum=-1, default=-1, tooltip=words)
    if settings is not None:
        fields["duration_s"] = duration.narrowed(maximum=settings.max_duration_s)
    model = InputSpec(
        "model", "STRING", required=False, default="", has_default=True,
        tooltip=model_words, max_characters=MAX_NAME_CHARACTERS,
    )  # fmt: skip
    return {
        "prompt": fields.pop("prompt"),
        "negative": fields.pop("negative"),
        "model": model,
        **fields,
    }


def _named(fields: dict[str, InputSpec], plain: str) -> dict[str, InputSpec]:
    """Doors leave out the unit of these names."""
    for name in plain.split():
        fields[name] = replace(fields[name], name=name.rpartition("_")[0])
    return fields


# ---------------------------------------------------------------- reading


def read_fields(fields: Fields, given: Mapping[str, Any]) -> dict[str, Any]:
    """Every field, by its name in a Request, with defaults filled in; `given` has the door's names.

    Raises BadInput for the first thing that is wrong.
    """
    check_known(fields, given)
    return {name: _read(spec, given) for name, spec in fields.items()}


def check_known(fields: Fields, given: Mapping[str, Any]) -> None:
    """Raises BadInput for the first that is no field."""
    known = {spec.name for spec in fields.values()}
    for name in given:
        if name not in known:
            word = one_line(shown(name)[1:-1]) or '""'
            expected = f"only {', '.join(spec.name for spec in fields.values())}"
            got = "a field that is not known"
            raise BadInput(
                "unknown_field", got, word, got=got, expected=expected, remedy="leave it out"
            )


def _read(spec: InputSpec, given: Mapping[str, Any]) -> Any:
    if spec.name in given:
        return spec.read_exactly(given[spec.name])
    if spec.required:
        raise spec.missing("send it")
    return spec.default


def request_of(values: Mapping[str, Any], **more: Any) -> Request:
    """From fields that were read, leaving out what stands beside a request.

    Draws the seed if it is to be drawn.
    """
    own = {name: values[name] for name in Request.__dataclass_fields__ if name in values}
    return Request(**{**own, "seed": seed_for(values["seed"]), **more})


# ---------------------------------------------------------------- describing


def body_schema(fields: Fields) -> dict[str, Any]:
    """The fields as JSON Schema, for OpenAPI 3.1."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [spec.name for spec in fields.values() if spec.required],
        "properties": {spec.name: spec.schema() for spec in fields.values()},
    }
