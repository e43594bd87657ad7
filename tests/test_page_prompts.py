"""Graphs made by us, and what ComfyUI's page (frontend 1.58.1) posts for each: ours is the same.

`graphs/NAME.json` has both. They were made by a script, loaded into the page with the nodes that
are registered here, and are kept as it posted them; those whose name begins with `made` were made
in the page itself, by its own functions.
"""

import json
from pathlib import Path

import pytest
from fakes import opened

from musicgraph.workflows.overrides import Override, with_overrides
from musicgraph.workflows.reader import Document, read_document
from musicgraph.workflows.registry import node_classes

GRAPHS = sorted((Path(__file__).parent / "graphs").glob("*.json"))
OURS_ALONE = {
    "subgraph_primitive": ("2:31", "volume", -20),  # said by a primitive outside, lost by the page
    "group_primitive": ("2:1", "volume", -30),  # shown by a group, lost when it becomes a subgraph
    "subgraph_seed": ("5", "filename_prefix", "4321/x"),  # the page names the seed before this one
}
"""where ours has the value that the page shows, and the page another"""

each_graph = pytest.mark.parametrize("path", GRAPHS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def classes():
    return node_classes()


def loaded(path):
    both = json.loads(path.read_text(encoding="utf-8"))
    return both["workflow"], both["prompt"]


def meaning(prompt):
    """What each node that nothing follows computes, whatever the ids are."""

    def of(node_id):
        node = prompt[node_id]
        inputs = {
            name: (of(value[0]), value[1]) if isinstance(value, list) else _one_number(value)
            for name, value in node["inputs"].items()
        }
        return node["class_type"], sorted(inputs.items())

    values = [value for node in prompt.values() for value in node["inputs"].values()]
    followed = {value[0] for value in values if isinstance(value, list)}
    return sorted(map(repr, map(of, prompt.keys() - followed)))


def plain(prompt):
    return {node_id: (one["class_type"], one["inputs"]) for node_id, one in prompt.items()}


def _one_number(value):
    return float(value) if isinstance(value, int) else value


def that_can_run(prompt):
    """The server refuses an output of which a part is muted; ours leaves it out."""
    savers = [i for i, node in prompt.items() if "Save" in node["class_type"]]
    cut_off = [i for i in savers if not {"audio", "video"} & prompt[i]["inputs"].keys()]
    return {node_id: node for node_id, node in prompt.items() if node_id not in cut_off}


def test_there_are_graphs():
    assert len(GRAPHS) > 30 and OURS_ALONE.keys() <= {path.stem for path in GRAPHS}


@each_graph
def test_what_runs_is_what_the_page_posts(path, classes):
    workflow, prompt = loaded(path)
    ours, posted = opened(Document(ui=workflow), classes).prompt, that_can_run(prompt)
    node_id, name, value = OURS_ALONE.get(path.stem, ("", "", None))
    if node_id:
        assert ours[node_id]["inputs"][name] == value
        theirs = posted.get(node_id, posted.get("9:6"))["inputs"][name]
        assert theirs != value
        ours[node_id]["inputs"][name] = theirs
    if path.stem.startswith("group"):  # the page draws them anew, as subgraphs with other ids
        assert meaning(ours) == meaning(posted)
    else:
        assert plain(ours) == plain(posted)


@each_graph
def test_a_value_set_anywhere_is_in_the_document_or_the_document_is_left_out(path, classes):
    workflow = opened(Document(ui=loaded(path)[0]), classes)
    for node in workflow.graph:
        for name, value in node.widgets.items():
            if isinstance(value, int):
                changed = with_overrides(workflow, [Override(node.id, name, value + 1)])
                again = changed.as_document()
                assert opened(again, classes).graph[node.id].inputs[name] == value + 1
                if changed.ui is not None:
                    assert opened(Document(ui=changed.ui), classes).graph == changed.graph


IN_THE_PICTURE = {
    "subgraph_twice": ("2:31", "volume"),
    "subgraph_inner_value": ("2:31", "volume"),
    "subgraph_nested": ("2:67:31", "volume"),
    "subgraph_proxies": ("2:41", "volume"),
    "subgraph_proxies_own": ("2:31", "volume"),
    "subgraph_seed": ("3:21", "seed"),
    "version_1": ("2", "volume"),
}


@pytest.mark.parametrize("name", IN_THE_PICTURE)
def test_a_value_set_inside_stands_where_the_page_shows_it(name, classes):
    workflow = opened(Document(ui=loaded(GRAPHS[0].with_name(f"{name}.json"))[0]), classes)
    node_id, widget = IN_THE_PICTURE[name]
    changed = with_overrides(workflow, [Override(node_id, widget, -40 if widget != "seed" else 40)])
    assert changed.ui is not None
    assert opened(Document(ui=changed.ui), classes).graph == changed.graph


def test_a_file_of_the_two_is_read(tmp_path, classes):
    path = tmp_path / "both.json"
    path.write_bytes(GRAPHS[0].read_bytes())
    document = read_document(path)
    assert document.api == loaded(GRAPHS[0])[1] and document.ui == loaded(GRAPHS[0])[0]
