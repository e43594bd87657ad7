"""What the page asks in its first minute: whether the server is warm, the takes that are shipped,
and how the model understands a prompt.

    GET  page/start               whether the model is still being loaded
    GET  page/help                words to choose from, and the takes that are shipped
    GET  page/first/ID            the sound of one of these
    GET  page/words/LANGUAGE      the page's words in another language: English → it
    POST page/prompt              {"prompt", "model"}: tokens, unknown words, advice
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from ...workflows.request import MAX_PROMPT_CHARACTERS
from ..studio.settings import AppSettings
from .first_takes import DURATION_S, FIRST_TAKES
from .live import MEDIA_TYPE
from .prompt_help import look_at, pockets_words
from .routes import NOT_KEPT, in_words, json_body
from .warm_up import WarmUp

LANGUAGES = Path(__file__).with_name("languages")
"""written by `locales/write.py`"""
A_DAY = {"cache-control": "max-age=86400"}


def build_first_routes(settings: AppSettings, warm_up: WarmUp) -> APIRouter:
    """To be included in the server in front of the page."""
    answers = _FirstAnswers(settings, warm_up)
    router = APIRouter(prefix="/page", include_in_schema=False)
    router.add_api_route("/start", in_words(answers.start), methods=["GET"])
    router.add_api_route("/help", in_words(answers.help), methods=["GET"])
    router.add_api_route("/first/{id}", in_words(answers.first), methods=["GET"])
    router.add_api_route("/words/{language}", in_words(answers.words), methods=["GET"])
    router.add_api_route("/prompt", in_words(answers.prompt), methods=["POST"])
    return router


class _FirstAnswers:
    def __init__(self, settings: AppSettings, warm_up: WarmUp):
        self._settings, self._warm_up = settings, warm_up

    async def start(self, http: Request) -> Response:
        return JSONResponse(self._warm_up.look(), headers=NOT_KEPT)

    async def help(self, http: Request) -> Response:
        takes = [{**asdict(take), "id": take.id, "duration_s": DURATION_S} for take in FIRST_TAKES]
        found = {"chips": pockets_words().chips, "takes": takes}
        return JSONResponse(found, headers=A_DAY)

    async def first(self, http: Request) -> Response:
        known = {take.id: take.path for take in FIRST_TAKES}
        path = known.get(http.path_params["id"])
        if path is None:
            return Response(status_code=404)
        return FileResponse(path, media_type=MEDIA_TYPE, headers=A_DAY)

    async def words(self, http: Request) -> Response:
        path = LANGUAGES / f"{http.path_params['language']}.json"
        if path not in LANGUAGES.glob("*.json"):
            return Response(status_code=404)
        return FileResponse(path, media_type="application/json", headers=A_DAY)

    async def prompt(self, http: Request) -> Response:
        given = await json_body(http)
        text = str(given.get("prompt", ""))[:MAX_PROMPT_CHARACTERS]
        model = str(given.get("model", ""))
        found = await run_in_threadpool(look_at, self._settings, text, model)
        return JSONResponse(found, headers=NOT_KEPT)
