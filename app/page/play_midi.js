/* The Play tab's MIDI: each knob or key of a controller is what one teaches it to be, and the
   browser remembers that. */
(MusicGraph => {
  "use strict";
  const {element} = MusicGraph;
  const KEPT = "musicgraph-midi", CONTROL = 0xb0, NOTE_ON = 0x90;

  const stored = () => {
    try { return JSON.parse(localStorage.getItem(KEPT)) || {}; } catch (error) { return {}; }
  };

  /** `targets` are names → functions of a share from 0 to 1; `presses` those of what is pressed. */
  function midiPanel(targets, presses) {
    let learnt = stored(), learning = null, access = null;
    const words = element("p", {class: "mgp-small", role: "status"}, "");
    const rows = element("div", {class: "mgp-midi-rows"});
    const begin = element("button", {type: "button", click: connect}, "Connect MIDI");
    const whole = element("div", {class: "mgp-midi"}, begin, words, rows);
    if (!navigator.requestMIDIAccess) {
      begin.hidden = true;
      words.textContent = window.isSecureContext
        ? "This browser has no Web MIDI; Chrome, Edge and Firefox do."
        : "Web MIDI needs https, or the page on the machine itself.";
    }

    async function connect() {
      try { access = await navigator.requestMIDIAccess(); } catch (error) {
        words.textContent = "The browser was not allowed to use MIDI.";
        return;
      }
      begin.hidden = true;
      access.addEventListener("statechange", listen);
      listen();
      show();
    }
    function listen() {
      const inputs = [...access.inputs.values()];
      for (const input of inputs) input.onmidimessage = heard;
      const names = inputs.map(input => input.name).join(", ");
      words.textContent = names
        ? `Listening to ${names}. Press Learn, then move a knob or press a key.`
        : "No MIDI device yet: plug one in.";
    }

    function heard({data: [status, number, value]}) {
      const kind = status & 0xf0, channel = status & 0x0f;
      if (kind !== CONTROL && !(kind === NOTE_ON && value)) return;
      const key = `${kind === CONTROL ? "CC" : "note"} ${number} ch ${channel + 1}`;
      if (learning) {
        learnt = Object.fromEntries(Object.entries(learnt).filter(([one]) => one !== key));
        learnt[key] = learning;
        localStorage.setItem(KEPT, JSON.stringify(learnt));
        learning = null;
        show();
        return;
      }
      const name = learnt[key];
      if (targets[name]) targets[name](value / 127);
      else if (presses[name] && (kind === NOTE_ON || value >= 64)) presses[name]();
    }

    function show() {
      rows.replaceChildren(...[...Object.keys(targets), ...Object.keys(presses)].map(row));
    }
    function row(name) {
      const keys = Object.keys(learnt).filter(key => learnt[key] === name);
      const isLearning = learning === name;
      const learn = element("button", {type: "button", "aria-pressed": String(isLearning),
        "aria-label": `Learn: ${name}`, click: () => {
          learning = isLearning ? null : name;
          show();
        }}, isLearning ? "Move it now …" : "Learn");
      const label = `Forget: ${name}`;
      const forget = element("button", {type: "button", "aria-label": label, click: () => {
        for (const key of keys) delete learnt[key];
        localStorage.setItem(KEPT, JSON.stringify(learnt));
        show();
      }}, "Forget");
      forget.hidden = !keys.length;
      return element("div", {}, element("span", {}, name), element("i", {}, keys.join(", ") || "–"),
        learn, forget);
    }
    return whole;
  }
  Object.assign(MusicGraph, {midiPanel});
})(window.MusicGraph);
