"""Who may have which model: people name any, clients what is here, visitors what the menu says."""

import pytest
import tiny

from musicgraph.app.page.model_menu import model_choices
from musicgraph.app.studio.models import ModelNotOffered, offers, permitted
from musicgraph.app.studio.settings import AppSettings
from musicgraph.models.weights import places

SMALL = "facebook/musicgen-small"


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """A server that was started with a folder, beside another model in the folder of models."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MUSICGRAPH_MODELS", str(tmp_path / "models"))
    tiny.write_tiny_checkpoint(tmp_path / "own")
    tiny.write_tiny_checkpoint(tmp_path / "models" / "other")
    return AppSettings(model=str(tmp_path / "own"))


def test_the_servers_own_model_comes_first_under_its_name_not_its_path(settings):
    first = permitted(settings, "")
    assert (first.name, first.source, first.is_default) == ("own", settings.model, True)
    assert permitted(settings, "own") == first == offers(settings)[0]
    assert first.on_disk and first.size_bytes > 0


def test_a_client_may_have_what_is_here_and_nothing_is_fetched_for_it(settings):
    assert permitted(settings, "other").source == "other"
    for name in (SMALL, "nobody/nothing", "/etc", "..", settings.model, None, 3, ["own"]):
        with pytest.raises(ModelNotOffered, match="expected one of own"):
            permitted(settings, name)


def test_a_visitor_may_also_have_the_published_ones_and_no_other(settings):
    offer = permitted(settings, SMALL, downloads=True)
    assert (offer.source, offer.on_disk) == (SMALL, False)
    assert {one.name for one in offers(settings, downloads=True) if not one.on_disk} == {
        one.id for one in places.OFFICIAL
    }
    for name in ("nobody/nothing", "/etc", settings.model):
        with pytest.raises(ModelNotOffered):
            permitted(settings, name, downloads=True)


def test_the_menu_says_what_is_downloaded_and_comes_in_that_order(settings):
    labels = {one.name: one.label for one in model_choices(settings)}
    names = list(labels)
    assert names[0] == "own" and names.index("other") < names.index(SMALL)
    assert "downloads" in labels[SMALL] and "not for commercial use" in labels[SMALL]
    assert "downloads" not in labels["other"]
