"""How the page looks: colours taken from the mel spectrogram (ink, plum, raspberry, amber), fonts
of the machine itself.

Nothing here is fetched from anywhere.
"""

from __future__ import annotations

import functools
from pathlib import Path

from gradio import themes

RASPBERRY = themes.Color(
    "#fdf2f7",
    "#fbe3ee",
    "#f7c6dd",
    "#f09bc0",
    "#e3659a",
    "#cf3f7c",
    "#aa2c62",
    "#8d2352",
    "#701d43",
    "#561935",
    "#360d20",
    name="raspberry",
)
AMBER = themes.Color(
    "#fff8ed",
    "#ffeed4",
    "#ffdaa8",
    "#fdc071",
    "#f9a045",
    "#ee7834",
    "#d95f1a",
    "#b44715",
    "#8f3918",
    "#733117",
    "#3e1609",
    name="amber",
)
INK = themes.Color(
    "#faf8fb",
    "#f2eff5",
    "#e5e0ea",
    "#cfc7d7",
    "#9f94ac",
    "#756b83",
    "#574e64",
    "#413a4d",
    "#2a2433",
    "#1b1723",
    "#100d16",
    name="ink",
)
SYSTEM_FONT = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
MONO_FONT = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def theme() -> themes.Base:
    """Gradio's looks with our colours: one long list."""
    return themes.Base(
        primary_hue=RASPBERRY,
        secondary_hue=AMBER,
        neutral_hue=INK,
        radius_size=themes.sizes.radius_lg,
        font=SYSTEM_FONT,
        font_mono=MONO_FONT,
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_900",
        body_text_color_dark="*neutral_100",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        background_fill_primary_dark="*neutral_900",
        background_fill_secondary_dark="*neutral_950",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_width="1px",
        block_border_color="*neutral_200",
        block_border_color_dark="*neutral_800",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_200",
        block_title_text_color="*neutral_800",
        block_title_text_color_dark="*neutral_100",
        block_title_text_weight="600",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        border_color_primary="*neutral_200",
        border_color_primary_dark="*neutral_800",
        input_background_fill="*neutral_50",
        input_background_fill_dark="*neutral_950",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_700",
        input_border_color_focus="*primary_600",
        input_border_color_focus_dark="*secondary_400",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*secondary_400",
        button_primary_background_fill_hover_dark="*secondary_300",
        button_primary_text_color="white",
        button_primary_text_color_dark="*neutral_950",
        button_primary_border_color="*primary_600",
        button_primary_border_color_dark="*secondary_400",
        button_secondary_background_fill="white",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_background_fill_hover_dark="*neutral_700",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_700",
        button_border_width="1px",
        slider_color="*primary_600",
        slider_color_dark="*secondary_400",
        link_text_color="*primary_700",
        link_text_color_dark="*secondary_300",
    )


LOGO = """<svg viewBox="0 0 40 40" width="34" height="34" aria-hidden="true" focusable="false">
<defs><linearGradient id="mg-logo" x1="0" x2="1" y1="1" y2="0">
<stop offset="0" stop-color="#64228f"/>
<stop offset=".5" stop-color="#cf3f7c"/><stop offset="1" stop-color="#f9a045"/>
</linearGradient></defs>
<path d="M6 26 C12 26 12 10 18 10 S22 31 27 31 S30 17 34 17" fill="none" stroke="url(#mg-logo)"
 stroke-width="3.4" stroke-linecap="round"/><circle cx="6" cy="26" r="4.2" fill="#64228f"/>
<circle cx="18" cy="10" r="4.2" fill="#cf3f7c"/>
<circle cx="34" cy="17" r="4.2" fill="#f9a045"/></svg>"""

HEADER = f"""<header class="mg-head">{LOGO}<div><h1>MusicGraph</h1>
<p>Say what you want to hear.</p></div><div id="mg-language"></div></header>"""

HERE = Path(__file__).parent
STYLES = [HERE / f"{name}.css" for name in ("style", "takes", "first", "play", "touch")]
SCRIPTS = (
    "page.js", "languages.js", "share.js", "player.js", "doings.js", "takes.js", "first.js",
    "hand_over.js", "stage.js", "graph.js",
    "play_sound.js", "play_plane.js", "play_midi.js", "play_controls.js", "play.js",
)  # fmt: skip
"""in this order"""


FOOT = """<style>@media (max-width: 640px) {
footer .divider { display: none !important; } footer button { min-height: 44px; } }</style>"""
"""of Gradio's foot, which its way with our styles leaves out; of its links it shows one there"""
HEAD = '<meta name="color-scheme" content="light dark">' + FOOT
"""keeps the theme of the system, and lets ?__theme=dark|light of Gradio do its work"""


@functools.cache
def script() -> str:
    """The page's own, all in one."""
    return "\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS)
