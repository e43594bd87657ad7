/* The Play tab's plane: prompts are places that shine, and the music is a point among them; the
   nearer, the louder. Behind them the spectrum of what sounds goes by, slowly. */
(MusicGraph => {
  "use strict";
  const {element} = MusicGraph;
  const RIDGE_COLOURS = ["#64228f", "#cf3f7c", "#f9a045"];
  const COLOURS = ["#f9a045", "#e3659a", "#9b6cf0", "#4fa8e8", "#3fc1a0", "#e8cf5a"];
  const TRAIL_MS = 7000, BANDS = 56, RIDGES = 14, RIDGE_MS = 420, LOW_HZ = 45, STEP = 0.04;
  const FRAME_MS = 20, LEAST_REST_MS = 4, MOST_REST_MS = 80;
  const LEAST_SHARE = 0.05, SHARPNESS = 3, ROUND = 50;
  const isStill = matchMedia("(prefers-reduced-motion: reduce)");
  const within = value => Math.max(0, Math.min(1, value));

  /** How much each place counts at a point: by its distance; what is far counts nothing. They sum
      to 1, in steps of 1/50. */
  function shares(point, places) {
    const near = places.map(place => place.text.trim()
      ? 1 / (Math.hypot(place.x - point.x, place.y - point.y) ** SHARPNESS + 1e-4) : 0);
    const all = near.reduce((sum, one) => sum + one, 0) || 1;
    const kept = near.map(one => one / all < LEAST_SHARE ? 0 : one);
    const sum = kept.reduce((total, one) => total + one, 0) || 1;
    return kept.map(one => Math.round(ROUND * one / sum) / ROUND);
  }

  class Plane {
    /** `state` has places and point; `moved(isEnd)` is told when either was moved by hand. */
    constructor(state, moved) {
      Object.assign(this, {state, moved, trail: [], rings: [], ridges: [], level: 0,
        glide: null, restMs: 0});
      this.bands = new Float32Array(BANDS);
      this.canvas = element("canvas", {"aria-hidden": "true"});
      this.point = element("div", {class: "mgp-point", "aria-hidden": "true"});
      this.buttons = state.places.map((place, index) => this._button(index));
      this.whole = element("div", {class: "mgp-plane"}, this.canvas, ...this.buttons, this.point);
      this._follow(this.whole, null);
      new ResizeObserver(() => this._fit()).observe(this.whole);
      new IntersectionObserver(([seen]) => {
        this.isSeen = seen.isIntersecting;
        if (this.isSeen) this._next();
      }).observe(this.whole);
      this.show();
    }

    _button(index) {
      const button = element("button", {type: "button", class: "mgp-place"},
        element("b", {}, String(index + 1)), " ", element("span", {translate: "no"}));
      button.style.setProperty("--mgp-colour", COLOURS[index]);
      button.addEventListener("keydown", event => {
        const by = {ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, STEP],
          ArrowDown: [0, -STEP]}[event.key];
        if (!by) return;
        event.preventDefault();
        event.stopPropagation();
        this._move(this.state.places[index], by);
        this.moved(true);
      });
      button.addEventListener("click", event => {  // of the keyboard; a finger's is seen below
        if (!event.detail) this.glideTo(this.state.places[index]);
      });
      this._follow(button, index);
      return button;
    }

    // ---------------------------------------------------------------- hands
    /** Fingers and mouse, on a place (of this index) or on the ground. */
    _follow(target, index) {
      target.addEventListener("pointerdown", event => {
        if (event.button || (index === null && event.target.closest(".mgp-place"))) return;
        const box = this.whole.getBoundingClientRect(), from = [event.clientX, event.clientY];
        const at = moved => ({x: within((moved.clientX - box.left) / box.width),
          y: within(1 - (moved.clientY - box.top) / box.height)});
        const thing = index === null ? this.state.point : this.state.places[index];
        let isDragged = index === null;
        const drag = moved => {
          isDragged = isDragged || Math.hypot(moved.clientX - from[0], moved.clientY - from[1]) > 6;
          if (!isDragged) return;
          this._put(thing, at(moved));
          this.moved(false);
        };
        const end = ended => {
          for (const [name, one] of [["pointermove", drag], ["pointerup", end],
            ["pointercancel", end]]) target.removeEventListener(name, one);
          if (ended.type === "pointerup" && !isDragged) this.glideTo(thing);
          else this.moved(true);
        };
        target.setPointerCapture(event.pointerId);
        for (const [name, one] of [["pointermove", drag], ["pointerup", end],
          ["pointercancel", end]]) target.addEventListener(name, one);
        if (index === null) { event.preventDefault(); drag(event); }
      });
    }
    _put(thing, {x, y}) {
      if (thing === this.state.point) this.glide = null;
      Object.assign(thing, {x, y});
      this.show();
    }
    _move(thing, [x, y]) { this._put(thing, {x: within(thing.x + x), y: within(thing.y + y)}); }
    step(x, y) { this._move(this.state.point, [x * STEP, y * STEP]); this.moved(true); }

    /** The point goes there by itself, soon but not at once. */
    glideTo({x, y}, ms = 500) {
      const {point} = this.state, from = {...point}, begun = performance.now();
      const glide = this.glide = {};
      const go = () => {
        if (this.glide !== glide) return;
        const part = isStill.matches ? 1 : Math.min(1, (performance.now() - begun) / ms);
        const eased = part * part * (3 - 2 * part);
        point.x = from.x + (x - from.x) * eased;
        point.y = from.y + (y - from.y) * eased;
        this.show();
        this.moved(part === 1);
        if (part < 1) setTimeout(go, 40); else this.glide = null;
      };
      go();
    }

    /** Puts places and point where they are. */
    show() {
      const {point, places} = this.state, counts = shares(point, places);
      const put = (thing, {x, y}) => {
        thing.style.left = `${100 * x}%`;
        thing.style.top = `${100 * (1 - y)}%`;
      };
      put(this.point, point);
      this.buttons.forEach((button, index) => {
        const {text} = places[index], percent = Math.round(100 * counts[index]);
        put(button, places[index]);
        button.hidden = !text.trim();
        button.lastChild.textContent = text;
        button.style.setProperty("--mgp-share", counts[index]);
        button.setAttribute("aria-label", `${index + 1} ${text}: ${percent} %`);
      });
      this.counts = counts;
      this._note(point);
      if (isStill.matches) requestAnimationFrame(() => this._draw());
    }
    _note({x, y}) {
      const now = performance.now(), last = this.trail.at(-1);
      if (!last || Math.hypot(last.x - x, last.y - y) > 0.004) this.trail.push({x, y, at: now});
      this.trail = this.trail.filter(one => now - one.at < TRAIL_MS);
    }
    /** A change is heard now, that was made when the point was there. */
    ring({x, y}) { this.rings = [...this.rings, {x, y, at: performance.now()}].slice(-8); }

    // ---------------------------------------------------------------- the picture
    _fit() {
      const {canvas, whole} = this, scale = Math.min(2, devicePixelRatio || 1);
      canvas.width = Math.max(1, Math.round(whole.clientWidth * scale));
      canvas.height = Math.max(1, Math.round(whole.clientHeight * scale));
      this._draw();
    }
    _next() {
      if (this.isWaiting || !this.isSeen || isStill.matches) return;
      this.isWaiting = true;
      const due = performance.now() + this.restMs;
      const draw = () => requestAnimationFrame(() => {
        this.isWaiting = false;
        this._pace(performance.now() - due);
        this._draw();
        this._next();
      });
      if (this.restMs > LEAST_REST_MS) setTimeout(draw, this.restMs); else draw();
    }
    /** Where pictures come late there are fewer of them: the processor is for the music first. */
    _pace(lateMs) {
      const wanted = Math.min(MOST_REST_MS, 1.5 * Math.max(0, lateMs - FRAME_MS));
      this.restMs += (wanted - this.restMs) / 8;
    }

    /** Slowly: what sounds rises quickly, and falls within a second. */
    _listen(analyser) {
      if (!analyser) return;
      const now = performance.now(), passed = now - (this.heardAt || now);
      const took = Math.max(0, Math.min(100, passed));
      this.heardAt = now;
      const bins = this.bins?.length === analyser.frequencyBinCount ? this.bins
        : this.bins = new Uint8Array(analyser.frequencyBinCount);
      analyser.getByteFrequencyData(bins);
      const mostHz = analyser.context.sampleRate / 2, hz = mostHz / bins.length;
      const edge = band => LOW_HZ * (.6 * mostHz / LOW_HZ) ** (band / BANDS) / hz;
      let level = 0;
      for (let band = 0; band < BANDS; band++) {
        const heard = bins.subarray(Math.floor(edge(band)), Math.ceil(edge(band + 1)) + 1);
        const most = Math.max(...heard);
        const wanted = (most / 255) ** 2, speed = wanted > this.bands[band] ? 90 : 900;
        this.bands[band] += (wanted - this.bands[band]) * (1 - Math.exp(-took / speed));
        level += this.bands[band] / BANDS;
      }
      this.level += (level - this.level) * (1 - Math.exp(-took / 250));
      if (!this.ridges.length || now - this.ridges[0].at > RIDGE_MS) {
        this.ridges = [{bands: this.bands.slice(), at: now}, ...this.ridges].slice(0, RIDGES);
      }
    }

    _draw() {
      const pen = this.canvas.getContext("2d"), {width, height} = this.canvas;
      this.isDark = document.body.classList.contains("dark");
      this._listen(this.analyser);
      this._ground(pen, width, height);
      this._spectrum(pen, width, height);
      pen.globalCompositeOperation = this.isDark ? "lighter" : "multiply";
      this._glows(pen, width, height);
      this._threads(pen, width, height);
      pen.globalCompositeOperation = "source-over";
      this._path(pen, width, height);
    }
    _ground(pen, width, height) {
      const ground = pen.createLinearGradient(0, 0, 0, height);
      const colours = this.isDark ? ["#0b0914", "#150e1f", "#20112a"]
        : ["#fbf8fc", "#f6eff5", "#f3e4ec"];
      colours.forEach((colour, index) => ground.addColorStop(index / 2, colour));
      pen.fillStyle = ground;
      pen.fillRect(0, 0, width, height);
    }
    _spectrum(pen, width, height) {
      const now = performance.now();
      for (let index = this.ridges.length - 1; index >= 0; index--) {
        const {bands, at} = this.ridges[index], age = (now - at) / (RIDGES * RIDGE_MS);
        if (age < 1) this._ridge(pen, width, height, index ? bands : this.bands, age);
      }
    }
    _ridge(pen, width, height, bands, age) {
      const base = height * (1 - .04 - .5 * age ** .8), high = height * .3 * (1 - .55 * age);
      const inset = width * .1 * age;
      const x = band => inset + (width - 2 * inset) * band / (BANDS - 1);
      const y = band => base - high * bands[band];
      pen.beginPath();
      pen.moveTo(x(0), y(0));
      for (let band = 1; band < BANDS; band++) {
        const middle = (x(band - 1) + x(band)) / 2;
        pen.bezierCurveTo(middle, y(band - 1), middle, y(band), x(band), y(band));
      }
      const colour = pen.createLinearGradient(0, 0, width, 0), fade = (1 - age) ** 1.6;
      RIDGE_COLOURS.forEach((one, index) => colour.addColorStop(index / 2, one));
      pen.strokeStyle = colour;
      pen.globalAlpha = (this.isDark ? .75 : .55) * fade;
      pen.lineWidth = Math.max(1, width / 700) * (1 + .8 * (1 - age));
      pen.stroke();
      pen.lineTo(x(BANDS - 1), height);
      pen.lineTo(x(0), height);
      pen.fillStyle = colour;
      pen.globalAlpha = (this.isDark ? .07 : .05) * fade;
      pen.fill();
      pen.globalAlpha = 1;
    }
    _each(use) {
      this.state.places.forEach((place, index) => {
        if (place.text.trim()) use(place, index, this.counts[index]);
      });
    }
    _glows(pen, width, height) {
      const size = Math.min(width, height);
      this._each(({x, y}, index, count) => {
        const reach = size * (.13 + .36 * Math.sqrt(count)) * (1 + .7 * this.level * count);
        const [left, top] = [x * width, (1 - y) * height];
        const glow = pen.createRadialGradient(left, top, 0, left, top, reach);
        const strength = (this.isDark ? .3 : .2) + (this.isDark ? .7 : .45) * count;
        for (const [at, share] of [[0, 1], [.12, .62], [.4, .26], [1, 0]]) {
          const opacity = Math.round(255 * Math.min(1, strength * share));
          glow.addColorStop(at, COLOURS[index] + opacity.toString(16).padStart(2, "0"));
        }
        pen.fillStyle = glow;
        pen.fillRect(left - reach, top - reach, 2 * reach, 2 * reach);
      });
    }
    _threads(pen, width, height) {
      const {point} = this.state, now = performance.now() / 1000;
      this._each(({x, y}, index, count) => {
        if (!count) return;
        const sway = isStill.matches ? 0 : Math.sin(now * .6 + index) * .03 * height;
        pen.beginPath();
        pen.moveTo(point.x * width, (1 - point.y) * height);
        const [middleX, middleY] = [(point.x + x) / 2 * width, (1 - (point.y + y) / 2) * height];
        pen.quadraticCurveTo(middleX + sway, middleY - sway, x * width, (1 - y) * height);
        pen.strokeStyle = COLOURS[index];
        pen.globalAlpha = .3 + .65 * count;
        pen.lineWidth = Math.max(1, width / 500) * (.6 + 2.2 * count);
        pen.stroke();
      });
      pen.globalAlpha = 1;
    }
    _path(pen, width, height) {
      const now = performance.now(), ink = this.isDark ? "255, 255, 255" : "90, 20, 70";
      pen.lineCap = "round";
      for (let index = 1; index < this.trail.length; index++) {
        const [one, other] = [this.trail[index - 1], this.trail[index]];
        const fade = Math.max(0, 1 - (now - one.at) / TRAIL_MS);
        pen.beginPath();
        pen.moveTo(one.x * width, (1 - one.y) * height);
        pen.lineTo(other.x * width, (1 - other.y) * height);
        pen.strokeStyle = `rgba(${ink}, ${.6 * fade ** 1.5})`;
        pen.lineWidth = Math.max(1, width / 420) * (.4 + 1.8 * fade);
        pen.stroke();
      }
      this.rings = this.rings.filter(ring => now - ring.at < 1200);
      for (const ring of this.rings) {
        const part = (now - ring.at) / 1200;
        pen.beginPath();
        const reach = Math.min(width, height) * (.02 + .09 * part);
        pen.arc(ring.x * width, (1 - ring.y) * height, reach, 0, 7);
        pen.strokeStyle = `rgba(${ink}, ${.5 * (1 - part)})`;
        pen.lineWidth = Math.max(1, width / 500);
        pen.stroke();
      }
    }
  }
  Object.assign(MusicGraph, {Plane, placeShares: shares, PLACE_COLOURS: COLOURS});
})(window.MusicGraph);
