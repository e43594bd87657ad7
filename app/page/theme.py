"""How the page looks: colours taken from the mel spectrogram (ink, plum, raspberry, amber), fonts of the machine itself.

Nothing here is fetched from anywhere.
"""

from __future__ import annotations

from gradio import themes

RASPBERRY = themes.Color(
    "#fdf2f7", "#fbe3ee", "#f7c6dd", "#f09bc0", "#e3659a", "#cf3f7c",
    "#aa2c62", "#8d2352", "#701d43", "#561935", "#360d20", name="raspberry",
)  # fmt: skip
AMBER = themes.Color(
    "#fff8ed", "#ffeed4", "#ffdaa8", "#fdc071", "#f9a045", "#ee7834",
    "#d95f1a", "#b44715", "#8f3918", "#733117", "#3e1609", name="amber",
)  # fmt: skip
INK = themes.Color(
    "#faf8fb", "#f2eff5", "#e5e0ea", "#cfc7d7", "#9f94ac", "#756b83",
    "#574e64", "#413a4d", "#2a2433", "#1b1723", "#100d16", name="ink",
)  # fmt: skip
SYSTEM_FONT = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
MONO_FONT = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def theme() -> themes.Base:
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
<defs><linearGradient id="mg-logo" x1="0" x2="1" y1="1" y2="0"><stop offset="0" stop-color="#64228f"/>
<stop offset=".5" stop-color="#cf3f7c"/><stop offset="1" stop-color="#f9a045"/></linearGradient></defs>
<path d="M6 26 C12 26 12 10 18 10 S22 31 27 31 S30 17 34 17" fill="none" stroke="url(#mg-logo)" stroke-width="3.4"
 stroke-linecap="round"/><circle cx="6" cy="26" r="4.2" fill="#64228f"/><circle cx="18" cy="10" r="4.2" fill="#cf3f7c"/>
<circle cx="34" cy="17" r="4.2" fill="#f9a045"/></svg>"""

HEADER = f"""<header class="mg-head">{LOGO}<div><h1>MusicGraph</h1>
<p>Say what you want to hear.</p></div></header>"""

EMPTY_STAGE = """<div class="mg-empty">
<svg viewBox="0 0 320 90" aria-hidden="true" focusable="false"><defs><linearGradient id="mg-wave" gradientUnits="userSpaceOnUse" x1="0" x2="320" y1="0" y2="0">
<stop offset="0" stop-color="#64228f"/><stop offset=".5" stop-color="#cf3f7c"/><stop offset="1" stop-color="#f9a045"/>
</linearGradient></defs><g fill="url(#mg-wave)">{bars}</g></svg>
<h2>Nothing to hear yet</h2>
<p>Write a few words about style, instruments and mood, or take one of the ideas, and press <b>Generate</b>.
You hear the music while it is being made.</p></div>"""


def empty_stage() -> str:
    """What the stage shows before the first music: a still wave, and what to do."""
    from math import sin

    heights = [
        8 + 30 * abs(sin(i * 0.37) * sin(i * 0.11 + 0.6)) + 14 * abs(sin(i * 1.7))
        for i in range(53)
    ]
    bars = "".join(
        f'<rect x="{4 + 6 * i}" y="{45 - h / 2:.1f}" width="3" height="{h:.1f}" rx="1.5"/>'
        for i, h in enumerate(heights)
    )
    return EMPTY_STAGE.replace("{bars}", bars)


# Keeps the theme of the system, and lets ?__theme=dark|light of Gradio do its work. No script from anywhere else.
HEAD = '<meta name="description" content="Text to music on your own machine"><meta name="color-scheme" content="light dark">'

CSS = """
.gradio-container { width: 100% !important; max-width: 1240px !important; margin: 0 auto !important; padding: 6px 8px 20px !important; }
.gradio-container .main.fillable { padding: 4px 8px !important; width: 100%; }
.gradio-container :is(.main, .wrap, .contain, .tabs, .tabitem, .column) { min-width: 0; }
.html-container { padding: 0 !important; }
.mg-head { display: flex; align-items: center; gap: 12px; padding: 2px 4px 0; }
.mg-head h1 { font-size: 1.35rem; font-weight: 750; letter-spacing: -.02em; margin: 0; line-height: 1.1; }
.mg-head p { margin: 1px 0 0; color: var(--body-text-color-subdued); font-size: .9rem; }
footer { opacity: .75; }

