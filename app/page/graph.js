/* The Graph tab: its picture, which may be moved and brought nearer, and the sound of what runs. */
(MusicGraph => {
  "use strict";
  const {address, ask, element, pause, sound} = MusicGraph;
  const STEP = 1.3, NEAREST = 8, MOVE = .12, LOOK_MS = 500, BEGIN_S = 1;

  // ------------------------------------------------------------------ the picture
  let kept = {whole: "", view: null};
  const textOf = view => view.map(one => one.toFixed(1)).join(" ");

  /** Again whenever a node is done: Gradio then brings what it finds to what the server drew, which
      has no buttons and is seen from afar. */
  function movable(box) {
    box.moves?.abort();
    const {signal} = box.moves = new AbortController(), svg = box.querySelector("svg");
    const now = svg.getAttribute("viewBox");
    const whole = kept.view && textOf(kept.view) === now ? kept.whole : now;
    const [left, top, wide, high] = whole.split(" ").map(Number);
    let view = kept.whole === whole && kept.view ? kept.view : [left, top, wide, high];
    const show = next => {
      view = next;
      kept = {whole, view};
      svg.setAttribute("viewBox", textOf(view));
    };
    /** `x`, `y`: the place that stays where it is, as shares of the view. */
    function zoom(factor, x = .5, y = .5) {
      const width = Math.min(wide * 1.5, Math.max(wide / NEAREST, view[2] / factor));
      const height = width * view[3] / view[2];
      show([view[0] + (view[2] - width) * x, view[1] + (view[3] - height) * y, width, height]);
    }
    const move = (x, y) => show([view[0] + view[2] * x, view[1] + view[3] * y, view[2], view[3]]);
    const fit = () => show([left, top, wide, high]);
    const button = (words, name, click) => element("button",
      {type: "button", "aria-label": name, click}, words);
    box.append(element("div", {class: "mg-zoom"}, button("+", "Nearer", () => zoom(STEP)),
      button("−", "Further", () => zoom(1 / STEP)), button("⤢", "The whole graph", fit)));
    box.addEventListener("keydown", event => {
      if (event.target !== box) return;
      const done = {"+": () => zoom(STEP), "=": () => zoom(STEP), "-": () => zoom(1 / STEP), "0": fit,
        ArrowLeft: () => move(-MOVE, 0), ArrowRight: () => move(MOVE, 0), ArrowUp: () => move(0, -MOVE),
        ArrowDown: () => move(0, MOVE)}[event.key];
      if (!done) return;
      event.preventDefault();
      done();
    }, {signal});
    box.addEventListener("wheel", event => {  // with Ctrl, as elsewhere; alone it moves the page
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const place = svg.getBoundingClientRect();
      zoom(event.deltaY < 0 ? STEP : 1 / STEP, (event.clientX - place.left) / place.width,
        (event.clientY - place.top) / place.height);
    }, {passive: false, signal});
    fingers(svg, move, zoom, signal);
    if (view[2] !== wide) show(view);
    else if (box.clientWidth < 600 && wide > 1.6 * high) show([left, top, high * 1.4, high]);
  }

  /** One moves the picture, two bring it nearer. */
  function fingers(svg, move, zoom, signal) {
    const down = new Map();
    const apart = () => {
      const [a, b] = [...down.values()];
      return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
    };
    svg.addEventListener("pointerdown", event => {
      down.set(event.pointerId, event);
      svg.setPointerCapture(event.pointerId);
    }, {signal});
    svg.addEventListener("pointermove", event => {
      const before = down.get(event.pointerId);
      if (!before) return;
      const was = down.size === 2 ? apart() : 0, place = svg.getBoundingClientRect();
      down.set(event.pointerId, event);
      if (was) zoom(apart() / was);
      else move((before.clientX - event.clientX) / place.width, (before.clientY - event.clientY) / place.height);
    }, {signal});
    for (const name of ["pointerup", "pointercancel"]) {
      svg.addEventListener(name, event => down.delete(event.pointerId), {signal});
    }
  }

  // ------------------------------------------------------------------ its sound
  async function hear(holder) {
    const id = holder.dataset.sound;
    const source = {key: `sound ${id}`, url: address(`sounds/${id}/sound`), grows: true, duration: 1,
      title: "what the graph makes", isOurs: true, peaks: []};
    let row = null, hasBegun = false;
    while (holder.isConnected) {
      const now = await ask(`sounds/${id}`).catch(() => null);
      if (now?.peaks.length) {
        Object.assign(source, {peaks: now.peaks, duration: now.peaks.length / 10});
        if (!row) holder.append(row = MusicGraph.liveRow(source));
        if (!hasBegun && (source.duration >= BEGIN_S || now.is_whole)) {
          hasBegun = true;
          sound.play(source);
        }
        row.wave.draw();
      }
      await pause(LOOK_MS);
    }
    goOnAsTake(source);
  }
  /** The live sound becomes that of the first take that the graph has saved, where it is. */
  async function goOnAsTake(source) {
    for (let tries = 0; tries < 10 && sound.is(source.key); tries++) {
      const row = document.querySelector(".mg-graph-takes .mg-take");
      const take = row && MusicGraph.takes().find(one => one.id === row.dataset.take);
      if (take) { sound.moveTo(MusicGraph.takeSource(take)); return; }
      await pause(LOOK_MS);
    }
  }

  // ------------------------------------------------------------------ its form
  /** While a file comes, and until its form is there, the one before takes nothing: it would be lost. */
  function holdForm() {
    const body = document.getElementById("mg-graph-body");
    if (!body || body.inert) return;
    body.inert = true;
    body.before(element("p", {id: "mg-held", role: "status"}, "Reading it. Its form comes at once."));
  }
  function freeForm() {
    const body = document.getElementById("mg-graph-body");
    if (body) body.inert = false;
    document.getElementById("mg-held")?.remove();
  }
  MusicGraph.connection.addEventListener("lost", freeForm);

  /** Gradio's field for a file says so while one comes, and names it when it is here. */
  const comes = () => document.querySelector("#mg-drop .uploading");
  let wasComing = false;
  function watchFile() {
    const isComing = Boolean(comes());
    if (isComing && !wasComing) holdForm();
    if (wasComing && !isComing && !document.querySelector("#mg-drop .file-preview")) freeForm();
    wasComing = isComing;
  }

  new MutationObserver(all => {
    if (document.getElementById("mg-drop")) watchFile();
    for (const box of document.querySelectorAll(".mg-graph:not(:has(.mg-zoom))")) movable(box);
    for (const node of all.flatMap(one => [...one.addedNodes])) {
      for (const [kind, use] of [[".mg-grows", hear], [".mg-form-is-there", freeForm]]) {
        const found = node.matches?.(kind) ? [node] : node.querySelectorAll?.(kind) || [];
        found.forEach(one => { if (!one.isKnown) { one.isKnown = true; use(one); } });
      }
    }
  }).observe(document.documentElement, {childList: true, subtree: true});

  // ------------------------------------------------------------------ a run that goes with its page
  // A run of a graph ends when its page goes: by a reload, Gradio's own too, which comes when the
  // server was started anew. The page that comes says so, or one would wait for the music.
  const ENDED = "musicgraph-graph-ended";
  addEventListener("pagehide", () => {
    if (document.querySelector("#mg-graph-status .busy")) sessionStorage.setItem(ENDED, "yes");
  });
  MusicGraph.whenThere("mg-graph-body", body => {
    if (!sessionStorage.getItem(ENDED)) return;
    sessionStorage.removeItem(ENDED);
    const said = element("p", {id: "mg-ended", role: "alert"}, "The run before has ended: the page "
      + "was loaded anew. Set the graph up and run it again.");
    body.before(said);
    addEventListener("click", event => { if (event.target.closest?.("#mg-run")) said.remove(); });
  });

  Object.assign(MusicGraph, {holdForm});
})(window.MusicGraph);
