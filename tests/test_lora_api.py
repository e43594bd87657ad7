"""LoRAs asked for over HTTP and on the page: those of the server's own `loras/`, by name alone."""

import json
import shutil
from dataclasses import replace

import gradio as gr
import pytest
from adapters import write_adapter
from http_api import COMPATIBLE, GENERATE, SHORT, error_of, wav
from page_settings import REQUEST, SETTINGS
from upstream import musicgen_model
from workers import AnyWorker

from musicgraph.app.page.create import build_create, compose
from musicgraph.app.page.form import request_from, values_of
from musicgraph.app.page.runs import Runs
from musicgraph.app.page.shelf import Shelf
from musicgraph.app.page.visitors import Visitors
from musicgraph.app.studio.fields import all_fields, page_fields, read_fields, terminal_fields
from musicgraph.app.studio.models import ModelNotOffered
from musicgraph.app.studio.queue import JobQueue
from musicgraph.app.studio.settings import AppSettings
from musicgraph.nodes.lora import MusicGenLoraLoader
from musicgraph.workflows.inputs import BadInput
from musicgraph.workflows.registry import NodeSpec
from musicgraph.workflows.request import Lora

pytest_plugins = ["http_api_fixtures"]
FIELDS = all_fields(AppSettings(model="pocket"))


@pytest.fixture(scope="module")
def tango(model, tmp_path_factory):
    return write_adapter(musicgen_model(model), tmp_path_factory.mktemp("loras") / "tango")


@pytest.fixture
def offered(tango, model, tmp_path, monkeypatch):
    """A server's folder of models, with one LoRA."""
    shutil.copytree(tango, tmp_path / "loras" / "tango")
    shutil.copytree(model, tmp_path / "tiny")
    monkeypatch.setenv("MUSICGRAPH_MODELS", str(tmp_path))
    return tmp_path


# ---------------------------------------------------------------- the field


@pytest.mark.parametrize("text", ["tango", "tango:0.25", "a:5", "a:b", "t:1e-05"])
def test_a_lora_is_written_as_it_is_read(text):
    lora = Lora.parse(text)
    assert Lora.parse(str(lora)) == lora
    assert Lora.parse(str(Lora(text))) == Lora(text), "also where a name ends like a strength"


def test_names_are_read_with_their_strength_and_none_is_no_lora():
    read = read_fields(FIELDS, {"prompt": "x", "loras": ["tango:0.5", " radio "]})
    assert read["loras"] == (Lora("tango", 0.5), Lora("radio"))
    assert read_fields(FIELDS, {"prompt": "x"})["loras"] == ()


@pytest.mark.parametrize(
    "value",
    ["tango", None, {"tango": 1}, [7], [""], ["x:nan"], ["x:4.5"], ["x" * 201], ["x"] * 9],
)
def test_what_is_no_list_of_names_is_refused_by_the_fields_name(value):
    with pytest.raises(BadInput) as refused:
        read_fields(FIELDS, {"prompt": "x", "loras": value})
    assert refused.value.what == "loras"
    assert "expected a list of at most 8 texts, NAME or NAME:STRENGTH from -4 to 4" in str(
        refused.value
    )


def test_the_schema_is_a_list_of_texts_and_strengths_are_the_nodes():
    spec = FIELDS["loras"]
    assert spec.strength == NodeSpec.of("x", MusicGenLoraLoader).inputs["strength"]
    assert json.loads(json.dumps(spec.schema())) == {
        "type": "array", "maxItems": 8, "default": [], "description": spec.tooltip,
        "items": {"type": "string", "minLength": 1, "maxLength": 200},
    }  # fmt: skip
    assert "loras" not in terminal_fields(), "--lora is an option of its own, for folders too"


# ---------------------------------------------------------------- HTTP


def test_a_lora_is_listed_and_heard_and_at_strength_0_it_is_not(client, offered):
    body = {**SHORT, "model": "tiny"}
    plain, heard, off = (
        wav(client.post(GENERATE, json={**body, "loras": loras})).tobytes()
        for loras in ([], ["tango"], ["tango:0"])
    )
    assert plain == off != heard
    listed = client.get("/v1/models").json()["loras"]
    assert [one["name"] for one in listed] == ["tango"] and listed[0]["size_bytes"] > 0
    assert str(offered) not in json.dumps(listed)


