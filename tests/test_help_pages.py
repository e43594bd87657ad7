"""The help pages say what the nodes are: every input with its type, default and range, and every
output.
"""

import re
from pathlib import Path

import pytest

from musicgraph.nodes import NODE_CLASS_MAPPINGS

PAGES = Path(__file__).parents[1] / "web" / "docs"
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
LISTED_WHEN_ASKED = {
    ("MusicGenModelLoader", "model"),
    ("MusicGenLoraLoader", "adapter"),
}  # what lies on this machine: no page can name it

ENTRY = r"- (?P<name>`\w+`) \((?P<type>`[\w*]+`)(, (?P<default>`[^`]+`|empty))?\): (?P<words>.+)"

every_node = pytest.mark.parametrize("node_id", sorted(NODE_CLASS_MAPPINGS))


def declared_inputs(node_class):
    """(name, type or choices, options) of required and optional inputs, in their order."""
    kinds = node_class.INPUT_TYPES()
    return [
        (name, entry[0], entry[1] if len(entry) > 1 else {})
        for kind in ("required", "optional")
        for name, entry in kinds.get(kind, {}).items()
    ]


def page(node_id):
    path = PAGES / f"{node_id}.md"
    assert path.is_file(), f"{node_id} has no help page: write web/docs/{node_id}.md"
    return path.read_text(encoding="utf-8")


def section(text, title):
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"the page has no section {title!r}"
    return found[1]


def rows(text, title):
    """The list of a section: name, type and default of each entry ("–" for none), and its words."""
    lines = [line for line in section(text, title).splitlines() if line.startswith("- ")]
    found = [re.fullmatch(ENTRY, line) for line in lines]
    assert all(found), f"{title}: write - `name` (`TYPE`, `default`): what it does"
    return [[one["name"], one["type"], one["default"] or "–", one["words"]] for one in found]


def numbers(text):
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", text)]


@every_node
def test_every_node_says_what_it_does(node_id):
    node_class = NODE_CLASS_MAPPINGS[node_id]
    assert node_class.DESCRIPTION.strip()
    assert node_class.TITLE.strip()


@every_node
def test_every_input_and_output_has_a_tooltip(node_id):
    node_class = NODE_CLASS_MAPPINGS[node_id]
    silent = [
        name
        for name, _, options in declared_inputs(node_class)
        if not options.get("tooltip", "").strip()
    ]
    assert not silent
    assert (
        len(node_class.RETURN_TYPES)
        == len(node_class.RETURN_NAMES)
        == len(node_class.OUTPUT_TOOLTIPS)
    )
    assert all(tooltip.strip() for tooltip in node_class.OUTPUT_TOOLTIPS)


@every_node
def test_the_page_is_headed_by_the_nodes_title(node_id):
    assert page(node_id).splitlines()[0] == f"# {NODE_CLASS_MAPPINGS[node_id].TITLE}"


@every_node
def test_the_page_lists_the_inputs_of_the_node_in_their_order(node_id):
    named = [row[0] for row in rows(page(node_id), "Inputs")]
    assert named == [f"`{name}`" for name, _, _ in declared_inputs(NODE_CLASS_MAPPINGS[node_id])]


@every_node
def test_the_page_gives_the_type_default_and_range_of_each_input(node_id):
    for (name, kind, options), row in zip(
        declared_inputs(NODE_CLASS_MAPPINGS[node_id]), rows(page(node_id), "Inputs"), strict=True
    ):
        choices = kind if isinstance(kind, list) else []
        type_name = "COMBO" if isinstance(kind, list) else kind
        has_default = type_name in WIDGETS and name != "adapter"  # there may be none
        default = f"`{options['default']}`" if has_default else "–"
        default = "empty" if default == "``" else default
        assert row[1:3] == [f"`{type_name}`", default], name
        limits = [float(options[limit]) for limit in ("min", "max") if limit in options]
        assert set(limits) <= set(numbers(row[3])), (
            f"{name}: the page does not give the range {limits}"
        )
        if (node_id, name) not in LISTED_WHEN_ASKED:
            assert [choice for choice in choices if f"`{choice}`" not in row[3]] == [], name


@every_node
def test_the_page_says_which_inputs_are_optional(node_id):
    optional = NODE_CLASS_MAPPINGS[node_id].INPUT_TYPES().get("optional", {})
    for row in rows(page(node_id), "Inputs"):
        assert row[3].startswith("Optional.") == (row[0].strip("`") in optional), row[0]


@every_node
def test_the_page_lists_the_outputs_of_the_node(node_id):
    node_class = NODE_CLASS_MAPPINGS[node_id]
    expected = [
        [f"`{name}`", f"`{kind}`"]
        for name, kind in zip(node_class.RETURN_NAMES, node_class.RETURN_TYPES, strict=True)
    ]
    assert [row[:2] for row in rows(page(node_id), "Outputs")] == expected


@every_node
def test_nothing_on_the_page_is_wider_than_the_side_panel(node_id):
    """In which tables are cut off; lists and words flow."""
    text = page(node_id)
    assert not [line for line in text.splitlines() if line.startswith("|")]
    assert max(len(word) for word in text.split()) < 60


@every_node
def test_the_page_helps_beyond_the_lists(node_id):
    for title in ("Tips", "Common errors", "Usually connected to"):
        assert section(page(node_id), title).strip()


def test_there_is_no_page_without_a_node():
    """A page that ComfyUI would never show is a renamed node or a slip of the pen."""
    assert {path.stem for path in PAGES.glob("*.md")} == set(NODE_CLASS_MAPPINGS)
