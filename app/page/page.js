/* What the page's scripts share: the browser's number, questions to the server, the watch over the
   connection, and what stands in the form, which outlasts the page. */
(MusicGraph => {
  "use strict";

  // ------------------------------------------------------------------ whose page it is
  const known = document.cookie.match(/(?:^|; )musicgraph=([0-9a-f]{32})(?:;|$)/);
  const drawn = () => [...crypto.getRandomValues(new Uint8Array(16))]
    .map(byte => byte.toString(16).padStart(2, "0")).join("");
  const site = location.protocol === "https:"  // a Space is shown inside another site's page
    ? "SameSite=None; Secure; Partitioned" : "SameSite=Strict";
  document.cookie = `musicgraph=${known ? known[1] : drawn()}; path=/; max-age=31536000; ${site}`;

  // ------------------------------------------------------------------ questions to the server
  const PATIENCE_MS = 15000, RETRY_MS = 1500;
  const base = new URL(location.pathname.replace(/[^/]*$/, ""), location.origin);
  const address = path => new URL(`page/${path}`, base).href;
  const pause = ms => new Promise(done => setTimeout(done, ms));

  /** Answers with what the server says; throws its words, or `isLost` where there is no answer. */
  async function ask(path, body) {
    const how = body === undefined ? {} : {
      method: "POST", body: JSON.stringify(body), headers: {"content-type": "application/json"}};
    const {answer, isRefused, away} = await reach(path, how);
    if (away) {
      lose(away);
      throw Object.assign(new Error("connection lost"), {isLost: true});
    }
    if (isRefused) throw new Error(answer.trouble || "That did not work.");
    return answer;
  }
  async function reach(path, how = {}) {
    try {
      const response = await fetch(address(path),
        {...how, redirect: "manual", signal: AbortSignal.timeout(PATIENCE_MS)});
      const away = await awayBy(response);
      return away ? {away} : {answer: await response.json(), isRefused: !response.ok};
    } catch (error) {
      return {away: "lost"};
    }
  }

  // ------------------------------------------------------------------ the watch over it
  const connection = new EventTarget();
  const AWAY = {
    lost: "Connection lost, trying again …",
    asleep: "This Space was asleep and is waking up. The page waits, and then goes on by itself.",
    building: "This Space is being built. The page waits, and then goes on by itself.",
    paused: "This Space is paused; whoever owns it can start it again. The page waits for that.",
  };
  let isLost = false;

  /** Why somebody else answers in the server's place: a Space that is not there has its host's page;
      "" for the server itself, which answers this script with JSON and sends it nowhere. */
  async function awayBy(response) {
    if (response.type === "opaqueredirect") return "asleep";
    if (response.headers.get("content-type")?.includes("json")) return "";
    const text = await response.text();
    if (!/hugging ?face|\bspace\b/i.test(text)) return "lost";
    return /\bpaused\b/i.test(text) ? "paused" : /\bbuilding\b/i.test(text) ? "building" : "asleep";
  }

  async function lose(away) {
    if (isLost) return;
    isLost = true;
    say(AWAY[away], {stays: true});
    connection.dispatchEvent(new CustomEvent("lost", {detail: away}));
    for (let before = away; isLost; before = away) {
      await pause(RETRY_MS);
      const now = await reach("runs");
      isLost = Boolean(now.away || now.isRefused);
      away = now.away || before;
      if (away !== before) say(AWAY[away], {stays: true});
    }
    say("Connected again.");
    connection.dispatchEvent(new Event("back"));
  }
  addEventListener("offline", () => lose("lost"));

  // ------------------------------------------------------------------ short words
  let hiding = 0;

  /** A line at the lower edge; `undo` adds a button that takes something back. */
  function say(words, {undo = null, stays = false} = {}) {
    const line = document.getElementById("mg-toast") || document.body.appendChild(
      element("div", {id: "mg-toast", role: "status"}));
    line.replaceChildren(element("span", {}, words));
    if (undo) line.append(element("button", {type: "button", click: () => {
      line.classList.remove("shown");
      undo();
    }}, "Undo"));
    line.classList.add("shown");
    clearTimeout(hiding);
    if (!stays) hiding = setTimeout(() => line.classList.remove("shown"), undo ? 15000 : 4000);
  }

  /** `click` is listened to; text is text, never markup. */
  function element(name, {click, ...attributes} = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
    }
    if (click) made.addEventListener("click", click);
    made.append(...children);
    return made;
  }

  /** Calls back with the element as soon as the page has it. */
  function whenThere(id, use) {
    const look = () => {
      const found = document.getElementById(id);
      if (found) { watching.disconnect(); use(found); }
      return Boolean(found);
    };
    const watching = new MutationObserver(look);
    if (!look()) watching.observe(document.documentElement, {childList: true, subtree: true});
  }

  // ------------------------------------------------------------------ the form
  const FORM = "musicgraph-form", SEED = "musicgraph-seed";
  let waiting = null, from = "", then = null;

  const stored = () => {
    try { return JSON.parse(localStorage.getItem(FORM)) || {}; } catch (error) { return {}; }
  };
  const before = stored();
  let isRestored = false, usual = {};

  /** What the address asks for, else what stood in the form when it was last seen, in the order of
      its names. `models`: those on the menu; another one may have gone meanwhile. */
  function restored(names, values, models) {
    isRestored = true;
    usual = Object.fromEntries(names.map((name, at) => [name, values[at]]));
    const wanted = {...before, ...MusicGraph.sent(names, values)};
    if (!models.includes(wanted.model)) {
      if (wanted.model) say(`The model ${wanted.model} is not here: ${usual.model} is chosen.`);
      delete wanted.model;
    }
    if (MusicGraph.early?.isTyped) wanted.prompt = MusicGraph.early.box.value;
    MusicGraph.handOver(wanted.prompt ?? usual.prompt);
    return names.map((name, at) => name in wanted ? wanted[name] : values[at]);
  }

  function remember(names, values) {
    if (!isRestored) return;  // what the page begins with is not what somebody chose
    const now = Object.fromEntries(names.map((name, at) => [name, values[at]]));
    localStorage.setItem(FORM, JSON.stringify({...stored(), ...now}));
  }

  /** Puts settings, and the sounds that a take follows, into the form, and then does what is to be
      done with them. */
  function fill(settings, takeId, afterwards) {
    [waiting, from, then] = [settings, takeId, afterwards];
    document.getElementById("mg-fill").click();
  }
  const filled = (names, values) =>
    names.map((name, at) => waiting && name in waiting ? waiting[name] : values[at]);
  const filledFrom = () => from;
  function afterFilling() {
    const next = then;
    [waiting, then] = [null, null];
    if (next) next();
  }
  const keepSeed = seed => localStorage.setItem(SEED, String(seed));
  const lastSeed = now => Number(localStorage.getItem(SEED) ?? now);
  const isRandom = seed => seed === null || seed === -1;
  /** What stands in the field when the switch is turned: off, the last seed stays. */
  const seedFor = (random, seed) => random ? -1 : isRandom(seed) ? Math.max(0, lastSeed(0)) : seed;

  Object.assign(MusicGraph, {
    address, ask, connection, AWAY, lose, say, element, whenThere, pause, usual: () => usual,
    restored, remember, fill, filled, filledFrom, afterFilling, keepSeed, lastSeed, isRandom, seedFor,
    isLost: () => isLost,
  });
})(window.MusicGraph = window.MusicGraph || {});