@pytest.mark.parametrize("name", ["nowhere", "../loras/tango", "{offered}/loras/tango", "{tango}"])
def test_a_name_that_is_not_there_and_a_path_are_not_found(client, offered, tango, name):
    name = name.format(offered=offered, tango=tango)
    error = error_of(client.post(GENERATE, json={**SHORT, "loras": [name]}), 404)
    assert "loras: got" in error["message"] and "expected one of tango" in error["message"]


def test_where_there_is_none_the_answer_says_so(client, tmp_path, monkeypatch):
    monkeypatch.setenv("MUSICGRAPH_MODELS", str(tmp_path))
    error = error_of(client.post(GENERATE, json={**SHORT, "loras": ["tango"]}), 404)
    assert "this server has no LoRA" in error["message"]


def test_one_of_another_model_is_refused_without_a_path(client, offered, stereo):
    shutil.copytree(stereo.folder, offered / "stereo")
    body = {**SHORT, "model": "stereo", "top_k": 50, "loras": ["tango"]}
    write_adapter(musicgen_model(stereo.folder), offered / "loras" / "wide", r=4, target_modules=[
        "lm_heads.7"])  # fmt: skip
    error = error_of(client.post(GENERATE, json={**body, "model": "tiny", "loras": ["wide"]}), 422)
    assert "which this model does not have" in error["message"]
    assert str(offered) not in error["message"]


def test_a_field_of_the_wrong_kind_is_named_and_the_compatible_route_knows_none(client):
    error = error_of(client.post(GENERATE, json={**SHORT, "loras": "tango"}), 422)
    assert error["field"] == "loras"
    error = error_of(client.post(COMPATIBLE, json={"prompt": "x", "loras": []}), 422)
    assert error["field"] == "loras" or "loras" in error["message"]


def test_the_documents_know_the_field(client):
    schema = client.get("/openapi.json").json()["paths"][GENERATE]["post"]["requestBody"]
    fields = schema["content"]["application/json"]["schema"]["properties"]
    assert fields["loras"]["items"]["type"] == "string" and fields["loras"]["default"] == []
    assert "array of at most 8 texts" in client.get("/docs").text


# ---------------------------------------------------------------- the page


def tab_of():
    with gr.Blocks():
        return build_create(Runs(JobQueue(AnyWorker())), Shelf(), SETTINGS)


def test_the_form_asks_for_loras_where_there_are_some(offered, tmp_path, monkeypatch):
    widget = tab_of().widgets["loras"]
    assert [name for name, _ in widget.choices] == ["tango"] and widget.multiselect
    monkeypatch.setenv("MUSICGRAPH_MODELS", str(tmp_path / "nowhere"))
    assert "loras" not in tab_of().widgets


def test_what_the_form_holds_is_the_request_and_back():
    fields = page_fields(SETTINGS)
    request = replace(REQUEST, loras=(Lora("tango", 0.5), Lora("radio")))
    values = values_of(fields, request)
    assert values["loras"] == ["tango:0.5", "radio"]
    quiet = {"loud": False}
    assert request_from(fields, {**values, **quiet}) == request
    assert request_from(fields, {**values, **quiet, "loras": None}).loras == ()


def test_a_take_is_made_with_it_and_another_folder_is_not_opened(offered, tango, tmp_path):
    queue = JobQueue(AnyWorker())
    visitors, shelf = Visitors(queue), Shelf(tmp_path / "shelf")
    asked = replace(REQUEST, duration_s=1.0, loras=(Lora("tango", 0.5),))
    *_, last = compose(visitors, shelf, SETTINGS, "anna", asked)
    (loader,) = [
        node for node in json.loads(last.music.tags[0]["prompt"]).values()
        if node["class_type"] == "MusicGenLoraLoader"
    ]  # fmt: skip
    assert (loader["inputs"]["adapter"], loader["inputs"]["strength"]) == ("tango", 0.5)
    with pytest.raises(ModelNotOffered, match="loras: got"):
        next(compose(visitors, shelf, SETTINGS, "anna", replace(asked, loras=(Lora(str(tango)),))))
    queue.close()
