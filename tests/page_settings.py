"""What the page's tests share: a server's settings, a request, the graph that comes along."""

from musicgraph.app.page.graph import shipped_workflow
from musicgraph.app.studio.settings import AppSettings
from musicgraph.workflows.registry import node_classes
from musicgraph.workflows.request import Request

SETTINGS = AppSettings(model="tiny")
REQUEST = Request("a calm piano", model="tiny", duration_s=3.0, seed=5)
CLASSES = node_classes()
VISITORS_QUEUE = 2


def api_graph(**sampler):
    prompt = shipped_workflow("text_to_music.json", SETTINGS, CLASSES).prompt
    prompt["3"]["inputs"] |= {"duration": 1.0, **sampler}
    return prompt
