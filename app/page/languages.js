/* The page in the browser's language: English words that stand on it are replaced by those of a file
   made from `locales/`, wherever they came from. Numbers in them are `#` there, and what follows a
   colon may be `*`. What people wrote is left alone (translate="no"). */
(MusicGraph => {
  "use strict";
  const KNOWN = ["de", "es", "fr", "ja", "ko", "zh"], NUMBER = /\d+(?:[.,]\d+)?/g;
  const ATTRIBUTES = ["placeholder", "aria-label", "title"];
  const LEFT = "[translate=no], script, style, svg, textarea, .mg-open b, [lang=en]:not(html)";
  const language = () => {
    const wanted = (navigator.languages || [navigator.language]).map(one => one.slice(0, 2));
    return wanted.find(one => one === "en" || KNOWN.includes(one)) || "en";
  };
  let words = null;

  function translated(text) {
    const found = lookUp(text);
    if (found !== undefined || !text.includes(" · ")) return found;
    return text.split(" · ").map(part => lookUp(part) ?? part).join(" · ");
  }
  function lookUp(text) {
    if (Object.hasOwn(words, text)) return words[text];
    const numbers = text.match(NUMBER) || [];
    const pattern = text.replace(NUMBER, "#");
    if (numbers.length && Object.hasOwn(words, pattern)) {
      return words[pattern].replace(/#/g, () => numbers.shift());
    }
    const at = text.indexOf(": "), headed = `${text.slice(0, at)}: *`;
    if (at > 0 && Object.hasOwn(words, headed)) {
      return words[headed].replace("*", () => text.slice(at + 2));
    }
    return undefined;
  }

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
    for (const one of node.querySelectorAll("[placeholder], [aria-label], [title]")) {
      translateAttributes(one);
    }
    const texts = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) translateText(texts.currentNode);
  }

  const observed = {childList: true, subtree: true, characterData: true, attributes: true,
    attributeFilter: ATTRIBUTES};
  const observer = new MutationObserver(changes => {
    for (const {type, target, addedNodes} of changes) {
      if (type === "childList") addedNodes.forEach(translate);
      else if (type === "attributes") translateAttributes(target);
      else translate(target);
    }
  });

  async function begin() {
    const chosen = language();
    if (chosen === "en") return;
    const response = await fetch(MusicGraph.address(`words/${chosen}`));
    if (!response.ok) return;
    words = await response.json();
    document.documentElement.lang = chosen;
    observer.observe(document.documentElement, observed);
    translate(document.body);
  }
  begin().catch(() => {});  // without the network it stays in English
})(window.MusicGraph);
