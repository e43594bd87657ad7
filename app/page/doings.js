/* What one does with a take: buttons and small panels in its row, and the run that begins. */
(MusicGraph => {
  "use strict";
  const {ask, element, say, sound} = MusicGraph;
  const LEAST_PART_S = .3, IN_THREE = /\bwaltz|\b3\/4\b/i;

  const press = (words, click, more = {}) => element("button", {type: "button", click, ...more}, words);
  const twoDigits = seconds => Math.floor(seconds * 100 + 1e-6) / 100;

  // ------------------------------------------------------------------ small parts of panels
  function field(words, input) {
    return element("label", {class: "mg-small-field"}, element("span", {}, words), input);
  }
  function number(value, least, most, step = .01) {
    return element("input", {type: "number", value: String(twoDigits(value)), min: String(least),
      max: String(most), step: String(step), inputmode: "decimal"});
  }
  function words(text) {
    return element("textarea", {rows: "2", maxlength: "2000"}, text);
  }

  /** A form in the row, in the place of the one before; `done` answers whether it has gone well. */
  function panel(row, title, fields, act, done) {
    const go = element("button", {type: "submit", class: "mg-do"}, act);
    const close = press("Close", shut);
    const form = element("form", {class: "mg-panel", "aria-label": title},
      element("b", {}, title), ...fields, element("div", {class: "mg-actions"}, go, close));
    form.addEventListener("submit", async event => {
      event.preventDefault();
      go.disabled = true;
      if (await done()) shut(true); else go.disabled = false;
    });
    form.addEventListener("keydown", event => { if (event.key === "Escape") shut(); });
    /** What was begun is seen where its status is: the focus must not scroll away from there. */
    function shut(hasBegun = false) {
      form.remove();
      row.wave.show(null);
      row.opener?.focus({preventScroll: hasBegun === true});
    }
    row.panels.replaceChildren(form);
    form.scrollIntoView({block: "nearest"});
    form.querySelector("textarea, input")?.focus();
    return form;
  }

  /** Two numbers and the marked part of the wave, which say the same. */
  function part(row, from, to) {
    const most = twoDigits(row.take.duration_s);
    const begin = number(from, 0, most), end = number(to, 0, most);
    const value = () => [begin, end].map(one => Number(one.value));
    const mark = () => row.wave.show(value());
    begin.addEventListener("input", mark);
    end.addEventListener("input", mark);
    row.marks = ([a, b]) => {
      [begin.value, end.value] = [String(twoDigits(a)), String(twoDigits(Math.min(b, most)))];
      mark();
    };
    mark();
    return {begin, end, value, fields: element("div", {class: "mg-two"},
      field("From second", begin), field("to second", end))};
  }
  const marked = row => row.wave.region() || null;

  // ------------------------------------------------------------------ each
  const make = (row, how, values) => MusicGraph.make(row.take, how, values);

  function goOn(row) {
    const seconds = number(30, 1, 120, 1), text = words(row.take.settings.prompt || row.take.title);
    panel(row, "Go on with other words", [field("How it goes on", text),
      field("for so many seconds", seconds)], "Go on",
    () => make(row, "continue", {seconds: Number(seconds.value), prompt: text.value}));
  }

  function anew(row) {
    const length = row.take.duration_s, [from, to] = marked(row) || [length / 3, length * 2 / 3];
    const where = part(row, from, to), text = words(row.take.settings.prompt || row.take.title);
    panel(row, "Make a part anew", [where.fields, element("p", {}, "Drag on the wave, or type the "
      + "seconds. What is outside stays as it is."), field("What it should be", text)], "Make it anew",
    () => make(row, "repaint",
      {begin: where.value()[0], end: where.value()[1], prompt: text.value}));
  }

  async function loop(row) {
    const [from] = marked(row) || [0];
    let isTyped = false;
    const begin = number(from, 0, twoDigits(row.take.duration_s));
    const bars = number(2, 1, 64, 1), bpm = number(120, 20, 400), said = element("p", {}, "");
    const isInThree = IN_THREE.test(`${row.take.title} ${row.take.settings.prompt}`);
    const beats = number(isInThree ? 3 : 4, 1, 16, 1);
    const mark = () => {
      const long = bars.value * beats.value * 60 / bpm.value, start = Number(begin.value);
      row.wave.show([start, start + long]);
      said.textContent = `${long.toFixed(1)} s. Its last beats are made anew, so that it leads into `
        + "its beginning.";
    };
    for (const one of [begin, bars, beats, bpm]) {
      one.addEventListener("input", () => { isTyped = true; mark(); });
    }
    row.marks = ([a]) => { begin.value = String(twoDigits(a)); mark(); };
    const form = panel(row, "Make a loop of it", [element("div", {class: "mg-two"},
      field("Bars", bars), field("Beats in a bar", beats), field("Beats a minute", bpm),
      field("From second", begin)), said],
    "Make the loop", () => make(row, "loop", {begin: Number(begin.value), bars: Number(bars.value),
      beats: Number(beats.value), bpm: Number(bpm.value)}));
    mark();
    const heard = await MusicGraph.tempo(row.take);
    if (!heard) said.after(element("p", {}, "No steady beat is heard in it: bars and beats are a guess."));
    if (!heard || isTyped || !form.isConnected) return;
    bpm.value = String(twoDigits(heard));
    const fitting = [4, 2, 1].find(count => count * beats.value * 60 / heard <= row.take.duration_s - begin.value);
    bars.value = String(fitting || 1);
    mark();
  }

  function cut(row) {
    const [from, to] = marked(row) || [0, row.take.duration_s];
    const where = part(row, from, to);
    const rise = number(0, 0, 60, .1), fall = number(0, 0, 60, .1);
    const isLoud = element("input", {type: "checkbox"}), loudness = number(-16, -70, 0, .5);
    const level = () => isLoud.checked ? Number(loudness.value) : null;
    panel(row, "Trim, fade, loudness", [where.fields, element("div", {class: "mg-two"},
      field("Fade in, s", rise), field("Fade out, s", fall)),
    element("div", {class: "mg-two"}, element("label", {class: "mg-check"}, isLoud,
      element("span", {}, "Bring it to a loudness")), field("of so many LUFS", loudness))],
    "Keep it as a new take", () => make(row, "cut", {begin: where.value()[0], end: where.value()[1],
      fade_in: Number(rise.value), fade_out: Number(fall.value), loudness: level()}));
  }

  /** The prompt's words as buttons: one of them becomes a field. */
  function vary(row) {
    const parts = row.take.settings.prompt.split(/(\s+)/);
    const said = element("div", {class: "mg-words", translate: "no"});
    const text = () => [...said.children].filter(one => one !== adding).map(
      one => one.matches("input") ? one.value : one.textContent).join(" ").trim();
    const opened = (button, word, name, size) => {
      const input = element("input", {type: "text", value: word, "aria-label": name,
        size: String(size), maxlength: "100"});
      button.replaceWith(input);
      input.select();
    };
    parts.filter(one => one.trim()).forEach(word => {
      const button = press(word,
        () => opened(button, word, `Instead of ${word}`, Math.max(6, word.length + 2)));
      said.append(button);
    });
    const adding = press("+ words", () => opened(adding, "", "Words to add", 16));
    said.append(adding);
    panel(row, "Change the words", [element("p", {}, "Press the word that should be another one, or "
      + "add some. The seed stays, so as little as possible changes."), said], "Play it so",
    () => make(row, "vary", {prompt: text()}));
    said.querySelector("button")?.focus();
  }

  // ------------------------------------------------------------------ A and B
  /** The take that this one was made of; else the one before it. */
  function before(take) {
    const all = MusicGraph.takes();
    return all.find(one => one.id === take.of)
      || all.filter(one => one.made_at < take.made_at).sort((a, b) => b.made_at - a.made_at)[0];
  }
  function compare(row) {
    const other = before(row.take);
    if (!other) return null;
    const [a, b] = [row.take, other].map(MusicGraph.takeSource);
    const button = press("A/B", () => {
      if (sound.is(a.key)) sound.moveTo(b); else if (sound.is(b.key)) sound.moveTo(a); else sound.play(a);
      if (!sound.isPlaying) sound.play(sound.is(b.key) ? b : a);
    }, {title: `The same place in: ${other.title.slice(0, 60)}`});
    MusicGraph.followSound(button, () => {
      const which = sound.is(b.key) ? "B, the one before" : sound.is(a.key) ? "A, this one" : "";
      button.textContent = which ? `A/B: ${which}` : "A/B with the one before";
      button.setAttribute("aria-pressed", String(sound.is(b.key)));
    });
    return button;
  }

  // ------------------------------------------------------------------ the buttons
  /** Of an open row: {take, wave, panels}. `others` are those that change no sound. */
  function doings(row, others) {
    const opens = (name, open) => press(name, event => {
      row.opener = event.currentTarget;
      row.marks = null;
      open(row);
    });
    const hasWords = Boolean(row.take.settings.prompt?.trim());
    row.wave.addEventListener("mark", event => row.marks ? row.marks(event.detail) : ask_part(event));
    function ask_part({detail}) {  // a part was marked, and no panel is open that takes it
      if (detail[1] - detail[0] < LEAST_PART_S || row.panels.querySelector("form")) return;
      row.panels.replaceChildren(element("div", {class: "mg-actions mg-part"},
        element("span", {}, `${detail.map(one => one.toFixed(1)).join(" to ")} s:`),
        opens("Make this part anew", anew), opens("Loop from here", loop), opens("Keep only this", cut)));
    }
    const once = () => hasWords && press("More like this", () => make(row, "more", {}));
    const longer = seconds => press(`+${seconds} s`, () => make(row, "continue", {seconds}),
      {"aria-label": `+${seconds} s: go on`});
    const main = [once(), longer(10), longer(30), opens("Go on with other words …", goOn),
      hasWords && opens("Change the words …", vary), opens("Make a part anew …", anew),
      opens("Loop …", loop), opens("Trim, fade, loudness …", cut)];
    const rest = [compare(row), opens("Share …", MusicGraph.share), ...others];
    return element("div", {class: "mg-doings"},
      ...[main, rest].map(all => element("div", {class: "mg-actions"}, ...all.filter(Boolean))));
  }

  /** What the server hears of a take's tempo; null where it hears none. */
  async function tempo(take) {
    try { return (await ask(`takes/${take.id}/tempo`)).bpm; } catch (error) { return null; }
  }

  Object.assign(MusicGraph, {doings, tempo, panelIn: panel, smallField: field, pressable: press});
})(window.MusicGraph);
