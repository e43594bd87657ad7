"""The first minute in a real browser: takes that are there, words to choose from, what is said
before the press, other languages, and what a checker of accessibility finds.
"""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from pagesite import DESK, PHONE

from musicgraph.app.page.first_takes import FIRST_TAKES

pytestmark = pytest.mark.browser

pytest_plugins = ["browser_fixtures"]
BOX = "#mg-prompt textarea"
TABS = ("create", "play", "graph", "takes")
GRADIOS_OWN = {"image-redundant-alt": "img", "label-content-name-mismatch": ".upload-container"}
"""rule → what it is about, where Gradio's own widgets break it"""
SIZES = [DESK, PHONE, {"width": 320, "height": 640}, {"width": 2560, "height": 1200}]


def open_tab(someone, tab):
    someone.page.locator(f"[role=tab][data-tab-id={tab}]").click()
    someone.page.wait_for_timeout(500)


def ours(found):
    """(rule, what) of violations that are not Gradio's own."""
    for violation in found["violations"]:
        for node in violation["nodes"]:
            target = " ".join(map(str, node["target"]))
            if GRADIOS_OWN.get(violation["id"], "nothing") not in target:
                yield violation["id"], target


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES[:3], ids=lambda size: str(size["width"]))
def test_a_checker_of_accessibility_finds_nothing_that_is_ours(visit, scheme, size):
    someone = visit(scheme=scheme, size=size)
    someone.page.get_by_role("button", name="Style").click()
    someone.generate("house", duration=2)
    row = someone.page.locator("#mg-takes .mg-take[data-take]").first
    row.get_by_role("button", name="Loop …").click()
    checker = Axe()
    for tab in TABS:
        open_tab(someone, tab)
        assert list(ours(checker.run(someone.page).response)) == [], tab


@pytest.mark.parametrize("size", SIZES, ids=lambda size: str(size["width"]))
def test_nothing_sticks_out_and_what_is_pressed_is_as_large_as_a_finger(visit, size):
    someone = visit(size=size)
    someone.page.get_by_role("button", name="Tempo").click()
    assert someone.page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    for one in someone.page.locator(".mg-group, .mg-first button, #mg-generate, #mg-stop").all():
        box = one.bounding_box()
        assert box["height"] >= 42 and box["x"] + box["width"] <= size["width"]


SMALL = """() => {
  const found = [];
  const pressed = "button, a, input, textarea, select, summary, [role=tab]";
  for (const one of document.querySelectorAll(pressed)) {
    const box = (one.matches("[type=checkbox], [type=radio]") && one.closest("label") || one)
      .getBoundingClientRect();
    const isSeen = one.checkVisibility({visibilityProperty: true, opacityProperty: true});
    const isForNobody = one.disabled || one.closest("[aria-hidden=true]");  // to measure with
    if (!isSeen || isForNobody || (box.height > 43.5 && box.width > 43.5)) continue;
    const {tagName, id, type, ariaLabel, innerText} = one;
    found.push([tagName, id, type, ariaLabel || innerText, box.width, box.height].join(" "));
  }
  return found;
}"""


@pytest.mark.parametrize("size", SIZES[1:3], ids=lambda size: str(size["width"]))
def test_on_a_phone_all_that_one_presses_is_as_large_as_a_finger(visit, size):
    someone = visit(size=size)
    someone.page.get_by_role("button", name="Ideas").click()
    someone.page.locator("#mg-more button").first.click()
    someone.page.wait_for_selector("#mg-negative textarea")
    assert someone.page.evaluate(SMALL) == []
    open_tab(someone, "graph")
    someone.page.get_by_label("Length in seconds · duration").first.fill("1")
    someone.page.click("#mg-run")
    someone.page.wait_for_selector("#mg-graph-status .mg-note.done")
    someone.page.locator(".mg-graph-takes .mg-take").first.wait_for()
    assert someone.page.evaluate(SMALL) == []
    assert someone.page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    footer = someone.page.locator("footer").inner_text().split()
    assert footer == ["Settings"], "what divides goes with what is divided"


