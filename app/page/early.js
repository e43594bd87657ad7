/* The form that is there before the page is: it keeps what is typed, and whether Generate was pressed,
   for `hand_over.js`. It stands in the page's answer, so it asks for nothing. */
(() => {
  "use strict";
  const form = document.getElementById("mg-early"), box = form.querySelector("textarea");
  const asked = new URLSearchParams(location.search), button = form.querySelector("button");
  if (location.hash && location.hash !== "#create") { form.remove(); return; }

  const theme = asked.get("__theme"), isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  form.classList.toggle("dark", theme === "dark" || (theme !== "light" && isDark));

  const kept = name => { try { return localStorage.getItem(name); } catch (error) { return null; } };
  const all = JSON.parse(document.getElementById("mg-early-words").textContent);
  const wanted = [kept("musicgraph-language"), ...navigator.languages].map(one => one?.slice(0, 2));
  const words = all[wanted.find(one => one === "en" || one in all)] || {};
  const translated = text => words[text] || text;
  for (const one of form.querySelectorAll("header p, .tabs span, .box span, button")) {
    one.textContent = translated(one.textContent);
  }
  box.placeholder = translated(box.placeholder);

  const early = {form, box, isTyped: false, isPressed: false, isComposing: false};
  let before = {};
  try { before = JSON.parse(kept("musicgraph-form")) || {}; } catch (error) { /* nothing is kept */ }
  box.value = asked.get("prompt") ?? before.prompt ?? "";
  box.addEventListener("input", () => { early.isTyped = true; });
  box.addEventListener("compositionstart", () => { early.isComposing = true; });
  box.addEventListener("compositionend", () => { early.isComposing = false; });
  box.addEventListener("keydown", event => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  form.addEventListener("submit", event => {
    event.preventDefault();
    early.isPressed = true;
    button.setAttribute("aria-disabled", "true");
    form.querySelector("[role=status]").textContent = translated("Starting");
  });
  document.addEventListener("DOMContentLoaded", () => {  // nobody comes to what is behind
    if (form.isConnected) document.querySelector("gradio-app")?.setAttribute("inert", "");
  });
  window.MusicGraph = {early};
  box.focus();
})();
