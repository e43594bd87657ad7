/* From the form that is there at once (`early.js`) to the page's own: what was typed, where the
   cursor is, and the press. */
(MusicGraph => {
  "use strict";
  const PATIENCE_MS = 3000;

  const frame = () => new Promise(requestAnimationFrame);
  const box = () => document.querySelector("#mg-prompt textarea");

  /** As soon as the form holds what is kept for it. */
  async function handOver(prompt) {
    const {early} = MusicGraph;
    if (!early) return;
    const until = performance.now() + PATIENCE_MS;
    while (early.isComposing || !box() || (box().value !== prompt && performance.now() < until)) await frame();
    const typed = early.box, hadFocus = document.activeElement === typed;
    if (early.isTyped && box().value !== typed.value) MusicGraph.write(typed.value);
    const {selectionStart, selectionEnd} = typed;
    MusicGraph.early = null;
    early.form.remove();
    document.querySelector("gradio-app").removeAttribute("inert");
    if (hadFocus) {
      box().focus({preventScroll: true});
      box().setSelectionRange(selectionStart, selectionEnd);
    }
    if (early.isPressed) {
      await frame();  // for the form to know what was typed
      document.getElementById("mg-generate").click();
    }
  }

  Object.assign(MusicGraph, {handOver});
})(window.MusicGraph);