/* Create: words and button, stage, settings. On a phone one below the other in this order. */
#mg-create { display: grid; gap: 14px; grid-template-columns: minmax(0, 1fr);
  grid-template-areas: "ask" "stage" "settings"; }
#mg-ask { grid-area: ask; min-width: 0; } #mg-stage { grid-area: stage; min-width: 0; }
#mg-settings { grid-area: settings; min-width: 0; }
@media (min-width: 860px) {
  #mg-create { grid-template-columns: minmax(0, 5fr) minmax(0, 6fr); grid-template-rows: auto 1fr;
    grid-template-areas: "ask stage" "settings stage"; column-gap: 20px; }
}
#mg-ask, #mg-settings, #mg-stage { gap: 10px !important; }
#mg-prompt textarea { font-size: 1.08rem; line-height: 1.45; }
#mg-ideas { gap: 6px !important; flex-wrap: nowrap !important; overflow-x: auto; scrollbar-width: none;
  padding: 3px; margin: -3px; }
#mg-ideas::-webkit-scrollbar { display: none; }
#mg-ideas button { flex: 0 0 auto; min-width: 0 !important; width: auto; border-radius: 999px; font-weight: 500;
  font-size: .86rem; padding: 5px 12px; }
@media (min-width: 860px) { #mg-ideas { flex-wrap: wrap !important; } }
#mg-go { gap: 8px !important; flex-wrap: nowrap !important; }
#mg-go button { min-width: 0 !important; font-weight: 650; }
#mg-stop { flex: 0 0 92px !important; }
#mg-seed-row { display: grid; grid-template-columns: minmax(0, 1fr) auto minmax(0, 1.25fr); gap: 8px; align-items: stretch; }
#mg-seed-row > * { min-width: 0 !important; }
#mg-dice-col { gap: 6px !important; justify-content: center; }
#mg-dice-col button { font-size: .84rem; padding: 6px 10px; white-space: nowrap; min-width: 0 !important; }
#mg-variations .wrap { flex-wrap: nowrap; gap: 4px; }
#mg-variations label { padding: 7px 8px; flex: 1; justify-content: center; gap: 5px; } #mg-variations label span { margin: 0; }
#mg-live audio { width: 100%; height: 40px; }

.mg-empty { text-align: center; padding: 34px 26px 38px; border: 1px dashed var(--border-color-primary);
  border-radius: 16px; background: var(--block-background-fill); }
.mg-empty svg { display: block; margin: 0 auto; width: min(320px, 80%); height: auto; opacity: .9; }
.mg-empty h2 { font-size: 1.15rem; margin: 14px 0 4px; font-weight: 650; }
.mg-empty p { max-width: 44ch; margin: 0 auto; color: var(--body-text-color-subdued); line-height: 1.5; }

.mg-note { display: grid; grid-template-columns: auto 1fr; gap: 2px 10px; align-items: baseline; padding: 11px 15px;
  border-radius: 13px; background: var(--block-background-fill); border: 1px solid var(--border-color-primary); }
.mg-note span { color: var(--body-text-color-subdued); font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.mg-note.error { border-color: #c0392b; background: color-mix(in srgb, #c0392b 9%, var(--block-background-fill)); }
.mg-note.error span { color: var(--body-text-color); grid-column: 1 / -1; }
.mg-note.busy b::before { content: ""; display: inline-block; width: 9px; height: 9px; border-radius: 50%;
  margin-right: 9px; background: var(--slider-color); animation: mg-pulse 1.3s ease-in-out infinite; }
@keyframes mg-pulse { 50% { opacity: .25; transform: scale(.75); } }
.mg-bar { grid-column: 1 / -1; height: 6px; border-radius: 3px; margin-top: 6px; overflow: hidden;
  background: var(--border-color-primary); }
.mg-bar span { display: block; height: 100%; border-radius: 3px; transition: width .25s linear;
  background: linear-gradient(90deg, #64228f, #cf3f7c 50%, #f9a045); }

.mg-take { flex-grow: 0 !important; border: 1px solid var(--border-color-primary); border-radius: 16px; padding: 12px !important;
  background: var(--block-background-fill); gap: 8px !important; }
.mg-take .block { border: 0 !important; }
.mg-title { display: flex; flex-wrap: wrap; gap: 2px 12px; align-items: baseline; padding: 0 2px; }
.mg-title b { font-weight: 650; overflow-wrap: anywhere; }
.mg-title span { color: var(--body-text-color-subdued); font-size: .86rem; font-variant-numeric: tabular-nums; }
.mg-picture { display: block; width: 100%; height: 92px; object-fit: fill; border-radius: 10px; }
.mg-actions { gap: 6px !important; }
.mg-actions button, .mg-actions a { min-width: 0 !important; white-space: nowrap; font-size: .86rem; padding: 6px 10px; }
.mg-actions .mg-restore { flex: 2 1 auto !important; }
.mg-settings-list { display: flex; flex-wrap: wrap; gap: 4px 6px; }
.mg-settings-list span { font-size: .8rem; padding: 2px 9px; border-radius: 999px; background: var(--background-fill-secondary);
  border: 1px solid var(--border-color-primary); color: var(--body-text-color-subdued); font-variant-numeric: tabular-nums; }
.dark { --color-accent: var(--secondary-400); }
.dark input[type=range] { --neutral-200: var(--neutral-700); }

/* Graph */
.mg-fields .form { display: grid; grid-template-columns: repeat(auto-fit, minmax(205px, 1fr)); gap: 8px 18px; border: 0;
  background: none; box-shadow: none; align-items: start; }
.mg-fields .mg-wide { grid-column: 1 / -1; }
.mg-fields .block { border: 0 !important; padding: 9px 2px 4px !important; background: none !important; min-width: 0 !important; }
.mg-fields .head { display: block; position: relative; } .mg-fields .head .tab-like-container { position: absolute; top: -5px; right: 0; }
#mg-drop .icon-wrap { display: none; } #mg-drop .wrap { padding-top: 22px; font-size: .92rem; }
#mg-graph-body { align-items: start; } #mg-graph-picture { max-width: 100%; min-width: 0; }
@media (max-width: 859px) { #mg-graph-body { flex-direction: column; } #mg-graph-body > * { width: 100%; flex: none; }
  #mg-graph-run { order: -1; } }
#mg-run-row { gap: 8px !important; } #mg-graph-stop { flex: 0 0 92px !important; min-width: 0 !important; }
.mg-graph { overflow: auto; contain: inline-size; border: 1px solid var(--border-color-primary); border-radius: 16px;
  background: radial-gradient(circle, var(--border-color-primary) 1px, transparent 1.2px) 0 0 / 22px 22px,
  var(--block-background-fill); }
.mg-graph svg { display: block; width: 100%; height: auto; max-height: 430px; min-width: 560px; }
.mg-graph text { font-family: var(--font); fill: var(--body-text-color); }
.mg-graph .box { fill: var(--block-background-fill); stroke: var(--input-border-color); stroke-width: 1.5; }
.mg-graph .head { fill: var(--background-fill-secondary); }
.mg-graph .small { fill: var(--body-text-color-subdued); }
.mg-graph .at-work .box { stroke: var(--slider-color); stroke-width: 4; }
.mg-graph .done .box { stroke: #2e9e6b; stroke-width: 3; }
.mg-graph .broken .box { stroke: #c0392b; stroke-width: 4; }

:is(button, a, input, textarea, select, [tabindex="0"]):focus-visible { outline: 3px solid var(--slider-color) !important;
  outline-offset: 2px; }
@media (max-width: 620px) {
  .gradio-container { padding: 2px 0 16px !important; }
  .mg-head p { display: none; }
  #mg-seed-row { grid-template-columns: minmax(0, 1fr) auto; } #mg-variations { grid-column: 1 / -1; }
  #mg-choose { flex-direction: column; } #mg-choose > * { width: 100%; flex: none; }
  .mg-empty { padding: 18px 16px 22px; }
  .mg-empty svg { display: block; margin: 0 auto; width: 60%; }
}
@media (prefers-reduced-motion: reduce) { .mg-note.busy b::before { animation: none; } .mg-bar span { transition: none; } }
"""