def test_takes_that_are_shipped_sound_before_any_press_and_lend_their_words(visit):
    someone = visit()
    rows = someone.page.locator(".mg-first li")
    rows.first.wait_for()
    assert rows.count() == len(FIRST_TAKES)
    rows.nth(1).get_by_role("button", name="Play").click()
    someone.page.wait_for_function("MusicGraph.sound.position > 0.1")
    assert someone.sound()[0] == f"first {FIRST_TAKES[1].id}"
    rows.nth(1).get_by_role("button", name="Use these words").click()
    assert someone.page.input_value(BOX) == FIRST_TAKES[1].prompt
    someone.generate(FIRST_TAKES[1].prompt, duration=1)
    someone.wait_for(".done")
    rows.first.wait_for(state="detached")


def test_words_are_chosen_taken_back_and_counted(visit):
    someone = visit()
    press = lambda name: someone.page.get_by_role("button", name=name, exact=True).click()  # noqa: E731
    press("Style")
    press("waltz")
    press("Tempo")
    press("120 bpm")
    press("90 bpm")
    assert someone.page.input_value(BOX) == "waltz, 90 bpm", "there is one tempo"
    someone.page.wait_for_selector(".mg-tokens >> text=/\\d+ of 512 tokens/")
    press("Style")
    press("waltz")
    assert someone.page.input_value(BOX) == "90 bpm"
    press("Surprise me")
    assert "with" in someone.page.input_value(BOX)
    someone.page.fill(BOX, "悲しいピアノ")
    someone.page.wait_for_selector("#mg-said >> text=was taught English")


def test_unknown_words_and_advice_are_two_lines(visit):
    someone = visit()
    found = {"tokens": 3, "most": 512, "unknown": ["rotated"], "advice": "Name a style."}
    someone.page.route("**/page/prompt", lambda route: route.fulfill(json=found))
    someone.page.fill(BOX, "rotated")
    someone.page.wait_for_selector("#mg-said >> text=Name a style.")
    lines = [line.strip() for line in someone.page.inner_text("#mg-said").splitlines()]
    assert "The model does not know: rotated" in lines and "Name a style." in lines


def test_the_seed_has_a_switch_and_nothing_is_replaced_in_silence(visit, site):
    someone = visit()
    someone.page.wait_for_selector("#mg-seed input", state="hidden")
    someone.page.uncheck("#mg-random input")
    someone.page.fill("#mg-seed input", "1.5")
    someone.page.fill(BOX, "piano")
    someone.page.press(BOX, "Enter")
    said = someone.page.wait_for_selector("#mg-seed .mg-field-trouble").inner_text()
    assert "Got 1.5" in said
    someone.page.check("#mg-random input")
    someone.page.fill("#mg-duration input[type=number]", "500")
    someone.page.click("#mg-generate")
    said = someone.page.wait_for_selector("#mg-duration .mg-field-trouble").inner_text()
    assert said == "Got 500, possible is 1 to 120." and not site.queue.busy()


STILL_ENGLISH = """words => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  while (texts.nextNode()) {
    const {nodeValue, parentElement} = texts.currentNode;
    if (!parentElement.checkVisibility?.() || parentElement.closest("[translate=no], [lang=en]:not(html), svg")) continue;
    if (words.includes(nodeValue.trim())) found.push(nodeValue.trim());
  }
  return found;
}"""  # noqa: E501


@pytest.mark.parametrize(
    ("locale", "generate"), [("de-DE", "Erzeugen"), ("ja-JP", "生成"), ("ko-KR", "생성")]
)
def test_the_page_speaks_the_browsers_language(visit, site, locale, generate):
    someone = visit(locale=locale)
    someone.page.wait_for_selector(f"#mg-generate >> text={generate}")
    address = f"{site.address}page/words/{locale[:2]}"
    words = someone.context.request.get(address).json()
    other = [english for english, text in words.items() if english != text]
    for tab in TABS:
        open_tab(someone, tab)
        assert someone.page.evaluate(STILL_ENGLISH, other) == [], tab
    open_tab(someone, "create")
    someone.generate("Done", duration=1)
    someone.page.wait_for_selector(f"#mg-status .done >> text={words['Done']}")
    title = someone.page.locator("#mg-takes .mg-open b").first
    assert title.inner_text() == "Done", "a title is nobody's to translate"
    assert someone.page.get_attribute("html", "lang") == locale[:2]


