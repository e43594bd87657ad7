/* The first minute: words to choose from, what the model makes of a prompt before it is sent, takes
   that are there from the beginning, and how far the server is with its start. */
(MusicGraph => {
  "use strict";
  const {address, ask, element, pause, playButton, whenThere} = MusicGraph;
  const LOOK_MS = 350, START_MS = 1000, MOST_CHIPS = 90;
  const help = ask("help").catch(() => ({chips: {}, takes: []}));

  // ------------------------------------------------------------------ the box
  const box = () => document.querySelector("#mg-prompt textarea");

  /** As if it was typed, so that the form knows of it. */
  function write(text) {
    const into = box();
    const {set} = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value");
    set.call(into, text);
    into.dispatchEvent(new Event("input", {bubbles: true}));
  }
  const parts = text => text.split(",").map(one => one.trim()).filter(Boolean);
  const has = (text, word) => parts(text.toLowerCase()).includes(word.toLowerCase());

  /** Puts a word behind the others, or takes it away again. Of a tempo and a key there is one. */
  function toggle(group, word, words) {
    const now = parts(box().value);
    const left = now.filter(one => one.toLowerCase() !== word.toLowerCase());
    if (group === "idea") { write(word); return; }
    const single = group === "tempo" || group === "key";
    const others = single ? left.filter(one => !words.includes(one)) : left;
    write((left.length < now.length ? left : [...others, word]).join(", "));
  }

  // ------------------------------------------------------------------ words to choose from
  const GROUPS = {idea: "Ideas", genre: "Style", mood: "Mood", instrument: "Instrument", tempo: "Tempo", key: "Key"};

  function buildChips(parent, chips) {
    const row = element("div", {class: "mg-groups"});
    const list = element("div", {class: "mg-chips", id: "mg-chips", role: "group", hidden: true});
    let shown = "";
    const openers = Object.entries(GROUPS).filter(([group]) => chips[group]).map(([group, name]) =>
      Object.assign(element("button", {type: "button", class: "mg-group", "aria-expanded": "false",
        "aria-controls": "mg-chips", click: () => show(shown === group ? "" : group)}, name), {group}));

    function show(group) {
      shown = group;
      for (const one of openers) one.setAttribute("aria-expanded", String(one.group === group));
      list.hidden = !group;
      list.setAttribute("aria-label", GROUPS[group] || "");
      list.replaceChildren(...(chips[group] || []).slice(0, MOST_CHIPS).map(word =>
        element("button", {type: "button", class: "mg-chip", lang: "en", translate: "no",
          click: () => toggle(group, word, chips[group])}, word)));
      mark();
    }
    function mark() {
      const text = box()?.value || "";
      for (const chip of list.children) {
        const isIn = shown === "idea" ? text === chip.textContent : has(text, chip.textContent);
        chip.setAttribute("aria-pressed", String(isIn));
      }
    }
    const dice = element("button", {type: "button", class: "mg-group", id: "mg-prompt-dice",
      click: () => write(thrown(chips))}, "Surprise me");
    const own = element("button", {type: "button", class: "mg-group",
      click: () => MusicGraph.addSound()}, "Your own sound …");
    row.append(dice, ...openers, own);
    parent.replaceChildren(row, list);
    whenThere("mg-prompt", prompt => prompt.addEventListener("input", mark));
  }

  const one = words => words[Math.floor(Math.random() * words.length)];
  function thrown(chips) {
    const words = [`${one(chips.mood)} ${one(chips.genre)}`, `with ${one(chips.instrument.filter(
      word => !word.includes("drums")))}`];
    const more = [one(chips.tempo), Math.random() < .5 ? "drums" : "", one(chips.key)];
    return [words.join(" "), ...more.filter(word => word && Math.random() < .6)].join(", ");
  }

  // ------------------------------------------------------------------ what the model makes of it
  let looking = 0, asked = "";

  function look(parent) {
    clearTimeout(looking);
    looking = setTimeout(async () => {
      const prompt = box()?.value || "";
      const model = MusicGraph.model || "";  // none: the default
      const question = JSON.stringify({prompt, model});
      if (question === asked || MusicGraph.isLost()) return;
      asked = question;
      if (!prompt.trim()) { parent.replaceChildren(); return; }
      let found;
      try { found = await ask("prompt", {prompt, model}); } catch (error) { asked = ""; return; }
      if (asked === question) show(parent, found);
    }, LOOK_MS);
  }

  function show(parent, found) {
    const lines = [];
    if (found.unknown.length) {
      lines.push(element("p", {}, element("span", {}, "The model does not know: "),
        element("span", {class: "mg-unknown", lang: "en", translate: "no"}, found.unknown.join(", "))));
    }
    if (found.advice) lines.push(element("p", {}, found.advice));
    const isTooLong = found.tokens !== null && found.tokens >= found.most;
    const count = found.tokens === null ? "" : `${found.tokens} of ${found.most} tokens`;
    parent.replaceChildren(...lines,
      element("p", {class: `mg-tokens${isTooLong ? " mg-too-long" : ""}`}, count));
  }

  whenThere("mg-prompt-help", async parent => {
    const chips = element("div"), said = element("div", {class: "mg-said", id: "mg-said"});
    parent.replaceChildren(said, chips);
    const lookNow = () => look(said);
    whenThere("mg-prompt", prompt => {
      prompt.addEventListener("input", lookNow);
      box()?.setAttribute("aria-describedby", "mg-said");
      box()?.setAttribute("dir", "auto");
    });
    addEventListener("mg-model", lookNow);
    const {chips: words, takes} = await help;
    if (takes.length) buildChips(chips, {idea: takes.map(take => take.prompt), ...words});
    const watch = setInterval(() => { if (box()?.value) { clearInterval(watch); lookNow(); } }, 500);
  });

  // ------------------------------------------------------------------ before there is anything
  function firstTake(take) {
    const source = {key: `first ${take.id}`, url: address(`first/${take.id}`),
      duration: take.duration_s, title: take.prompt};
    const use = element("button", {type: "button", class: "mg-open",
      click: () => { write(take.prompt); box().focus(); }},
    element("b", {lang: "en", translate: "no"}, take.prompt), element("span", {}, "Use these words"));
    return element("li", {class: "mg-take"},
      element("div", {class: "mg-row-head"}, playButton(source), use));
  }

  /** What the stage shows until there is a take, or one is being made. */
  whenThere("mg-first", async parent => {
    const {takes} = await help;
    const shown = element("div", {class: "mg-empty"}, element("h2", {}, "Nothing of yours yet"),
      element("p", {}, "Write a few words and press Generate: you hear the music while it is being "
        + "made. Or listen to what these words became:"),
      element("ul", {class: "mg-first"}, ...takes.map(firstTake)),
      element("p", {class: "mg-small"}, "Made by pocket, the small model that comes with MusicGraph. "
        + "It is a sketchpad; the official models sound far better."));
    MusicGraph.onTakes(() => {
      if (MusicGraph.takes().length) parent.replaceChildren();
      else if (!parent.firstChild) parent.append(shown);
    });
    MusicGraph.loadTakes();
  });

  // ------------------------------------------------------------------ the server's start
  whenThere("mg-start", async line => {
    for (;;) {
      let now = null;
      try { now = await ask("start"); } catch (error) { if (!error.isLost) return; }
      if (now && line.shown !== now.status) {
        line.innerHTML = now.status;  // of our server, which escapes whatever is in it
        line.querySelectorAll("[role=status]").forEach(one => one.removeAttribute("role"));
        line.shown = now.status;
      }
      if (now && !now.is_going) return;
      await pause(START_MS);
    }
  });

  function modelChanged(name) {
    MusicGraph.model = name;
    dispatchEvent(new Event("mg-model"));
  }

  Object.assign(MusicGraph, {write, modelChanged});
})(window.MusicGraph);
