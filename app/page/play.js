/* The Play tab: an instrument. What is moved is said to the music that plays, and heard a moment
   later; while nobody moves anything it plays on. */
(MusicGraph => {
  "use strict";
  const {address, ask, element, say, whenThere, clock, Plane, PlaySound, placeShares} = MusicGraph;
  const KEPT = "musicgraph-play", LEAST_MS = 90, GESTURE_MS = 700, MAX_PAST = 200, MARKS = "ABCD";
  const ENERGIES = ["low", "free", "high"], ENERGY_WORDS = ["soft", "as it comes", "strong"];
  const DRUMS = {free: "as they come", in: "in", out: "out"};
  const PLACES = [["a calm solo piano", .16, .74], ["lo-fi beat with mellow piano", .5, .9],
    ["upbeat house track, 124 bpm", .85, .72], ["80s synth pop with punchy drums", .82, .24],
    ["epic orchestral strings", .48, .1], ["a music box lullaby", .15, .26]];
  const FRESH = {places: PLACES.map(([text, x, y]) => ({text, x, y})), point: {x: .33, y: .68},
    cfg: 3, temperature: 1, energy: 1, drums: "free", volume: .8, model: ""};

  // ------------------------------------------------------------------ what is set
  const copied = thing => JSON.parse(JSON.stringify(thing));
  function restored() {
    try {
      const kept = JSON.parse(localStorage.getItem(KEPT));
      if (kept.places.length === 6) return {...copied(FRESH), ...kept};
    } catch (error) { /* none, or of another time */ }
    return copied(FRESH);
  }
  const state = restored(), past = [], sound = new PlaySound();
  let playing = null;       // the id of the performance
  let isRecording = false, recordsFrom = 0, marks = [], offer = {models: [], osc: null};
  let plane, parts = {};

  const plain = text => text.replace(/\s\+\s/g, " and ").replace(/;/g, ",").replace(/\s+/g, " ").trim();
  function mix() {
    const counts = placeShares(state.point, state.places);
    const heard = state.places.map((place, index) => [plain(place.text), counts[index]])
      .filter(([text, count]) => text && count > 0);
    if (heard.length === 1) return heard[0][0];
    return heard.map(([text, count]) => `${text} ${count.toFixed(2)}`).join(" + ");
  }
  const wanted = () => ({text: mix(), cfg: state.cfg, temperature: state.temperature,
    drums: state.drums, energy: ENERGIES[state.energy]});

  // ------------------------------------------------------------------ saying it
  let told = null, sending = false, sentAt = 0, changedAt = -GESTURE_MS, waiting = [];
  const delays = [];        // from a gesture to its sound, in ms

  /** Before a change: one gesture is one step back, however many changes it was. */
  function gesture() {
    const now = performance.now();
    if (now - changedAt > GESTURE_MS) past.push(copied({...state, volume: undefined}));
    past.splice(0, past.length - MAX_PAST);
    changedAt = now;
    showButtons();
  }
  function changed() {
    localStorage.setItem(KEPT, JSON.stringify(state));
    show();
    steer();
  }
  /** Says what is otherwise than what was told last; of several changes the newest counts. */
  async function steer() {
    if (!playing || sending || !told) return;
    const now = wanted(), at = performance.now(), point = {...state.point};
    const news = Object.fromEntries(Object.entries(now).filter(([name, value]) => told[name] !== value));
    if (!Object.keys(news).length || !now.text) return;
    sending = true;
    await MusicGraph.pause(Math.max(0, sentAt + LEAST_MS - performance.now()));
    sentAt = performance.now();
    await tell(news, at, point);
    sending = false;
    steer();
  }
  async function tell(news, at = performance.now(), point = {...state.point}) {
    told = {...told, ...news};
    try {
      const answer = await ask(`play/${playing}/say`, news);
      await heard(answer, at, point);
    } catch (error) { trouble(error); }
  }
  /** Waits for the piece in which the change is, and notes when that is heard. */
  function heard({frame}, at, point) {
    const sample = Math.round(frame * sound.rate / sound.frameRate);
    waiting.push({sample, at, point});
    sound.unbroken.forEach(arrived);
  }
  function arrived(piece) {
    const inside = waiting.filter(one => one.sample < piece.begin + piece.count);
    waiting = waiting.filter(one => !inside.includes(one));
    for (const {sample, at, point} of inside) {
      const when = sound.heardAt(piece, Math.max(sample, piece.begin));
      delays.push(when - at);
      setTimeout(() => plane.ring(point), when - performance.now());
    }
    delays.splice(0, delays.length - 5000);
  }
  const median = numbers => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];

  function trouble(error) {
    if (!error.isLost) say(error.message);
    if (/press Play/.test(error.message)) over();
  }

  // ------------------------------------------------------------------ begin, pause, end
  // An audio element that is silent stands for this sound among the page's others: whatever plays
  // stops what played before.
  const stand = new Audio();
  stand.addEventListener("pause", () => { if (sound.isOn) hold(); });

  async function begin() {
    if (!mix()) { say("Write some words at one of the places first."); return false; }
    await ready();
    const now = wanted();
    parts.play.setAttribute("aria-busy", "true");
    status("Loading the model …");
    try {
      const {text, ...rest} = now;
      const answer = await ask("play", {prompt: text, ...rest, model: state.model});
      [playing, told, marks, waiting, isRecording] = [answer.id, now, [], [], false];
      sound.dropped = 0;
      listen();
      return true;
    } catch (error) {
      status("");
      trouble(error);
      return false;
    } finally { parts.play.removeAttribute("aria-busy"); }
  }
  async function ready() {
    await sound.open(sound.rate);
    stand.srcObject = stand.srcObject || sound.context.createMediaStreamDestination().stream;
    await stand.play().catch(() => {});
  }
  function listen() {
    sound.follow(address(`play/${playing}/stream`));
    plane.analyser = sound.analyser;
    showButtons();
  }
  async function toggle() {
    if (sound.isOn) { hold(); return; }
    if (!playing) { await begin(); return; }
    await ready();
    listen();
    steer();
  }
  function hold() {
    sound.stop();
    stand.pause();
    if (playing) ask(`play/${playing}/wait`, {}).catch(() => {});
    status("Paused");
    showButtons();
  }
  function over(words = "") {
    sound.stop();
    stand.pause();
    [playing, marks, isRecording] = [null, [], false];
    status(words);
    showButtons();
  }
  sound.addEventListener("here", ({told: here}) => {
    const isOther = sound.rate !== here.rate;
    [sound.rate, sound.frameRate, marks, isRecording] = [here.rate, here.frame_rate, here.marks, here.is_recording];
    if (isOther) sound.open(here.rate).then(() => { plane.analyser = sound.analyser; });
    showButtons();
    steer();
  });
  sound.addEventListener("piece", ({told: piece}) => arrived(piece));
  sound.addEventListener("over", ({told: last}) => over(last.words || "The music is over."));
  sound.addEventListener("closed", () => over("The music was ended: it plays elsewhere, or was left alone."));
  sound.addEventListener("failed", ({told: last}) => over(last.words));
  sound.addEventListener("lost", () => status("Connection lost, trying again …"));
  sound.addEventListener("said", ({told: other}) => {  // by OSC, or over the API
    Object.assign(state, {cfg: other.settings.cfg, temperature: other.settings.temperature});
    told = {...told, cfg: state.cfg, temperature: state.temperature};
    status(`From elsewhere: ${other.prompt}`);
    show();
  });

  // ------------------------------------------------------------------ undo, marks, recording
  function restore(settings) {
    const {places, point, ...rest} = copied(settings);
    places.forEach((place, index) => Object.assign(state.places[index], place));
    Object.assign(state.point, point);
    Object.assign(state, Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)));
    plane.glide = null;
    plane.show();
    changed();
  }
  function undo() {
    const before = past.pop();
    if (before) restore(before); else say("There is nothing to take back.");
    changedAt = -GESTURE_MS;
    showButtons();
  }
  const keptMarks = [];     // what was set when each was made
  async function mark() {
    if (!playing) return;
    const free = [...MARKS].findIndex((_, index) => !marks[index]);
    const number = free < 0 ? (mark.last = ((mark.last ?? -1) + 1) % MARKS.length) : free;
    try {
      marks = (await ask(`play/${playing}/mark`, {number})).marks;
      keptMarks[number] = copied(state);
      say(`${MARKS[number]} is this moment: press it, and the music goes on from here.`);
    } catch (error) { trouble(error); }
    showButtons();
  }
  async function back(number) {
    try {
      marks = (await ask(`play/${playing}/back`, {number})).marks;
      [waiting, told] = [[], {}];  // what was said since is no part of it
      if (keptMarks[number]) {
        told = null;
        restore(keptMarks[number]);
        told = wanted();
      }
    } catch (error) { trouble(error); }
  }
  async function record() {
    if (isRecording) { await keep(); return; }
    if (!playing && !await begin()) return;
    if (!sound.isOn) await toggle();
    try { await ask(`play/${playing}/record`, {}); } catch (error) {
      if (!/begin anew/.test(error.message)) { trouble(error); return; }
      say("This music has become too long to record: new music begins.");
      if (!await begin()) return;
      await ask(`play/${playing}/record`, {}).catch(trouble);
    }
    [isRecording, recordsFrom] = [true, performance.now()];
    showButtons();
  }
  async function keep() {
    const named = placeShares(state.point, state.places);
    const names = state.places.map(({text}, index) => [named[index], plain(text)])
      .filter(([count]) => count > 0).sort(([a], [b]) => b - a).map(([, text]) => text);
    isRecording = false;
    showButtons();
    try {
      const {take} = await ask(`play/${playing}/keep`, {title: `${names.slice(0, 3).join(" + ")} (played)`});
      await MusicGraph.takesChanged();
      say(`Kept: ${take.duration_s.toFixed(1)} s, on the tab Takes. Its graph plays the same again.`);
    } catch (error) { trouble(error); }
  }

  // ------------------------------------------------------------------ the controls
  const press = (words, click, more = {}) => element("button", {type: "button", click, ...more}, words);
  function slider(name, label, [least, most, step], words, set = null) {
    const input = element("input", {type: "range", id: `mgp-${name}`, min: least, max: most, step});
    const value = element("output", {for: `mgp-${name}`});
    input.addEventListener("input", () => {
      if (set) { set(Number(input.value)); return; }
      gesture();
      state[name] = Number(input.value);
      changed();
    });
    parts[name] = {input, value, words};
    return element("div", {class: "mgp-slider"}, element("label", {for: `mgp-${name}`}, label), input, value);
  }
  function pointSlider(axis, label) {
    return slider(axis, label, [0, 1, .01], null, value => {
      gesture();
      plane.glide = null;
      state.point[axis] = value;
      plane.show();
      changed();
    });
  }
  function drums() {
    const choices = Object.entries(DRUMS).map(([name, words]) => {
      const input = element("input", {type: "radio", name: "mgp-drums", value: name});
      input.addEventListener("change", () => { gesture(); state.drums = name; changed(); });
      return element("label", {}, input, element("span", {}, words));
    });
    return parts.drums = element("fieldset", {class: "mgp-drums"}, element("legend", {}, "Drums"), ...choices);
  }
  function words() {
    return state.places.map((place, index) => {
      const input = element("input", {type: "text", maxlength: "200", value: place.text,
        "aria-label": `Words of place ${index + 1}`, placeholder: "empty"});
      input.addEventListener("change", () => { gesture(); place.text = input.value; plane.show(); changed(); });
      const dot = element("b", {"aria-hidden": "true"}, String(index + 1));
      dot.style.setProperty("--mgp-colour", MusicGraph.PLACE_COLOURS[index]);
      return element("div", {class: "mgp-word"}, dot, input);
    });
  }

  function build(parent) {
    plane = new Plane(state, () => { gesture(); changed(); });
    parts.play = press("", toggle, {class: "mgp-go"});
    parts.record = press("Record", record, {class: "mgp-record"});
    parts.undo = press("Undo", undo);
    parts.mark = press("Mark", mark);
    parts.marks = element("div", {class: "mgp-marks"});
    parts.idea = press("New idea", idea);
    parts.status = element("p", {class: "mgp-status"});
    parts.figures = element("p", {class: "mgp-figures"});
    const transport = element("div", {class: "mgp-transport"}, parts.play, parts.record, parts.undo,
      parts.idea, parts.mark, parts.marks);
    const sliders = element("div", {class: "mgp-sliders"},
      slider("cfg", "Guidance", [1, 8, .1], value => value.toFixed(1)),
      slider("temperature", "Heat", [.5, 1.5, .05], value => value.toFixed(2)),
      slider("energy", "Energy", [0, 2, 1], value => ENERGY_WORDS[value]), drums(),
      slider("volume", "Volume", [0, 1, .01], value => `${Math.round(100 * value)} %`, value => {
        state.volume = value;
        sound.setVolume(value);
        changed();
      }), pointSlider("x", "Point, sideways"), pointSlider("y", "Point, upwards"));
    parts.model = element("select", {"aria-label": "Model"});
    parts.model.addEventListener("change", () => { state.model = parts.model.value; changed(); over(); });
    parts.osc = element("p", {class: "mgp-small"});
    parts.words = element("div", {class: "mgp-words"}, ...words());
    const more = element("details", {class: "mgp-more"}, element("summary", {}, "MIDI, OSC, keys, model"),
      element("p", {class: "mgp-small"}, "Keys: 1 to 6 go to a place, arrows move, space plays and pauses, "
        + "U undo, R record, M mark, N new idea. A place is moved by dragging it, or with the arrows when it has the focus."),
      parts.model, MusicGraph.midiPanel(midiTargets(), midiPresses()), parts.osc,
      press("Places as they were", () => { gesture(); restore({...FRESH, volume: state.volume, model: state.model}); fillWords(); }));
    const panel = element("div", {class: "mgp-panel"}, parts.words, sliders, more);
    const left = element("div", {class: "mgp-left"}, plane.whole, transport, parts.status, parts.figures);
    parent.replaceChildren(left, panel);
    addEventListener("keydown", keys);
    setInterval(figures, 500);
    learn();
    show();
    showButtons();
  }
  const fillWords = () => parts.words.querySelectorAll("input").forEach(
    (input, index) => { input.value = state.places[index].text; });
  async function learn() {
    try { offer = await ask("play"); } catch (error) { return; }
    parts.model.replaceChildren(...offer.models.map((name, index) =>
      element("option", {value: index ? name : ""}, name)));
    parts.model.hidden = offer.models.length < 2;
    parts.model.value = offer.models.includes(state.model) ? state.model : state.model = "";
    parts.osc.textContent = offer.osc === null
      ? "OSC: start the server with --osc 9000, and Max, Pd, TouchOSC or Sonic Pi play along."
      : `OSC: the server listens on UDP port ${offer.osc} of its machine (/musicgraph/text, /weights, /drums, /cfg …).`;
    if (!offer.places) status("Playing live is not possible here: this server lends its GPU for moments only.");
    showButtons();
  }

  function idea() {
    if (playing) tell({seed: -1}).then(() => { delete told.seed; });
  }
  const set = (name, least, most) => share => {
    gesture();
    state[name] = Math.round(100 * (least + (most - least) * share)) / 100;
    changed();
  };
  const along = axis => share => { gesture(); plane.glide = null; state.point[axis] = share; plane.show(); changed(); };
  const midiTargets = () => ({
    "Point, sideways": along("x"), "Point, upwards": along("y"), "Guidance": set("cfg", 1, 8), "Heat": set("temperature", .5, 1.5),
    "Energy": share => { gesture(); state.energy = Math.min(2, Math.floor(3 * share)); changed(); },
    "Drums": share => { gesture(); state.drums = ["out", "free", "in"][Math.min(2, Math.floor(3 * share))]; changed(); },
    "Volume": share => { state.volume = share; sound.setVolume(share); changed(); },
  });
  const midiPresses = () => ({
    ...Object.fromEntries(state.places.map((_, index) => [`Place ${index + 1}`, () => goTo(index)])),
    "Play and pause": toggle, "Record": record, "Undo": undo, "Mark": mark, "New idea": idea,
  });
  function goTo(index) {
    if (state.places[index].text.trim()) plane.glideTo(state.places[index]);
  }

  function keys(event) {
    const root = document.getElementById("mg-play");
    if (!root?.offsetParent || event.ctrlKey || event.metaKey || event.altKey) return;
    const {target, key} = event, isText = target.matches?.("input:not([type=range], [type=radio]), textarea, select, [contenteditable]");
    if (isText || target.closest?.("[role=tablist]")) return;
    const arrow = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]}[key];
    const own = target.matches?.("input, summary") || (key === " " && target.matches?.("button"));
    const letters = {u: undo, r: record, m: mark, n: idea};
    if (arrow && !own) plane.step(...arrow);
    else if (key === " " && !own) toggle();
    else if (key >= "1" && key <= "6") goTo(Number(key) - 1);
    else if (letters[key.toLowerCase()]) letters[key.toLowerCase()]();
    else return;
    event.preventDefault();
  }

  // ------------------------------------------------------------------ what is shown
  function show() {
    for (const name of ["cfg", "temperature", "energy", "volume", "x", "y"]) {
      const {input, value, words: inWords} = parts[name], now = name in state ? state[name] : state.point[name];
      input.value = now;
      value.textContent = inWords ? inWords(now) : `${Math.round(100 * now)}`;
      if (name === "energy") input.setAttribute("aria-valuetext", ENERGY_WORDS[now]);
      if (name === "x" || name === "y") input.setAttribute("aria-valuetext", `${Math.round(100 * now)}; ${mixWords()}`);
    }
    parts.drums.querySelector(`[value=${state.drums}]`).checked = true;
  }
  const mixWords = () => placeShares(state.point, state.places).map((count, index) => [count, state.places[index].text])
    .filter(([count]) => count > 0).map(([count, text]) => `${text} ${Math.round(100 * count)} %`).join(", ");
  function showButtons() {
    if (!parts.play) return;
    const isOn = sound.isOn;
    parts.play.classList.toggle("is-on", isOn);
    parts.play.textContent = isOn ? "Pause" : "Play";
    parts.play.disabled = offer.places === 0;
    parts.record.textContent = isRecording ? "Keep" : "Record";
    parts.record.setAttribute("aria-pressed", String(isRecording));
    for (const [name, isThere] of [["undo", past.length], ["mark", playing], ["idea", playing]]) {
      parts[name].setAttribute("aria-disabled", String(!isThere));
    }
    const shown = marks.map((sample, index) => sample === null ? null
      : press(`${MARKS[index]} ${clock(sample / sound.rate)}`, () => back(index),
        {"aria-label": `Go on from ${MARKS[index]}, ${clock(sample / sound.rate)}`}));
    parts.marks.replaceChildren(...shown.filter(Boolean));
    if (isOn) document.title = "♪ MusicGraph";
  }
  function status(text) { if (parts.status) parts.status.textContent = text; }
  function figures() {
    if (!sound.isOn) return;
    const recent = delays.slice(-15), at = sound.second;
    if (sound.received && /^(Loading|Paused|Connection)/.test(parts.status.textContent)) status("");
    const told = [`${clock(at)}`, isRecording && `recording ${clock((performance.now() - recordsFrom) / 1000)}`,
      recent.length && `a change is heard after ${(median(recent) / 1000).toFixed(2)} s`,
      `${sound.dropped} dropped`].filter(Boolean);
    parts.figures.textContent = told.join(" · ");
  }
  addEventListener("pagehide", () => sound.stop());

  whenThere("mg-play", build);
  Object.assign(MusicGraph, {play: {state, sound, delays, plane: () => plane, id: () => playing}});
})(window.MusicGraph);
