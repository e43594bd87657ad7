/* The Play tab: an instrument. What is moved is said to the music that plays, and heard a moment
   later; while nobody moves anything it plays on. What one sees of it is in `play_controls.js`. */
(MusicGraph => {
  "use strict";
  const {address, ask, say, whenThere, pause, placeShares} = MusicGraph;
  const KEPT = "musicgraph-play", LEAST_MS = 90, GESTURE_MS = 700, MAX_PAST = 200;
  const KEPT_MS = 2000, SOUND_MS = 10000;
  const NO_SOUND = "The browser gives no sound: allow it for this page, or connect something that "
    + "plays it, and press the button again.";
  const MARKS = "ABCD", ENERGIES = ["low", "free", "high"];
  const PLACES = [["a calm solo piano", .16, .74], ["lo-fi beat with mellow piano", .5, .9],
    ["upbeat house track, 124 bpm", .84, .72], ["80s synth pop with punchy drums", .82, .26],
    ["epic orchestral strings", .48, .12], ["a music box lullaby", .15, .28]];
  const FRESH = {places: PLACES.map(([text, x, y]) => ({text, x, y})), point: {x: .33, y: .68},
    cfg: 3, temperature: 1, energy: 1, drums: "free", volume: .8, model: ""};

  // ------------------------------------------------------------------ what is set
  const copied = thing => JSON.parse(JSON.stringify(thing));
  function restored() {
    try {
      const kept = JSON.parse(localStorage.getItem(KEPT));
      if (kept.places.length === PLACES.length) return {...copied(FRESH), ...kept};
    } catch (error) { /* none, or of another time */ }
    return copied(FRESH);
  }
  const state = restored(), past = [], sound = new MusicGraph.PlaySound();
  let playing = null;       // the id of the performance
  let recordsFrom = 0;      // 0: nothing is recorded
  let marks = [], controls = null, plane = null;

  const plain = text => text.replace(/\s\+\s/g, " and ").replace(/;/g, ",")
    .replace(/\s+/g, " ").trim();
  /** What is heard at the point: [text, share], the nearest first. */
  const heardNow = () => placeShares(state.point, state.places)
    .map((share, index) => [plain(state.places[index].text), share])
    .filter(([text, share]) => text && share > 0);
  function mix() {
    const heard = heardNow();
    if (heard.length === 1) return heard[0][0];
    return heard.map(([text, share]) => `${text} ${share.toFixed(2)}`).join(" + ");
  }
  const wanted = () => ({text: mix(), cfg: state.cfg, temperature: state.temperature,
    drums: state.drums, energy: ENERGIES[state.energy]});

  // ------------------------------------------------------------------ saying it
  let told = null, isSending = false, sentAt = 0, changedAt = -GESTURE_MS, waiting = [];
  let isHeld = false;
  const delays = [];        // from a gesture to its sound, in ms

  /** Before a change: one gesture is one step back, however many changes it was. While a hand
      holds something it is the same gesture, however long it rests. */
  function gesture() {
    const now = performance.now();
    if (!isHeld && now - changedAt > GESTURE_MS) past.push(before.settings);
    past.splice(0, past.length - MAX_PAST);
    changedAt = now;
  }
  const settings = () => {
    const {volume, model, ...rest} = state;
    return copied(rest);
  };
  const before = {settings: settings()};  // what was set before the gesture under way
  /** What was changed by hand is kept, shown and said. */
  function changed() {
    localStorage.setItem(KEPT, JSON.stringify(state));
    before.settings = settings();
    controls.show();
    steer();
  }
  /** Something is set by hand: `change` sets it. */
  function by(change) {
    isHeld = false;
    gesture();
    change();
    plane.show();
    changed();
  }

  /** Says what is otherwise than what was told last; of several changes the newest counts. */
  async function steer() {
    if (!playing || isSending || !told) return;
    const now = wanted(), at = performance.now(), point = {...state.point};
    const isNew = ([name, value]) => told[name] !== value;
    const news = Object.fromEntries(Object.entries(now).filter(isNew));
    if (!Object.keys(news).length || !now.text) return;
    isSending = true;
    await pause(Math.max(0, sentAt + LEAST_MS - at));
    sentAt = performance.now();
    told = {...told, ...news};
    await tell(news, at, point);
    isSending = false;
    steer();
  }
  async function tell(news, at, point) {
    try {
      const {frame} = await ask(`play/${playing}/say`, news);
      waiting.push({sample: Math.round(frame * sound.rate / sound.frameRate), at, point});
      sound.unbroken.forEach(arrived);
    } catch (error) { trouble(error); }
  }
  /** Whether a change is in this piece, and then when it is heard. */
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
  function trouble(error) {
    if (!error.isLost) say(error.message);
    if (/press Play/.test(error.message)) over();
  }

  // ------------------------------------------------------------------ begin, pause, end
  // An audio element that is silent stands for this sound among the page's others: whatever plays
  // stops what played before.
  const stand = new Audio();
  stand.addEventListener("pause", () => { if (sound.isOn) hold(); });
  let beginning = null;

  const begin = () => beginning ??= begun().finally(() => { beginning = null; controls.show(); });
  async function begun() {
    const {text, ...rest} = wanted();
    if (!text) { say("Write some words at one of the places first."); return false; }
    controls.status("Loading the model …");
    try {
      await ready();
      const answer = await asked({prompt: text, ...rest, model: state.model});
      [playing, told, marks, waiting, recordsFrom] = [answer.id, {text, ...rest}, [], [], 0];
      sound.dropped = 0;
      listen();
      return true;
    } catch (error) {
      controls.status(error.isLost ? "" : error.message);  // stays, where a toast would go
      return false;
    }
  }
  /** As `ask`, which would not wait as long as a model takes that is compiled first. */
  async function asked(body) {
    const response = await fetch(address("play"), {method: "POST", body: JSON.stringify(body),
      headers: {"content-type": "application/json"}});
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.trouble);
    return answer;
  }
  async function ready() {
    await Promise.race([sound.open(sound.rate), pause(SOUND_MS)]);
    if (sound.context.state !== "running") throw new Error(NO_SOUND);
    stand.srcObject ??= sound.context.createMediaStreamDestination().stream;
    await stand.play().catch(() => {});
  }
  function listen() {
    sound.follow(address(`play/${playing}/stream`));
    plane.analyser = sound.analyser;
  }
  async function toggle() {
    if (beginning) return;
    if (sound.isOn) { hold(); return; }
    if (!playing) { await begin(); return; }
    try { await ready(); } catch (error) { trouble(error); return; }
    listen();
    controls.show();
  }
  function hold() {
    sound.stop();
    stand.pause();
    if (playing) ask(`play/${playing}/wait`, {}).catch(() => {});
    controls.status("Paused");
    controls.show();
  }
  function over(words = "") {
    sound.stop();
    stand.pause();
    if (recordsFrom) setTimeout(() => MusicGraph.takesChanged(), KEPT_MS);  // the server keeps it
    [playing, marks, recordsFrom] = [null, [], 0];
    controls.status(words);
    controls.show();
  }
  const on = (name, use) => sound.addEventListener(name, event => use(event.told));
  on("here", here => {
    const isOther = sound.rate !== here.rate;
    [sound.rate, sound.frameRate, marks] = [here.rate, here.frame_rate, here.marks];
    if (isOther) sound.open(here.rate).then(() => { plane.analyser = sound.analyser; });
    controls.status("");
    controls.show();
    steer();
  });
  on("piece", arrived);
  on("over", last => over(last.words || "The music is over."));
  on("closed", () => over("The music has ended: it plays elsewhere, "
    + "was left alone, or the server was started anew."));
  on("failed", last => over(last.words));
  on("lost", () => controls.status("Connection lost, trying again …"));
  on("said", other => {  // by OSC, or over the API
    const {cfg, temperature} = other.settings;
    Object.assign(state, {cfg, temperature});
    told = {...told, cfg, temperature};
    controls.status(`From elsewhere: ${other.prompt}`);
    controls.show();
  });

  // ------------------------------------------------------------------ undo, marks, recording
  function restore(kept) {
    const {places, point, ...rest} = copied(kept);
    places.forEach((place, index) => Object.assign(state.places[index], place));
    Object.assign(state.point, point);
    Object.assign(state, rest);
    plane.glide = null;
    plane.show();
    changed();
  }
  function undo() {
    const last = past.pop();
    if (last) restore(last); else say("There is nothing to take back.");
    changedAt = -GESTURE_MS;
    controls.show();
  }
  const keptMarks = [];     // what was set when each was made
  let nextMark = 0;
  async function mark() {
    if (!playing) return;
    const number = nextMark++ % MARKS.length;
    try {
      marks = (await ask(`play/${playing}/mark`, {number})).marks;
      keptMarks[number] = settings();
      say(`${MARKS[number]} is this moment: press it, and the music goes on from here.`);
    } catch (error) { trouble(error); }
    controls.show();
  }
  async function goBack(number) {
    const set = keptMarks[number];
    try {
      marks = (await ask(`play/${playing}/back`, {number})).marks;
      [waiting, told] = [[], null];  // what was said since is no part of it
      if (set) restore(set);
      told = wanted();
    } catch (error) { trouble(error); }
  }
  async function record() {
    if (recordsFrom) { await keep(); return; }
    if (!playing && !await begin()) return;
    if (!sound.isOn) await toggle();
    try {
      await ask(`play/${playing}/record`, {});
    } catch (error) {
      if (!/begin anew/.test(error.message)) { trouble(error); return; }
      say("This music has become too long to record: new music begins.");
      if (!await begin()) return;
      await ask(`play/${playing}/record`, {}).catch(trouble);
    }
    recordsFrom = performance.now();
    controls.show();
  }
  function title() {
    const names = heardNow().sort(([, a], [, b]) => b - a).map(([text]) => text);
    return `${names.slice(0, 3).join(" + ")} (played)`;
  }
  async function keep() {
    recordsFrom = 0;
    controls.show();
    try {
      const {take} = await ask(`play/${playing}/keep`, {title: title()});
      await MusicGraph.takesChanged();
      say(`Kept: ${take.duration_s.toFixed(1)} s, on the tab Takes. Its graph plays it again.`);
    } catch (error) { trouble(error); }
  }
  function idea() {
    if (playing) tell({seed: -1}, performance.now(), {...state.point});
  }
  function goTo(index) {
    if (state.places[index].text.trim()) plane.glideTo(state.places[index]);
  }

  // ------------------------------------------------------------------ keys
  const NAMED = {u: undo, r: record, m: mark, n: idea};
  const ARROWS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]};
  const TEXTS = "input:not([type=range], [type=radio]), textarea, select, [contenteditable]";

  function keys(event) {
    const {target, key} = event, isHere = document.getElementById("mg-play")?.offsetParent;
    if (!isHere || event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.matches?.(TEXTS) || target.closest?.("[role=tablist]")) return;
    const isOwn = target.matches?.("input, summary") || (key === " " && target.matches?.("button"));
    if (ARROWS[key] && !isOwn) plane.step(...ARROWS[key]);
    else if (key === " " && !isOwn) toggle();
    else if (key >= "1" && key <= String(PLACES.length)) goTo(Number(key) - 1);
    else if (NAMED[key.toLowerCase()]) NAMED[key.toLowerCase()]();
    else return;
    event.preventDefault();
  }

  const deck = {state, sound, delays, by, toggle, record, undo, mark, goBack, idea, goTo, over,
    heardNow, marks: () => marks, isPlaying: () => Boolean(playing), isBeginning: () => beginning,
    canUndo: () => past.length > 0,
    recordedMs: () => recordsFrom && performance.now() - recordsFrom,
    asFirst: () => by(() => restore({...FRESH, volume: state.volume, model: state.model}))};

  whenThere("mg-play", parent => {
    plane = deck.plane = new MusicGraph.Plane(state, isEnd => {
      gesture();
      isHeld = !isEnd;
      changed();
    });
    controls = MusicGraph.playControls(deck, parent);
    addEventListener("keydown", keys);
    addEventListener("pagehide", () => {
      const kept = JSON.stringify({title: title()});
      if (recordsFrom) navigator.sendBeacon(address(`play/${playing}/keep`), kept);
      sound.stop();
    });
    controls.show();
  });
  Object.assign(MusicGraph, {play: deck});
})(window.MusicGraph);
