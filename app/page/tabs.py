"""The whole page: four tabs over one studio and one shelf."""

from __future__ import annotations

import gradio as gr

from ..studio.settings import AppSettings
from . import theme
from .create import build_create, remember_form
from .endpoints import build_endpoints
from .graph_tab import build_graph
from .play import build_play
from .runs import Runs
from .shelf import Shelf
from .visitors import Visitors, visitor_of

SWEEP_S = 600


def build_page(visitors: Visitors, settings: AppSettings, shelf: Shelf, runs: Runs) -> gr.Blocks:
    """No model is loaded and nothing is written until somebody presses a button."""
    with gr.Blocks(
        title="MusicGraph", analytics_enabled=False, delete_cache=(SWEEP_S, int(shelf.keep_s))
    ) as page:
        gr.HTML(theme.HEADER)
        with gr.Tabs():
            with gr.Tab("Create", id="create", elem_id="mg-tab-create"):
                form = build_create(runs, shelf, settings)
            with gr.Tab("Play", id="play", elem_id="mg-tab-play"):
                build_play()
            with gr.Tab("Graph", id="graph", elem_id="mg-tab-graph") as graph:
                build_graph(graph, visitors, shelf, settings, runs)
            with gr.Tab("Takes", id="takes", elem_id="mg-tab-takes"):
                gr.HTML('<div id="mg-library"></div>')  # filled by `takes.js`

        build_endpoints(visitors, shelf, settings)

        def leave(request: gr.Request) -> None:
            visitors.stop(visitor_of(request.session_hash))

        page.unload(leave)
        remember_form(page, form, shelf)
    page.queue(default_concurrency_limit=None)
    return page
