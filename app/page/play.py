"""The Play tab: an instrument. `play.js` builds all of it in the place that is made here."""

from __future__ import annotations

import gradio as gr


def build_play() -> None:
    gr.HTML('<div id="mg-play"></div>')
