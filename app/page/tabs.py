"""The whole page: three tabs over one studio and one shelf."""

from __future__ import annotations

import gradio as gr

from ..studio.settings import AppSettings
from . import theme
from .create import build_create
from .endpoints import build_endpoints
from .graph import build_graph
from .shelf import Shelf
from .takes import build_takes
from .visitors import Visitors, visitor_of

SWEEP_S = 600

# The browser's own player, which Gradio shows for a stream, has no name; a screen reader needs one.
NAME_LIVE_PLAYER = """() => {
const name = () => document.querySelectorAll("#mg-live audio:not([aria-label])").forEach(
  player => player.setAttribute("aria-label", "Playing while it is made"));
name(); new MutationObserver(name).observe(document.body, {childList: true, subtree: true}); }"""


def build_page(visitors: Visitors, settings: AppSettings, shelf: Shelf) -> gr.Blocks:
    """No model is loaded and nothing is written until somebody presses a button."""
    with gr.Blocks(
        title="MusicGraph", analytics_enabled=False, delete_cache=(SWEEP_S, int(shelf.keep_s))
    ) as page:
        gr.HTML(theme.HEADER)
        shelf_changed = gr.State("")
        with gr.Tabs():
            with gr.Tab("Create", id="create"):
                create = build_create(visitors, shelf, settings, shelf_changed)
            with gr.Tab("Graph", id="graph"):
                build_graph(visitors, shelf, settings)
            with gr.Tab("Takes", id="takes"):
                build_takes(shelf, create, shelf_changed)

        build_endpoints(visitors, shelf, settings)

        def leave(request: gr.Request) -> None:
            visitors.stop(visitor_of(request.session_hash))

        page.unload(leave)
        page.load(None, None, None, js=NAME_LIVE_PLAYER, api_visibility="private")
    page.queue(default_concurrency_limit=None)
    return page
