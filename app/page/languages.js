/* The page in the browser's language: English words that stand on it are replaced by those of a file
   made from `locales/`, wherever they came from. Numbers in them are `#` there, `*` stands for what
   is left as it is, and `~` for what is translated in its turn. What people wrote is left alone
   (translate="no"). A menu in the page's head says another language than the browser's. */
(MusicGraph => {
  "use strict";
  const NAMES = {en: "English", de: "Deutsch", es: "Español", fr: "Français", ja: "日本語",
    ko: "한국어", zh: "中文"};
  const KEPT = "musicgraph-language", NUMBER = /\d+(?:[.,]\d+)?/g;
  const ATTRIBUTES = ["placeholder", "aria-label", "aria-valuetext", "title"];
  const IS_REFUSAL = /^“|: got /, BETWEEN_NODES = /(?<=\.) (?=“|And \d+ more\.)/;
  const LEFT = "[translate=no], script, style, svg, textarea, [lang=en]:not(html)";
  const CHOSEN = "input[role=combobox][readonly]";  // a menu shows what is chosen as a value
  const kept = localStorage.getItem(KEPT);
  if (kept in NAMES) {  // Gradio's own words follow the browser's language: they follow this one, too
    Object.defineProperty(navigator, "language", {value: kept, configurable: true});
  }
  const language = () => {
    const wanted = [kept, ...(navigator.languages || [navigator.language])];
    return wanted.map(one => one?.slice(0, 2)).find(one => one in NAMES) || "en";
  };
  let words = null, patterns = [];

  // ------------------------------------------------------------------ a text
  /** Those of the words that stand for many texts; the more a pattern says, the sooner it counts. */
  function patternsOf(all) {
    const escaped = text => text.replace(/[.+?^${}()|[\]\\/]/g, "\\$&");
    return Object.keys(all).filter(english => /[*~]/.test(english))
      .sort((a, b) => b.replace(/[*~#]/g, "").length - a.replace(/[*~#]/g, "").length)
      .map(english => ({holes: english.match(/[*~#]/g), text: all[english], is: new RegExp(
        `^${escaped(english).replace(/#/g, `(${NUMBER.source})`).replace(/[*~]/g, "(.+?)")}`
          + `${IS_REFUSAL.test(english) ? "\\.?" : ""}$`, "s")}));
  }
  /** A piece between points stands for itself, and so does what is said of each of several nodes. */
  function translated(text) {
    if (BETWEEN_NODES.test(text)) {
      return text.split(BETWEEN_NODES).map(part => translated(part) ?? part).join(" · ");
    }
    const found = lookUp(text);
    if (found !== undefined || !/(^|\s)·\s/.test(text)) return found;
    return text.split(/((?:^|\s+)·\s+)/).map(part => part.trim() && lookUp(part) || part).join("");
  }
  function lookUp(text) {
    if (Object.hasOwn(words, text)) return words[text];
    const numbers = text.match(NUMBER) || [];
    const pattern = text.replace(NUMBER, "#");
    if (numbers.length && Object.hasOwn(words, pattern)) {
      return words[pattern].replace(/#/g, () => numbers.shift());
    }
    return byPattern(text) ?? asOnNodes(text);
  }
  function byPattern(text) {
    for (const {is, holes, text: other} of patterns) {
      const found = text.match(is);
      if (!found) continue;
      const parts = {"#": [], "*": [], "~": []};
      holes.forEach((hole, at) => parts[hole].push(
        hole === "~" ? translated(found[at + 1]) ?? found[at + 1] : found[at + 1]));
      return other.replace(/[#*~]/g, hole => parts[hole].shift());
    }
    return undefined;
  }
  /** Of a node's input the form shows "Fade in", and its name is `fade_in`. */
  function asOnNodes(text) {
    const name = text.toLowerCase().replaceAll(" ", "_");
    if (!/^[A-Z]/.test(text) || !Object.hasOwn(words, name)) return undefined;
    const found = words[name].replaceAll("_", " ");
    return found[0].toUpperCase() + found.slice(1);
  }

  // ------------------------------------------------------------------ the page
  function translateText(node) {
    const text = node.nodeValue.trim();
    if (!text || node.parentElement?.closest(LEFT)) return;
    const found = translated(text);
    if (found !== undefined && found !== text) node.nodeValue = node.nodeValue.replace(text, () => found);
  }
  function translateAttributes(element) {
    for (const name of ATTRIBUTES) {
      const text = element.getAttribute(name)?.trim();
      const found = text ? translated(text) : undefined;
      if (found !== undefined && found !== text) element.setAttribute(name, found);
    }
  }
  function translate(node) {
    if (node.nodeType === Node.TEXT_NODE) { translateText(node); return; }
    if (node.nodeType !== Node.ELEMENT_NODE) return;
    translateAttributes(node);
    const marked = ATTRIBUTES.map(name => `[${name}]`).join();
    for (const one of node.querySelectorAll(marked)) translateAttributes(one);
    const texts = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) translateText(texts.currentNode);
  }

  function translateChosen() {
    for (const one of document.querySelectorAll(CHOSEN)) {
      const found = translated(one.value);
      if (found !== undefined && found !== one.value) one.value = found;
    }
  }

  const observed = {childList: true, subtree: true, characterData: true, attributes: true,
    attributeFilter: ATTRIBUTES};
  const observer = new MutationObserver(changes => {
    for (const {type, target, addedNodes} of changes) {
      if (type === "childList") addedNodes.forEach(translate);
      else if (type === "attributes") translateAttributes(target);
      else translate(target);
    }
    translateChosen();
  });

  /** In its own name each, so that whoever reads no other one finds it. What stands in the form and
      what is being made outlast the page's beginning anew. */
  MusicGraph.whenThere("mg-language", parent => {
    const menu = MusicGraph.element("select", {"aria-label": "Language"},
      ...Object.entries(NAMES).map(([code, name]) =>
        MusicGraph.element("option", {value: code, lang: code, translate: "no"}, name)));
    menu.value = language();
    menu.addEventListener("change", () => {
      localStorage.setItem(KEPT, menu.value);
      location.reload();
    });
    parent.replaceChildren(menu);
  });

  async function begin() {
    const chosen = language();
    if (chosen === "en") return;
    const response = await fetch(MusicGraph.address(`words/${chosen}`));
    if (!response.ok) return;
    words = await response.json();
    patterns = patternsOf(words);
    document.documentElement.lang = chosen;
    observer.observe(document.documentElement, observed);
    translate(document.body);
  }
  begin().catch(() => {});  // without the network it stays in English
})(window.MusicGraph);
