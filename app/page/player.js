/* One player for the whole page: whatever sounds, sounds here, and one thing at a time. A wave shows
   where it is, and moves it. */
(MusicGraph => {
  "use strict";
  const {element} = MusicGraph;

  // ------------------------------------------------------------------ one sound at a time
  const sounding = new Set();  // also what is in no document, as Gradio's own players
  const ends = event => sounding.delete(event.target);

  function alone(media) {
    for (const other of sounding) if (other !== media) other.pause();
    sounding.add(media);
    media.addEventListener("pause", ends, {once: true});
    media.addEventListener("ended", ends, {once: true});
  }
  const play = HTMLMediaElement.prototype.play;
  HTMLMediaElement.prototype.play = function () {
    alone(this);
    return play.call(this);
  };
  document.addEventListener("play", event => alone(event.target), true);

  // ------------------------------------------------------------------ what grows
  const AGAIN_MS = 1500;

  /** Gives an audio element an MP3 that is still being made, each piece as soon as it is there; by
      itself a browser would wait for 32 KB. After a lost connection it goes on where it was. */
  function grow(audio, url) {
    const Source = window.ManagedMediaSource || window.MediaSource;
    if (!Source?.isTypeSupported("audio/mpeg")) { audio.src = url; return; }
    const source = new Source();
    audio.disableRemotePlayback = true;  // or a phone's ManagedMediaSource does not open
    audio.src = URL.createObjectURL(source);
    source.addEventListener("sourceopen", () => append(source, url), {once: true});
  }
  async function append(source, url) {
    const buffer = source.addSourceBuffer("audio/mpeg");
    let got = 0, isWhole = false;
    while (!isWhole && source.readyState === "open") {
      try {
        const response = await fetch(`${url}?from=${got}`), reader = response.body.getReader();
        if (!response.ok) return;
        for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
          if (source.readyState !== "open") { reader.cancel(); return; }
          buffer.appendBuffer(piece.value);
          got += piece.value.length;
          await new Promise(done => buffer.addEventListener("updateend", done, {once: true}));
        }
        isWhole = true;
      } catch (error) { await MusicGraph.pause(AGAIN_MS); }
    }
    if (source.readyState === "open") source.endOfStream();
  }

  // ------------------------------------------------------------------ what sounds
  class Sound extends EventTarget {
    constructor() {
      super();
      this.key = "";
      this.loop = null;  // [from, to] in seconds
      this.audio = null;
    }

    get isPlaying() { return Boolean(this.audio) && !this.audio.paused && !this.audio.ended; }
    get position() { return this.audio ? this.audio.currentTime : 0; }
    is(key) { return this.key === key; }

    play({key, url, grows, loops}, at = null) {
      if (!this.is(key)) this._take(key, this._made(url, grows, loops));
      if (at !== null) this._seek(at);
      return this.audio.play().catch(() => this._tell());  // a browser may ask for a press first
    }
    pause() { this.audio?.pause(); }
    toggle(source) {
      if (this.is(source.key) && this.isPlaying) this.pause(); else this.play(source);
    }
    forget(key) {
      if (this.is(key)) { this.pause(); this.key = ""; this._tell(); }
    }
    seek(at) { if (this.audio) { this._seek(at); this._tell(); } }

    /** The same music from another address, at the same place: the live sound becomes the take's. */
    moveTo({key, url, loops}) {
      const old = this.audio, next = this._made(url, false, loops);
      if (!this.isPlaying) { this._take(key, next); return; }
      const come = () => {
        if (this.audio !== old) { next.remove(); return; }
        const goesOn = this.isPlaying, at = old.currentTime;
        next.addEventListener("seeked", () => {
          this._take(key, next);
          if (goesOn) next.play().catch(() => this._tell());
        }, {once: true});
        next.currentTime = Math.min(at, next.duration - .05);
      };
      next.addEventListener("canplay", come, {once: true});
    }

    _seek(at) {
      const audio = this.audio;
      if (audio.readyState > 0) audio.currentTime = at;
      else audio.addEventListener("loadedmetadata", () => { audio.currentTime = at; }, {once: true});
    }
    _made(url, grows = false, loops = false) {
      const audio = element("audio", {class: "mg-sound", hidden: true, preload: "auto", loop: loops});
      if (grows) grow(audio, url); else audio.src = url;
      for (const name of ["play", "pause", "ended", "seeked", "timeupdate"]) {
        audio.addEventListener(name, () => audio === this.audio && this._tell());
      }
      document.body.append(audio);
      return audio;
    }
    _take(key, audio) {
      const old = this.audio;
      [this.key, this.audio, this.loop] = [key, audio, null];
      if (old) { old.pause(); old.removeAttribute("src"); old.load(); old.remove(); }
      this._tell();
    }
    _tell() {
      this._round();
      this.dispatchEvent(new Event("change"));
    }
    _round() {  // at each picture: events about the time come four times a second
      if (!this.loop) return;
      if (this.position >= this.loop[1]) this._seek(this.loop[0]);
      cancelAnimationFrame(this.rounds);
      if (this.isPlaying) this.rounds = requestAnimationFrame(() => this._round());
    }
  }
  const sound = new Sound();

  // ------------------------------------------------------------------ its button
  const ICONS = {Play: "M8 5v14l11-7z", Pause: "M6 5h4v14H6zm8 0h4v14h-4z"};

  function playButton(source) {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    icon.setAttribute("viewBox", "0 0 24 24");
    icon.setAttribute("aria-hidden", "true");
    icon.append(path);
    const button = element("button", {type: "button", class: "mg-play",
      click: () => sound.toggle(source)}, icon);
    const show = () => {
      const word = sound.is(source.key) && sound.isPlaying ? "Pause" : "Play";
      path.setAttribute("d", ICONS[word]);
      button.setAttribute("aria-label", `${word}: ${source.title}`);
    };
    follow(button, show);
    return button;
  }

  /** Shows the sound's state for as long as the element is on the page. */
  function follow(shown, show) {
    const told = () => shown.isConnected || !shown.wasThere ? show() : stop();
    const stop = () => sound.removeEventListener("change", told);
    sound.addEventListener("change", told);
    requestAnimationFrame(() => { shown.wasThere = shown.isConnected; });
    show();
  }

  // ------------------------------------------------------------------ its wave
  const clock = s => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;
  const STEP_S = 5, LEAST_LOOP_S = 0.3, HEIGHT = 88;

  /** A canvas: the picture of the music, or the bars of what is there so far. A click moves, a drag
      loops what lies between; arrows, Home, End and the space bar do the same without a mouse. */
  function wave(source) {
    const canvas = element("canvas", {role: "slider", tabindex: "0", "aria-valuemin": "0",
      "aria-label": `Position in: ${source.title}`});
    const time = element("span", {class: "mg-time"});
    const unloop = element("button", {type: "button", class: "mg-unloop", hidden: true,
      click: () => { sound.loop = shown = null; draw(); }}, "Loop: end");
    const whole = element("div", {class: "mg-wave"}, canvas, unloop, time);
    const image = source.picture ? Object.assign(new Image(), {src: source.picture}) : null;
    const isOwn = () => sound.is(source.key);
    const at = () => isOwn() ? Math.min(sound.position, source.duration) : 0;
    let dragged = null, shown = null;
    whole.show = part => { shown = part; draw(); };
    whole.region = () => shown || (isOwn() && sound.loop);

    function draw() {
      const width = canvas.clientWidth, scale = devicePixelRatio || 1;
      canvas.width = Math.max(1, width * scale);
      canvas.height = HEIGHT * scale;
      const pen = canvas.getContext("2d");
      pen.scale(scale, scale);
      const x = width * at() / source.duration;
      if (image?.complete && image.naturalWidth) drawPicture(pen, width, x);
      else drawBars(pen, width, x);
      const marked = dragged || whole.region();
      if (marked) drawLoop(pen, width, marked);
      pen.fillStyle = "#000";
      pen.fillRect(x - 2, 0, 4, HEIGHT);
      pen.fillStyle = "#fff";
      pen.fillRect(x - 1, 0, 2, HEIGHT);
      tell(marked);
    }
    function drawPicture(pen, width, x) {
      pen.drawImage(image, 0, 0, width, HEIGHT);
      if (!at()) return;
      pen.fillStyle = "rgba(8, 8, 20, .5)";
      pen.fillRect(x, 0, width - x, HEIGHT);
    }
    function drawBars(pen, width, x) {
      const peaks = source.peaks || [], step = width * 0.1 / source.duration;
      pen.fillStyle = "#080814";
      pen.fillRect(0, 0, width, HEIGHT);
      peaks.forEach((peak, index) => {
        const left = index * step, high = Math.max(2, (HEIGHT - 12) * peak / 99);
        pen.fillStyle = left < x ? "#f9a045" : "#b9809f";
        pen.fillRect(left, (HEIGHT - high) / 2, Math.max(1, step - .6), high);
      });
    }
    function drawLoop(pen, width, [from, to]) {
      pen.fillStyle = "rgba(255, 255, 255, .28)";
      pen.fillRect(width * from / source.duration, 0, width * (to - from) / source.duration, HEIGHT);
    }
    function tell(marked) {
      const now = at(), loop = marked ? `, loop ${clock(marked[0])} to ${clock(marked[1])}` : "";
      time.textContent = `${clock(now)} / ${clock(source.duration)}`;
      unloop.hidden = !(isOwn() && sound.loop);
      canvas.setAttribute("aria-valuemax", source.duration.toFixed(1));
      canvas.setAttribute("aria-valuenow", now.toFixed(1));
      canvas.setAttribute("aria-valuetext", `${clock(now)} of ${clock(source.duration)}${loop}`);
    }

    const place = event => {
      const box = canvas.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      return Math.max(0, Math.min(1, share)) * source.duration;
    };
    function loopPart(part) {
      sound.play(source, part[0]);
      sound.loop = part;
      whole.dispatchEvent(new CustomEvent("mark", {detail: part}));
    }
    /** A part without a mouse: it begins where the sound is, and grows or shrinks. */
    function stretch(seconds) {
      const [from, to] = whole.region() || [at(), at()];
      const end = Math.max(from + LEAST_LOOP_S, Math.min(source.duration, to + seconds));
      if (end <= source.duration) loopPart([from, end]);
    }
    canvas.addEventListener("pointerdown", event => {
      if (event.button) return;
      const begin = place(event);
      const move = moved => { dragged = [begin, place(moved)].sort((a, b) => a - b); draw(); };
      const end = ended => {
        for (const [name, one] of [["pointermove", move], ["pointerup", end],
          ["pointercancel", end]]) canvas.removeEventListener(name, one);
        const marked = ended.type === "pointerup" ? dragged : null;
        dragged = null;
        if (marked && marked[1] - marked[0] >= LEAST_LOOP_S) loopPart(marked);
        else if (ended.type === "pointerup") sound.play(source, begin);
        draw();
      };
      canvas.setPointerCapture(event.pointerId);
      canvas.addEventListener("pointermove", move);
      canvas.addEventListener("pointerup", end);
      canvas.addEventListener("pointercancel", end);
    });
    canvas.addEventListener("keydown", event => {
      const to = {ArrowLeft: at() - STEP_S, ArrowRight: at() + STEP_S, Home: 0,
        End: source.duration - .1}[event.key];
      if (event.key === " ") sound.toggle(source);
      else if (event.shiftKey && event.key === "ArrowRight") stretch(1);
      else if (event.shiftKey && event.key === "ArrowLeft") stretch(-1);
      else if (to === undefined) return;
      else if (isOwn()) sound.seek(Math.max(0, Math.min(source.duration - .1, to)));
      event.preventDefault();
    });
    image?.addEventListener("load", draw);
    new ResizeObserver(draw).observe(canvas);
    follow(canvas, draw);
    whole.draw = draw;
    return whole;
  }

  Object.assign(MusicGraph, {sound, playButton, wave, clock, followSound: follow});
})(window.MusicGraph);
