"""The Takes tab: what this browser session has made. Nobody else's music ever comes near it."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import gradio as gr

from .create import CreateTab
from .shelf import Shelf
from .take_card import take_card
from .visitors import visitor_of

EMPTY = """<div class="mg-empty"><h2>Your shelf is empty</h2>
<p>Everything that you make on this page is put here: to hear again, to download, to get its
settings back. It is yours alone, and goes when you reload the page,
or after {hours:g} hours.</p></div>"""


def build_takes(shelf: Shelf, create: CreateTab, shelf_changed: gr.State) -> None:
    hours = shelf.keep_s / 3600

    @gr.render(inputs=[shelf_changed], show_progress="hidden")
    def show(_: str, request: gr.Request) -> None:
        takes = shelf.takes(visitor_of(request.session_hash))
        if not takes:
            gr.HTML(EMPTY.format(hours=hours))
        for take in takes:
            take_card(
                take, create.form, restore_label="Restore settings",
                on_delete=_deleter(shelf, take.id), deleted=[shelf_changed],
            )  # fmt: skip


def _deleter(shelf: Shelf, take_id: str) -> Callable[[gr.Request], str]:
    def delete(request: gr.Request) -> str:
        shelf.remove(visitor_of(request.session_hash), take_id)
        return secrets.token_hex(4)

    return delete
