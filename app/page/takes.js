/* The takes: a row each, opened on demand; the newest beside the form, all of them on their tab. */
(MusicGraph => {
  "use strict";
  const {address, ask, element, say, sound, playButton, wave, whenThere} = MusicGraph;
  const FORMATS = ["flac", "wav", "mp3"];
  const others = new BroadcastChannel("musicgraph");  // this browser's other tabs
  let takes = [], place = {hours: null, folder: ""};
  const lists = new Set();

  // ------------------------------------------------------------------ what there is
  async function load() {
    let found;
    try { found = await ask("takes"); } catch (error) { return; }
    [takes, place] = [found.takes, found];
    for (const list of lists) list();
  }
  function changed() {
    others.postMessage("takes");
    return load();
  }
  others.addEventListener("message", load);
  MusicGraph.connection.addEventListener("back", load);

  async function change(take, name, body = {}) {
    try {
      await ask(`takes/${take.id}/${name}`, body);
      await changed();
      return true;
    } catch (error) {
      if (!error.isLost) say(error.message);
      return false;
    }
  }

  // ------------------------------------------------------------------ a row
  const source = take => ({key: `take ${take.id}`, url: address(`takes/${take.id}/sound`),
    picture: address(`takes/${take.id}/picture`), duration: Math.max(.1, take.duration_s),
    title: take.title.slice(0, 60), loops: take.doing.how === "loop" && !take.was_stopped});

  function when(seconds) {
    const made = new Date(seconds * 1000), isToday = made.toDateString() === new Date().toDateString();
    const time = made.toLocaleTimeString([], {hour: "2-digit", minute: "2-digit"});
    return isToday ? time : `${made.toLocaleDateString()} ${time}`;
  }
  const WAYS = {"continue": "goes on", "repaint": "a part anew", "loop": "loop", "cut": "cut",
    "vary": "other words", "more": "another"};
  function facts(take) {
    return [`${take.duration_s.toFixed(1)} s`, when(take.made_at),
      ...(take.doing.how in WAYS ? [WAYS[take.doing.how]] : []),
      ...(take.was_stopped ? ["stopped"] : [])].join(" · ");
  }
  const titleOf = id => takes.find(one => one.id === id)?.title.slice(0, 40) || "a take that has gone";
  function chips(take) {
    const s = take.settings;
    const came = {brought: "a sound of your own", played: "played live"}[take.came] || "made by a graph";
    if (!("prompt" in s)) return [take.of ? `of ${titleOf(take.of)}` : came];
    const sounds = Object.entries(take.sounds).filter(([how]) => how !== "recording")
      .map(([how, name]) => `${how}: ${name}`);
    return [take.of && `of ${titleOf(take.of)}`, s.model?.split("/").pop(), ...sounds, ...(s.loras || []).map(one => `LoRA ${one}`), take.engine,
      `seed ${s.seed}`, `guidance ${s.guidance}`, `temperature ${s.temperature}`,
      s.top_p ? `top-p ${s.top_p}` : `top-k ${s.top_k}`, s.negative?.trim() && `not: ${s.negative}`,
      s.loud ? `${s.loudness} LUFS` : "loudness as made"].filter(Boolean);
  }

  function row(take) {
    const name = element("b", {translate: "no"}, take.title), said = element("span", {}, facts(take));
    const opener = element("button", {type: "button", class: "mg-open", "aria-expanded": "false",
      click: () => open(!whole.isOpen)}, name, said);
    const star = element("button", {type: "button", class: "mg-star",
      "aria-label": `Favourite: ${take.title.slice(0, 60)}`,
      "aria-pressed": String(Boolean(take.is_favourite)),
      click: () => change(take, "favour", {favourite: !take.is_favourite})},
    take.is_favourite ? "★" : "☆");
    const head = element("div", {class: "mg-row-head"}, playButton(source(take)), opener, star);
    const whole = element("article", {class: "mg-take", "data-take": take.id}, head);
    function open(now) {
      whole.isOpen = now;
      opener.setAttribute("aria-expanded", String(now));
      whole.querySelector(".mg-row-body")?.remove();
      if (now) whole.append(body(take, whole));
    }
    whole.open = open;
    return whole;
  }

  function body(take, whole) {
    const press = (words, click, more = {}) => element("button", {type: "button", click, ...more}, words);
    const drawn = wave(source(take)), panels = element("div", {class: "mg-panels"});
    const others = FORMATS.map(format => element("a", {
      href: address(`takes/${take.id}/as/${format}`), download: true,
      "aria-label": `Download ${format.toUpperCase()}: ${take.title.slice(0, 60)}`,
    }, format.toUpperCase()));
    if ("prompt" in take.settings) others.push(press("Use these settings", () => use(take)));
    others.push(press("Rename", () => rename(take, whole)), press("Delete", () => remove(take)));
    const list = element("div", {class: "mg-settings-list"},
      ...chips(take).map(fact => element("span", {}, String(fact))));
    const actions = MusicGraph.doings({take, wave: drawn, panels}, others);
    return element("div", {class: "mg-row-body"}, drawn, panels, actions, list);
  }

  // ------------------------------------------------------------------ what changes no sound
  function use(take) {
    MusicGraph.fill(take.settings, take.id, () => {
      MusicGraph.openTab("create");
      say("The settings are in the form.");
    });
  }
  async function remove(take) {
    sound.forget(source(take).key);
    if (await change(take, "remove")) {
      say("Deleted.", {undo: () => change(take, "restore")});
    }
  }
  function rename(take, whole) {
    const input = element("input", {type: "text", value: take.title, "aria-label": "New name",
      maxlength: "200"});
    const form = element("form", {class: "mg-rename"}, input,
      element("button", {type: "submit"}, "Save"));
    form.addEventListener("submit", async event => {
      event.preventDefault();
      if (await change(take, "rename", {title: input.value})) say("Renamed, and so is its file.");
    });
    input.addEventListener("keydown", event => { if (event.key === "Escape") form.remove(); });
    whole.querySelector(".mg-rename")?.remove();
    whole.querySelector(".mg-row-body").prepend(form);
    input.select();
  }

  // ------------------------------------------------------------------ lists of rows
  /** Keeps rows that did not change as they are, and open ones open. */
  function showRows(parent, wanted) {
    const old = new Map([...parent.children].map(one => [one.dataset.take, one]));
    const rows = wanted.map(take => {
      const text = JSON.stringify(take), was = old.get(take.id);
      if (was?.text === text) return was;
      const made = Object.assign(row(take), {text});
      if (was?.isOpen) made.open(true);
      return made;
    });
    const isSame = rows.length === parent.children.length
      && rows.every((one, at) => one === parent.children[at]);
    if (!isSame) parent.replaceChildren(...rows);
  }

  const ORDERS = {
    "Newest": (a, b) => b.made_at - a.made_at, "Oldest": (a, b) => a.made_at - b.made_at,
    "Longest": (a, b) => b.duration_s - a.duration_s, "Name": (a, b) => a.title.localeCompare(b.title),
  };

  function buildLibrary(parent) {
    const search = element("input", {type: "search", placeholder: "Search", "aria-label": "Search takes"});
    const order = element("select", {"aria-label": "Order"},
      ...Object.keys(ORDERS).map(name => element("option", {}, name)));
    const starred = element("button", {type: "button", "aria-pressed": "false", click: () => {
      starred.setAttribute("aria-pressed", String(starred.getAttribute("aria-pressed") === "false"));
      show();
    }}, "★ Favourites");
    const all = element("a", {href: address("takes.zip"), download: true}, "Download all");
    const add = element("button", {type: "button", click: addSound}, "Add a sound …");
    const where = element("p", {class: "mg-where"}), rows = element("div", {class: "mg-rows"});
    const finding = [search, order, starred];
    const bar = element("div", {class: "mg-bar-of-takes"}, ...finding, add, all);
    parent.replaceChildren(bar, where, rows);
    function show() {
      const words = search.value.toLowerCase().split(/\s+/);
      const isStarred = starred.getAttribute("aria-pressed") === "true";
      const fits = take => (!isStarred || take.is_favourite) && words.every(
        word => `${take.title} ${take.settings.prompt || ""}`.toLowerCase().includes(word));
      const wanted = takes.filter(fits).sort(ORDERS[order.value]);
      showRows(rows, wanted);
      all.hidden = !takes.length || !place.hours;
      for (const one of finding) one.hidden = !takes.length;
      where.textContent = whereWords(wanted.length);
    }
    search.addEventListener("input", show);
    order.addEventListener("change", show);
    lists.add(show);
    show();
  }
  /** A sound of one's own becomes a take, which goes on, is repainted or looped as any other. */
  function addSound() {
    const input = document.getElementById("mg-own-sound") || document.body.appendChild(
      element("input", {type: "file", accept: "audio/*,.flac,.opus", id: "mg-own-sound",
        class: "mg-unseen", tabindex: "-1", "aria-label": "A sound of your own"}));
    input.onchange = () => welcome(input);
    input.click();
  }
  async function welcome(input) {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    say("Taking the sound in …", {stays: true});
    try {
      const response = await fetch(address(`takes?name=${encodeURIComponent(file.name)}`),
        {method: "POST", body: file});
      const answer = await response.json();
      if (!response.ok) { say(answer.trouble); return; }
      await changed();
      say("It is among your takes: go on from it, make a part anew, or loop it. Generate does not "
        + "listen to it.");
      document.querySelectorAll(`[data-take="${answer.take.id}"]`).forEach(one => one.open(true));
    } catch (error) { say("The sound did not arrive: there is no connection."); }
  }
  function whereWords(shown) {
    const kept = place.hours
      ? `Takes are kept for ${place.hours} hours, for this browser alone: download what you like.`
      : `Takes are files in ${place.folder}, and stay there.`;
    if (!takes.length) return `Nothing here yet. ${kept}`;
    return shown ? kept : `No take fits. ${kept}`;
  }

  // ------------------------------------------------------------------ what graphs have made
  function showGraphTakes() {
    for (const parent of document.querySelectorAll(".mg-graph-takes")) {
      const ids = parent.dataset.takes.split(" ");
      const wanted = takes.filter(take => ids.includes(take.id));
      showRows(parent, wanted);
      if (wanted.length < ids.length && parent.dataset.asked !== parent.dataset.takes) {
        parent.dataset.asked = parent.dataset.takes;
        changed();
      }
    }
  }
  lists.add(showGraphTakes);
  new MutationObserver(all => {
    if (all.some(one => [...one.addedNodes].some(
      node => node.querySelector?.(".mg-graph-takes") || node.matches?.(".mg-graph-takes")))) {
      showGraphTakes();
    }
  }).observe(document.documentElement, {childList: true, subtree: true});

  addEventListener("click", event => {  // what came meanwhile, from wherever it came
    if (event.target.closest?.("[data-tab-id=takes]")) load();
  });
  whenThere("mg-library", buildLibrary);
  load();
  Object.assign(MusicGraph, {
    addSound, takesChanged: changed, loadTakes: load, takes: () => takes, onTakes: list => lists.add(list),
    showRows, takeSource: source,
  });
})(window.MusicGraph);