def test_another_language_is_chosen_in_its_own_name_and_nothing_in_the_form_is_lost(visit):
    someone = visit(size=PHONE)
    someone.page.fill(BOX, "a slow waltz")
    someone.page.get_by_label("Language").select_option(label="한국어")
    someone.page.wait_for_selector("#mg-generate >> text=생성")
    someone.page.wait_for_selector("footer >> text=설정")
    someone.until(f"document.querySelector('{BOX}').value === 'a slow waltz'")
    someone.complaints.clear()  # of the page that was left, about what it was asking then
    someone.page.get_by_label("언어").select_option(label="English")
    someone.page.wait_for_selector("#mg-generate >> text=Generate")
    someone.complaints.clear()


@pytest.mark.parametrize("locale", ["en-US", "de-DE", "es-ES", "fr-FR", "ja-JP", "ko-KR", "zh-CN"])
def test_all_tabs_are_in_sight_on_the_smallest_phone(visit, locale):
    someone = visit(size={"width": 320, "height": 640}, locale=locale)
    someone.page.wait_for_selector(f"html[lang|={locale[:2]}]")  # Gradio may say zh-CN
    tabs = "[...document.querySelectorAll('[role=tab]')].filter(one => one.checkVisibility())"
    someone.until(f"{tabs}.length === {len(TABS)}")


REFUSED = {
    "“MusicGen Sampler”, duration: the value is too big: got 999.0, expected 600.0 or less."
    " And 3 more.": "「MusicGen サンプラー」の 長さ：値が大きすぎます：999.0 でしたが、必要なのは"
    " 600.0 以下 です · ほか 3 件。",
    "Say it in fewer words: the model reads about 350 at most."
    " (text: got 2001 tokens, expected at most 512)": "もっと短く書いてください。モデルが読める"
    "のは最大で約 350 語です。（テキスト：2001 トークン でしたが、必要なのは 最大 512 です）",
}


def test_what_is_refused_is_said_in_one_language(visit):
    someone = visit(locale="ja-JP")
    someone.page.wait_for_selector("#mg-generate >> text=生成")
    for english, japanese in REFUSED.items():
        someone.page.evaluate("words => MusicGraph.say(words)", english)
        someone.until(f"document.getElementById('mg-toast').innerText === '{japanese}'")


LATIN = """() => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  const left = "[translate=no], [lang=en]:not(html), svg, script, style, #mg-prompt-help";
  const look = (text, element) => {
    if (/[A-Za-z]{3}/.test(text) && !/[\\u3040-\\u9fff]/.test(text) && !element.closest(left)
        && element.checkVisibility()) found.push(text.trim());
  };
  while (texts.nextNode()) look(texts.currentNode.nodeValue, texts.currentNode.parentElement);
  for (const one of document.querySelectorAll("#mg-play *, .mg-take *, input[role=combobox]")) {
    for (const name of ["placeholder", "aria-label", "title", "aria-valuetext"]) {
      look(one.getAttribute(name) || "", one);
    }
    if (one.matches("[role=combobox]")) look(one.value, one);
  }
  return [...new Set(found)];
}"""
THE_SAME = re.compile(
    r"MusicGraph|Top-[kp]( · top_[kp])?|top-k \d+|-\d+ LUFS|FLAC|WAV|MP3"
    r"|tiny( · \d+ MB)?|\w+ \w+ on cpu"
)
"""names, as they are in every language"""
PANELS = ["別の言葉で続ける…", "言葉を変える…", "一部を作り直す…", "ループ…", "共有…", "名前を変更"]


def test_nothing_on_the_page_is_left_in_english(visit):
    """Said in Japanese, in which whatever has Latin letters alone is none of its words."""
    someone = visit(locale="ja-JP")
    open_tab(someone, "play")
    someone.page.wait_for_selector(".mgp-plane")
    someone.page.evaluate("MusicGraph.play.state.places.forEach(one => one.text = 'ワルツ')")
    someone.page.evaluate("MusicGraph.play.by(() => {})")
    open_tab(someone, "create")
    someone.page.locator("#mg-more button").first.click()
    someone.generate("ワルツ", duration=2)
    someone.wait_for(".done")
    left = set(someone.page.evaluate(LATIN))
    for panel in PANELS:
        someone.page.locator("#mg-takes").get_by_role("button", name=panel).first.click()
        left |= set(someone.page.evaluate(LATIN))
    for tab in TABS:
        open_tab(someone, tab)
        for one in someone.page.locator("summary:visible").all():
            one.click()
        left |= set(someone.page.evaluate(LATIN))
    assert [one for one in left if not THE_SAME.fullmatch(one)] == []
