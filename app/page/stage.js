/* A press of Generate, from the press to the take: the page asks how the run is, and nothing that it
   shows depends on a connection that must not break. */
(MusicGraph => {
  "use strict";
  const {address, ask, element, pause, say, sound, playButton, wave, whenThere, connection} = MusicGraph;
  const LOOK_MS = 400, ARRIVES_MS = 10000, SPOKEN_MS = 5000, MAX_SHOWN = 5, LEAST_S = .4,
    GESTURE_MS = 700;  // from leaving a field to the press that left it
  let run = null;      // {id, heard, live}: the one that is followed
  let made = null;     // ids of what this page made last
  let arrival = 0, isPressed = false, replacedAt = -GESTURE_MS;

  // ------------------------------------------------------------------ what the stage says
  const note = (title, text = "", kind = "") => {
    const words = [element("b", {}, title), ...(text ? [element("span", {}, text)] : [])];
    const role = kind === "error" ? {role: "alert"} : {};
    return element("div", {class: `mg-note ${kind}`, ...role}, ...words);
  };
  function show(content) {
    const status = document.getElementById("mg-status");
    if (!status) return;
    if (typeof content !== "string") status.replaceChildren(content);
    else if (status.shown !== content) {
      status.innerHTML = content;  // of our server, which escapes whatever is in it
      status.querySelectorAll("[role=status]").forEach(one => one.removeAttribute("role"));
    }
    status.shown = content;
    speak(status.innerText.split("\n")[0]);
  }
  let spokenAt = -SPOKEN_MS, speaking = 0;
  function speak(words) {  // for who does not see it: not with every figure
    clearTimeout(speaking);
    speaking = setTimeout(() => {
      spokenAt = performance.now();
      const line = document.getElementById("mg-spoken") || document.body.appendChild(
        element("div", {id: "mg-spoken", role: "status", class: "mg-unseen"}));
      if (line.textContent !== words) line.textContent = words;
    }, Math.max(0, spokenAt + SPOKEN_MS - performance.now()));
  }

  function showButtons() {
    const isBusy = (isPressed || Boolean(run)) && !MusicGraph.isLost();
    const go = document.getElementById("mg-generate"), stop = document.getElementById("mg-stop");
    go?.setAttribute("aria-disabled", String(isBusy));  // and not disabled: the focus stays there
    stop?.setAttribute("aria-disabled", String(!run));
    document.title = run ? "♪ MusicGraph" : "MusicGraph";
  }

  // ------------------------------------------------------------------ a press
  function press(event) {
    const target = event.target.closest?.("#mg-generate, #mg-stop");
    if (!target) return;
    if (target.id === "mg-stop") { stop(); return; }
    const isReplaced = performance.now() - replacedAt < GESTURE_MS;  // what was typed just now
    if (isPressed || run || MusicGraph.isLost() || isReplaced) {
      event.stopImmediatePropagation();
      event.preventDefault();
      if (MusicGraph.isLost()) neverArrived();
      return;
    }
    isPressed = true;
    markField("");
    show(note("Starting", "", "busy"));
    showButtons();
    clearTimeout(arrival);
    arrival = setTimeout(neverArrived, ARRIVES_MS);
  }
  addEventListener("click", press, true);
  // in the box Enter generates, and with Shift it is a new line, which Gradio would send (`keypress`)
  const inBox = event => event.key === "Enter" && !event.isComposing
    && event.target.closest?.("#mg-prompt");
  addEventListener("keypress", event => { if (inBox(event)) event.stopImmediatePropagation(); }, true);
  addEventListener("keydown", event => {
    if (!inBox(event)) return;
    event.stopImmediatePropagation();
    if (event.shiftKey) return;
    event.preventDefault();
    document.getElementById("mg-generate").click();
  }, true);

  function neverArrived() {
    isPressed = false;
    show(note("The press did not arrive", "Nothing was started. Press Generate again when the "
      + "connection is back.", "error"));
    showButtons();
    ask("runs").catch(() => {});
  }
  connection.addEventListener("lost", ({detail}) => {
    if (isPressed) { clearTimeout(arrival); neverArrived(); }
    if (run) show(detail !== "lost" ? note("The server is away", MusicGraph.AWAY[detail])
      : note("Connection lost, trying again", "If the server is still there, "
        + "what is being made goes on."));
    showButtons();
  });
  connection.addEventListener("back", () => {
    showButtons();
    if (run?.isToEnd) stop();  // that press did not arrive
  });

  /** What the server says to a press. */
  function started(answer) {
    clearTimeout(arrival);
    isPressed = false;
    if (answer?.run) follow(answer.run, true);
    else if (answer?.trouble) {
      show(note(answer.trouble.title, answer.trouble.text, "error"));
      markField(answer.trouble.field, answer.trouble.text);
    }
    showButtons();
  }

  /** Has something done with a take; answers whether it has begun. */
  async function make(take, how, values) {
    if (isPressed || run || MusicGraph.isLost()) {
      say(MusicGraph.isLost() ? "There is no connection at the moment."
        : "One thing at a time: something is being made. Stop it, or wait for it.");
      return false;
    }
    isPressed = true;
    markField("");
    show(note("Starting", "", "busy"));
    showButtons();
    try {
      started(await ask(`takes/${take.id}/make`, {how, ...values}));
    } catch (error) {
      isPressed = false;
      if (error.isLost) neverArrived(); else refused(error.message);
      return false;
    }
    MusicGraph.openTab("create");
    document.getElementById("mg-status")?.scrollIntoView({block: "nearest"});
    return true;
  }
  function refused(words) {
    show(note("This cannot be done", words, "error"));
    showButtons();
    say(words);
  }

  // ------------------------------------------------------------------ at the field
  function markField(name, words = "") {
    document.querySelectorAll(".mg-field-trouble").forEach(one => one.remove());
    document.querySelectorAll("[aria-invalid=true]").forEach(one => one.removeAttribute("aria-invalid"));
    const field = name && document.getElementById(`mg-${name.replaceAll("_", "-")}`);
    if (!field) return;
    if (!field.offsetParent) document.querySelector("#mg-more button")?.click();
    const input = field.querySelector("textarea, input:not([type=range]), input");
    input?.setAttribute("aria-invalid", "true");
    field.append(element("p", {class: "mg-field-trouble", id: "mg-field-trouble", role: "alert"}, words));
    input?.setAttribute("aria-describedby", "mg-field-trouble");
    requestAnimationFrame(() => { input?.focus(); field.scrollIntoView({block: "nearest"}); });
  }
  addEventListener("input", event => {
    if (event.target.getAttribute?.("aria-invalid")) markField("");
  });
  // A slider's box brings what is typed into its range: that is said, and not done in silence.
  addEventListener("change", event => {
    const box = event.target;
    if (!box.matches?.("#mg-create input[type=number][min][max]") || !box.dataset.typed) return;
    const typed = box.dataset.typed, number = Number(typed);
    delete box.dataset.typed;
    if (typed !== "" && number >= Number(box.min) && number <= Number(box.max)) return;
    replacedAt = performance.now();
    const got = !typed.trim() ? "nothing" : typed, field = box.closest(".block");
    markField(field?.id.replace("mg-", ""), `Got ${got}, possible is ${box.min} to ${box.max}.`);
  }, true);
  addEventListener("input", event => {
    if (event.target.matches?.("#mg-create input[type=number][min][max]")) {
      event.target.dataset.typed = event.target.value || " ";
    }
  }, true);

  // ------------------------------------------------------------------ a run
  async function follow(id, isOwn) {
    run?.live?.remove();
    const mine = run = {id, isOwn, heard: false, live: null,
      source: {key: `run ${id}`, url: address(`runs/${id}/sound`), grows: true, duration: 1,
        title: "music", peaks: []}};
    showButtons();
    while (run === mine) {
      let now = null;
      if (!MusicGraph.isLost()) {
        try { now = await ask(`runs/${id}`); } catch (error) { if (!error.isLost) throw error; }
      }
      if (run !== mine) return;
      if (now) see(now);
      await pause(LOOK_MS);
    }
  }

  function see(now) {
    if (now.state === "gone") { gone(run); return; }
    show(now.status);
    if (now.has_sound && !now.takes.length) hear(now);
    if (now.state === "running") return;
    const {isOwn, source} = run;
    if (now.takes.length) takeOver(now, source, isOwn);
    else sound.forget(source.key);
    end();
    if (now.field) markField(now.field, document.querySelector("#mg-status span")?.innerText);
  }

  /** The server was started anew. Told to end, it has kept what was made; killed, it has not. */
  async function gone({id, source, isOwn}) {
    end();
    await MusicGraph.loadTakes();
    const takes = MusicGraph.takes().filter(take => take.run === id);
    if (takes.length) {
      show(note("Stopped", "The server was started anew. What was made until then is kept."));
      takeOver({takes}, source, isOwn);
      return;
    }
    sound.forget(source.key);
    show(note("This run is lost", "The server was started anew. Press Generate again: what stands "
      + "in the form is still there.", "error"));
  }

  function hear(now) {
    Object.assign(run.source, {duration: now.duration_s, title: now.title.slice(0, 60),
      peaks: now.peaks});
    if (!run.live) {
      run.live = liveRow(run.source, now.variations);
      document.getElementById("mg-takes")?.before(run.live);
    }
    if (run.isOwn && !run.heard && mayBegin(now)) {
      run.heard = true;
      sound.play(run.source, now.begin_s || null);
    }
    run.live.wave.draw();
  }
  /** Whether it will not have to wait in the middle: where music is made more slowly than it sounds,
      enough of it must be there first. */
  function mayBegin(now) {
    const made = now.peaks.length / 10, left = Math.max(0, now.duration_s - made);
    return made >= now.begin_s + LEAST_S && left / Math.max(now.x_real_time, 1e-3) <= now.duration_s - LEAST_S;
  }
  function liveRow(source, variations = 1) {
    const said = variations > 1 ? `while it is made: the first of ${variations}` : "while it is made";
    const drawn = wave(source);
    const title = element("div", {class: "mg-open"},
      element("b", {translate: source.isOurs ? null : "no"}, source.title),
      element("span", {}, said));
    const whole = element("article", {class: "mg-take mg-live"},
      element("div", {class: "mg-row-head"}, playButton(source), title), drawn);
    return Object.assign(whole, {wave: drawn});
  }

  /** The live player becomes the take's, where it is. */
  function takeOver(now, source, isOwn) {
    const [first] = now.takes, next = MusicGraph.takeSource(first);
    made = now.takes.map(take => take.id);
    if (first.settings.seed !== undefined) MusicGraph.keepSeed(first.settings.seed);
    if (sound.is(source.key)) sound.moveTo(next);
    else if (isOwn && run && !run.heard) sound.play(next, now.begin_s || null);  // done before it sounded
    MusicGraph.takesChanged().then(() => {
      document.querySelectorAll("#mg-takes .mg-take[data-take]").forEach(
        one => { if (one.isOpen && !one.querySelector(".mg-panels form")) one.open(false); });
      rowsOf(made[0])?.open(true);
    });
  }
  function end() {
    run?.live?.remove();
    run = null;
    showButtons();
  }
  function stop() {
    if (!run) return;
    run.isToEnd = true;
    show(note("Stopping", "", "busy"));
    ask(`runs/${run.id}/stop`, {}).catch(() => {});
  }
  addEventListener("pagehide", () => {
    if (run) navigator.sendBeacon(address(`runs/${run.id}/leave`), "{}");
  });

  // ------------------------------------------------------------------ the takes beside the form
  const rowsOf = id => document.querySelector(`#mg-takes [data-take="${id}"]`);
  whenThere("mg-takes", parent => {
    MusicGraph.onTakes(() => {
      MusicGraph.showRows(parent, MusicGraph.takes().slice(0, MAX_SHOWN));
    });
    MusicGraph.loadTakes();
    showButtons();
    ask("runs").then(found => { if (found.run && !run) follow(found.run, false); }).catch(() => {});
  });

  whenThere("mg-stop", showButtons);

  Object.assign(MusicGraph, {started, make, liveRow});
})(window.MusicGraph);
