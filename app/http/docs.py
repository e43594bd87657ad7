"""The API described: the parts of the OpenAPI document that the handlers do not say themselves, and
/docs.

The page is made here, of HTML and nothing else: the usual viewers fetch their scripts from outside
hosts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape
from typing import Any

from ..studio.fields import Fields, body_schema
from ..studio.sounds import WORDS
from .answers import ERROR_SCHEMA
from .joins import RECORDING, RECORDING_WORDS
from .reading import FIELDS_PART, FORM_TYPE

JSON_TYPE = "application/json"
MEANINGS = {
    400: "The body is not a JSON object.",
    401: "The key is missing or wrong, or the server has no keys and the request comes from "
    "another machine.",
    402: "The key has no credits left.",
    404: "No such model, or no such LoRA, here.",
    406: "The Accept header allows none of the formats.",
    413: "The body is too large.",
    415: "The content type is none that this route takes.",
    422: "A field is wrong: what was got, what was expected, and what to do.",
    429: "Too many are waiting; Retry-After says for how long to.",
    500: "The server failed. The answer has an id under which its log has the details.",
    503: "The generation was stopped by the server, or its worker was lost; send it again.",
}
MUSIC_HEADERS = {
    "x-seed": "The seed that was used.",
    "x-model": "The model that was used, percent-encoded.",
    "x-queue-place": "Which in line the request was when it came; 0: it began at once.",
    "x-remaining-credits": "What the key has left. Only on servers with keys.",
    "x-generation-seconds": "Time spent on composing and decoding. Not on streams.",
}
STYLE = """
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin-top: 2.5rem }
table { border-collapse: collapse; width: 100%; margin-top: 1rem; overflow-wrap: anywhere }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem }
th, td { border-bottom: 1px solid #8886 }
pre { white-space: pre-wrap; padding: .8rem; background: #8882; border-radius: .4rem }
"""


def body_of(fields: Fields) -> dict[str, Any]:
    """A route's JSON body."""
    content = {JSON_TYPE: {"schema": body_schema(fields)}}
    return {"openapi_extra": {"requestBody": {"required": True, "content": content}}}


def with_sounds(route: dict[str, Any]) -> dict[str, Any]:
    """The same body also as a form, beside files that the music follows or goes on from."""
    content = route["openapi_extra"]["requestBody"]["content"]
    sounds = {
        name: {"type": "string", "format": "binary", "description": words}
        for name, words in {**WORDS, RECORDING: RECORDING_WORDS}.items()
    }
    fields = {**content[JSON_TYPE]["schema"], "description": "The fields, as JSON."}
    form = {"type": "object", "required": [FIELDS_PART], "properties": {FIELDS_PART: fields}}
    form["properties"] |= sounds
    content[FORM_TYPE] = {"schema": form}
    return route


def answers(
    media_types: Iterable[str], *statuses: int, **other_meanings: str
) -> dict[int | str, dict[str, Any]]:
    """A route's answers: 200 in these types, and errors.

    `_406="…"` gives a status another meaning.
    """
    schemas = {kind: {"schema": _schema_of(kind)} for kind in media_types}
    headers = {
        name: {"description": text, "schema": {"type": "string"}}
        for name, text in MUSIC_HEADERS.items()
    }
    is_music = JSON_TYPE not in schemas
    good = {"description": "Music." if is_music else "What is there.", "content": schemas}
    found: dict[int | str, dict[str, Any]] = {
        200: good | ({"headers": headers} if is_music else {})
    }
    for status in sorted(statuses):
        meaning = other_meanings.get(f"_{status}", MEANINGS[status])
        found[status] = {"description": meaning, "content": {JSON_TYPE: {"schema": ERROR_SCHEMA}}}
    return found


def _schema_of(media_type: str) -> dict[str, Any]:
    return {"type": "object"} if media_type == JSON_TYPE else {"type": "string", "format": "binary"}


# ---------------------------------------------------------------- the page


def page(document: dict[str, Any]) -> str:
    """An OpenAPI document of ours as HTML."""
    routes = "".join(
        _route(method, path, one)
        for path, methods in document["paths"].items()
        for method, one in methods.items()
    )
    info = document["info"]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(info['title'])} API</title><style>{STYLE}</style>"
        f"<h1>{escape(info['title'])} API <small>{escape(info['version'])}</small></h1>"
        f"<p>{escape(info['description'])}</p>"
        f'<p>For programs: <a href="openapi.json">openapi.json</a>.</p>{routes}</html>'
    )


def _route(method: str, path: str, route: dict[str, Any]) -> str:
    content = route.get("requestBody", {}).get("content", {})
    body = content.get(JSON_TYPE, {}).get("schema")
    form = content.get(FORM_TYPE, {}).get("schema")
    rows = [[code, *_answer(answer)] for code, answer in route["responses"].items()]
    return (
        f"<h2><code>{escape(method.upper())} {escape(path)}</code></h2>"
        f"<p>{escape(route['summary'])}.</p>"
        + (_example(path) if body and "prompt" in body["properties"] else "")
        + (_fields(body) if body else "")
        + (_form(path, form) if form else "")
        + _table(["Status", "Meaning", "Body"], rows)
    )


def _example(path: str) -> str:
    body = '{"prompt": "lo-fi music with a soothing melody", "duration": 10, "seed": 42}'
    headers = "-H 'content-type: application/json' -H 'x-api-key: KEY'"
    command = f"curl {headers} -d '{body}' -o music.wav http://HOST:PORT{path}"
    return f"<pre>{escape(command)}</pre>"


def _form(path: str, schema: dict[str, Any]) -> str:
    """How a sound is sent."""
    command = (
        f"curl -H 'x-api-key: KEY' -F '{FIELDS_PART}={{\"prompt\": \"a slow waltz\"}}' "
        f"-F melody=@hummed.wav -o music.wav http://HOST:PORT{path}"
    )
    rows = [[name, one["description"]] for name, one in schema["properties"].items()]
    return (
        f"<p>Or, with a sound to follow, as {FORM_TYPE}:</p><pre>{escape(command)}</pre>"
        + _table(["Part", "Meaning"], rows)
    )


def _fields(schema: dict[str, Any]) -> str:
    rows = [
        [
            name,
            _kind(one),
            "needed" if name in schema["required"] else _default(one),
            one["description"],
        ]
        for name, one in schema["properties"].items()
    ]
    return _table(["Field", "Type", "Default", "Meaning"], rows)


def _kind(schema: dict[str, Any]) -> str:
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    limits = f", {schema['minimum']:g} to {schema['maximum']:g}" if "maximum" in schema else ""
    limits += (
        f", {schema['minimum']:g} to below {schema['exclusiveMaximum']:.0f}"
        if "exclusiveMaximum" in schema
        else ""
    )
    limits += f", at most {schema['maxLength']} characters" if "maxLength" in schema else ""
    limits += f" of at most {schema['maxItems']} texts" if "maxItems" in schema else ""
    return " or ".join(schema["enum"] if "enum" in schema else kinds) + limits


def _default(schema: dict[str, Any]) -> str:
    return json.dumps(schema["default"]) if "default" in schema else "–"


def _answer(answer: dict[str, Any]) -> list[str]:
    return [answer["description"], ", ".join(answer.get("content", {}))]


def _table(heads: list[str], rows: list[list[Any]]) -> str:
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(one))}</td>" for one in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
