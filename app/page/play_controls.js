/* What one sees of the Play tab beside the plane: buttons, sliders, words, and what is said. */
(MusicGraph => {
  "use strict";
  const {ask, element, clock, placeShares} = MusicGraph;
  const MARKS = "ABCD", ENERGY_WORDS = ["soft", "normal", "strong"];
  const DRUMS = {free: "auto", in: "in", out: "out"}, FIGURES_MS = 500;
  const KEYS = "Keys: 1 to 6 go to a place, arrows move the point, space plays and pauses, "
    + "U undo, R record, M mark, N new idea. Drag a place to move it; arrows do, too, when it has "
    + "the focus.";
  const median = numbers => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];
  const third = share => Math.min(2, Math.floor(3 * share));

  function playControls(deck, parent) {
    const {state, sound, by} = deck, parts = {};
    const press = (words, click, more = {}) =>
      element("button", {type: "button", click, ...more}, words);

    // ---------------------------------------------------------------- sliders
    function slider(name, label, [least, most, step], words, set) {
      const id = `mgp-${name}`;
      const input = element("input", {type: "range", id, min: least, max: most, step});
      const value = element("output", {for: id});
      input.addEventListener("input", () => set(Number(input.value)));
      parts[name] = {input, value, words};
      return element("div", {class: "mgp-slider"}, element("label", {for: id}, label), input, value);
    }
    const ofState = name => value => by(() => { state[name] = value; });
    const ofPoint = axis => value => by(() => {
      deck.plane.glide = null;
      state.point[axis] = value;
    });
    function setVolume(value) {
      state.volume = value;
      sound.setVolume(value);
      by(() => {});
    }
    const percent = value => `${Math.round(100 * value)} %`;
    const sliders = () => element("div", {class: "mgp-sliders"},
      slider("cfg", "Guidance", [1, 8, .1], value => value.toFixed(1), ofState("cfg")),
      slider("temperature", "Heat", [.5, 1.5, .05], value => value.toFixed(2),
        ofState("temperature")),
      slider("energy", "Energy", [0, 2, 1], value => ENERGY_WORDS[value], ofState("energy")),
      drums(),
      slider("volume", "Volume", [0, 1, .01], percent, setVolume),
      slider("x", "Point, across", [0, 1, .01], percent, ofPoint("x")),
      slider("y", "Point, up", [0, 1, .01], percent, ofPoint("y")));

    function drums() {
      const choices = Object.entries(DRUMS).map(([name, words]) => {
        const input = element("input", {type: "radio", name: "mgp-drums", value: name});
        input.addEventListener("change", () => by(() => { state.drums = name; }));
        return element("label", {}, input, element("span", {}, words));
      });
      return parts.drums = element("fieldset", {class: "mgp-drums"},
        element("legend", {}, "Drums"), element("div", {}, ...choices));
    }
    function words(place, index) {
      const input = element("input", {type: "text", maxlength: "200", value: place.text,
        "aria-label": `Words of place ${index + 1}`, placeholder: "empty"});
      input.addEventListener("change", () => by(() => { place.text = input.value; }));
      const number = element("b", {"aria-hidden": "true"}, String(index + 1));
      number.style.setProperty("--mgp-colour", MusicGraph.PLACE_COLOURS[index]);
      return element("div", {class: "mgp-word"}, number, input);
    }

    // ---------------------------------------------------------------- the rest
    function transport() {
      Object.assign(parts, {
        play: press("Play", deck.toggle, {class: "mgp-go"}),
        record: press("Record", deck.record, {class: "mgp-record"}),
        undo: press("Undo", deck.undo), idea: press("New idea", deck.idea),
        mark: press("Mark", deck.mark), marks: element("div", {class: "mgp-marks"}),
      });
      return element("div", {class: "mgp-transport"}, parts.play, parts.record, parts.undo,
        parts.idea, parts.mark, parts.marks);
    }
    function more() {
      parts.model = element("select", {"aria-label": "Model"});
      parts.model.addEventListener("change", () => {
        by(() => { state.model = parts.model.value; });
        deck.over();
      });
      parts.osc = element("p", {class: "mgp-small"});
      return element("details", {class: "mgp-more"},
        element("summary", {}, "Keys, MIDI, OSC, model"), element("p", {class: "mgp-small"}, KEYS),
        parts.model, MusicGraph.midiPanel(midiTargets(), midiPresses()), parts.osc,
        press("Everything as it was at first", deck.asFirst));
    }
    const midiTargets = () => ({
      "Point, across": ofPoint("x"),
      "Point, up": ofPoint("y"),
      "Guidance": share => ofState("cfg")(Math.round(10 + 70 * share) / 10),
      "Heat": share => ofState("temperature")(Math.round(50 + 100 * share) / 100),
      "Energy": share => ofState("energy")(third(share)),
      "Drums": share => ofState("drums")(["out", "free", "in"][third(share)]),
      "Volume": setVolume,
    });
    const midiPresses = () => ({
      ...Object.fromEntries(state.places.map((_, at) => [`Place ${at + 1}`, () => deck.goTo(at)])),
      "Play and pause": deck.toggle, "Record": deck.record, "Undo": deck.undo, "Mark": deck.mark,
      "New idea": deck.idea,
    });
    async function learn() {
      let offer;
      try { offer = await ask("play"); } catch (error) { return; }
      parts.model.replaceChildren(...offer.models.map((name, index) =>
        element("option", {value: index ? name : ""}, name)));
      parts.model.hidden = offer.models.length < 2;
      parts.model.value = offer.models.includes(state.model) ? state.model : state.model = "";
      parts.osc.textContent = offer.osc === null
        ? "OSC: start the server with --osc 9000, and Max, Pd, TouchOSC or Sonic Pi play along."
        : `OSC: UDP port ${offer.osc} of the server's machine steers what was begun last `
          + "(/musicgraph/text, /musicgraph/drums, /musicgraph/cfg …).";
      parts.play.disabled = !offer.places;
      if (!offer.places) status("Not possible here: this server has its GPU for moments only.");
    }

    // ---------------------------------------------------------------- what is shown
    const mixWords = () => deck.heardNow().map(([text, share]) => `${text} ${percent(share)}`)
      .join(", ");
    function show() {
      for (const name of ["cfg", "temperature", "energy", "volume", "x", "y"]) {
        const {input, value, words: inWords} = parts[name], isPoint = name in state.point;
        const now = isPoint ? state.point[name] : state[name];
        input.value = now;
        value.textContent = inWords(now);
        input.setAttribute("aria-valuetext", inWords(now) + (isPoint ? `; ${mixWords()}` : ""));
      }
      parts.drums.querySelector(`[value=${state.drums}]`).checked = true;
      parts.words.querySelectorAll("input").forEach((input, index) => {
        if (input !== document.activeElement) input.value = state.places[index].text;
      });
      showButtons();
    }
    function showButtons() {
      const {isOn} = sound, isRecording = Boolean(deck.recordedMs());
      parts.play.textContent = isOn ? "Pause" : "Play";
      parts.play.setAttribute("aria-busy", String(Boolean(deck.isBeginning())));
      parts.record.textContent = isRecording ? "Keep" : "Record";
      parts.record.setAttribute("aria-pressed", String(isRecording));
      const isPlaying = deck.isPlaying();
      const able = {undo: deck.canUndo(), mark: isPlaying, idea: isPlaying};
      for (const [name, isAble] of Object.entries(able)) {
        parts[name].setAttribute("aria-disabled", String(!isAble));
      }
      const shown = deck.marks().map((sample, index) => sample === null ? null
        : markButton(index, clock(sample / sound.rate))).filter(Boolean);
      const texts = shown.map(one => one.textContent).join();
      if (texts !== parts.marks.shown) parts.marks.replaceChildren(...shown);
      parts.marks.shown = texts;
    }
    const markButton = (index, time) => press(`${MARKS[index]} ${time}`, () => deck.goBack(index),
      {"aria-label": `${MARKS[index]} ${time}: go on from here`});

    const status = text => { parts.status.textContent = text; };
    function figures() {
      if (!sound.isOn) return;
      const recent = deck.delays.slice(-15), recorded = deck.recordedMs();
      const told = [clock(sound.second), recorded && `recording ${clock(recorded / 1000)}`,
        recent.length && `changes are heard after ${(median(recent) / 1000).toFixed(2)} s`,
        sound.dropped > 0 && `pieces dropped: ${sound.dropped}`];
      parts.figures.textContent = told.filter(Boolean).join(" · ");
    }

    parts.status = element("p", {class: "mgp-status", role: "status"});
    parts.figures = element("p", {class: "mgp-figures"});
    parts.words = element("div", {class: "mgp-words"}, ...state.places.map(words));
    parent.replaceChildren(
      element("div", {class: "mgp-left"}, deck.plane.whole, transport(), parts.status,
        parts.figures),
      element("div", {class: "mgp-panel"}, parts.words, sliders(), more()));
    setInterval(figures, FIGURES_MS);
    sound.setVolume(state.volume);
    learn();
    return {show, status};
  }
  Object.assign(MusicGraph, {playControls});
})(window.MusicGraph);
