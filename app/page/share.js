/* Sending a take to somebody: an address that opens with its words and settings, its file with a
   picture, a video. And the other end: what such an address asks for, and the tabs' own addresses. */
(MusicGraph => {
  "use strict";
  const {address, element, say} = MusicGraph;
  const LOOPBACK = /^(localhost|127\.|\[?::1)/;

  /** Of what stood in the form when it was made, whatever is not as usual anyway. */
  function linkTo(take) {
    const url = new URL(location.pathname, location.origin), usual = MusicGraph.usual();
    for (const [name, value] of Object.entries(take.settings)) {
      const isUsual = JSON.stringify(value) === JSON.stringify(usual[name]);
      const counts = name in usual && !isUsual && value !== null && value !== "";
      if (counts || name === "seed") url.searchParams.set(name, [].concat(value).join("\n"));
    }
    return url.href;
  }

  async function copied(input) {
    try { await navigator.clipboard.writeText(input.value); } catch (error) {
      input.select();  // where there is no clipboard, as on a page without https
      document.execCommand("copy");
    }
    say("Copied.");
  }

  function share(row) {
    const {take} = row, press = MusicGraph.pressable, name = take.title.slice(0, 60);
    const download = (words, path) => element("a", {href: address(`takes/${take.id}/${path}`),
      download: true, "aria-label": `Download ${words}: ${name}`}, words);
    const parts = [element("div", {class: "mg-actions"}, download("MP3 with picture", "as/mp3"),
      download("Video", "video"))];
    if (take.settings.prompt) {
      const link = element("input", {type: "text", readonly: true, value: linkTo(take)});
      const send = navigator.share && press("Send …", () => navigator.share(
        {title: name, url: link.value}).catch(() => {}));
      const words = LOOPBACK.test(location.hostname)
        ? "This page is on your own machine: the link works here only. Send the file or the video." : "";
      parts.push(MusicGraph.smallField("A link with its words, seed and settings", link),
        element("div", {class: "mg-actions"}, ...[press("Copy the link", () => copied(link)), send]
          .filter(Boolean)), ...(words ? [element("p", {}, words)] : []));
    }
    const close = press("Close", () => { box.remove(); row.opener?.focus(); });
    const box = element("section", {class: "mg-panel", "aria-label": "Share"},
      element("b", {}, "Share"), ...parts, element("div", {class: "mg-actions"}, close));
    row.panels.replaceChildren(box);
    box.scrollIntoView({block: "nearest"});
    box.querySelector("a")?.focus();
  }

  // ------------------------------------------------------------------ what the address asks for
  const asked = new URLSearchParams(location.search);

  /** The settings that the address names, each of the kind that stands in the form. */
  function sent(names, values) {
    const read = (text, usual) => Array.isArray(usual) ? text.split("\n").filter(Boolean)
      : typeof usual === "boolean" ? text === "true"
        : typeof usual === "number" && text.trim() !== "" && Number.isFinite(Number(text))
          ? Number(text) : text;
    const found = names.map((name, at) => [name, at]).filter(([name]) => asked.has(name));
    const settings = Object.fromEntries(found.map(([name, at]) => [name, read(asked.get(name), values[at])]));
    if (found.length) {
      history.replaceState(null, "", location.pathname + location.hash);
      MusicGraph.whenThere("mg-generate", button => setTimeout(() => {
        say("Somebody's words and settings: press Generate to hear them.", {stays: true});
        button.focus();
      }, 300));
    }
    return settings;
  }

  // ------------------------------------------------------------------ the tabs' addresses
  const tabs = () => [...document.querySelectorAll("[role=tab][id^=mg-tab-]")];
  const nameOf = tab => tab.id.replace("mg-tab-", "").replace(/-button$/, "");
  const isOpen = tab => tab.getAttribute("aria-selected") === "true";

  function openTab(name) {
    const tab = tabs().find(one => nameOf(one) === name);
    if (tab && !isOpen(tab)) tab.click();
  }
  addEventListener("click", event => {
    const tab = event.target.closest?.("[role=tab][id^=mg-tab-]");
    const hash = tab && `#${nameOf(tab)}`;
    if (hash && hash !== (location.hash || "#create")) history.pushState(null, "", hash);
  }, true);
  const follow = () => openTab(location.hash.slice(1) || "create");
  addEventListener("popstate", follow);
  MusicGraph.whenThere("mg-tab-create-button", () => requestAnimationFrame(follow));

  Object.assign(MusicGraph, {share, sent, openTab});
})(window.MusicGraph);
