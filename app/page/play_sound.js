/* The Play tab's sound: pieces of samples come down one stream and are laid end to end, a little
   ahead of what is heard. Whatever comes too late to follow on is counted. */
(MusicGraph => {
  "use strict";
  const {pause} = MusicGraph;
  const HEAD_BYTES = 16, SOUND = 0, HALF_SCALE = 2 ** 14, RETRY_MS = 1000;
  const LEAD_S = 0.15;        // from a piece's arrival to its sound, where nothing sounds before it
  const MOST_LEAD_S = 0.35, MORE_LEAD_S = 0.04;  // after each gap a little more
  const SPARE_S = 0.1;        // beside the lead, by which all pieces may be early; more is delay,
                              // such as a gap leaves behind, and is played off
  const MOST_SPARE_S = 0.8, SOON = 10;  // more, for a second: the player's clock stood still, such
                              // as that of a phone that rang; a jump makes up for it
  const LOOK_BACK = 200;      // pieces, some 20 s: longer than from one window of the model to the
                              // next, whose beginning takes the longest
  const FASTER = 1.015, EDGE_S = 0.008, KEPT = 80;

  class PlaySound extends EventTarget {
    constructor() {
      super();
      Object.assign(this, {context: null, rate: 32000, frameRate: 50, isOn: false});
      Object.assign(this, {pieces: [], unbroken: [], dropped: 0, received: 0});
      this.volume = 0.8;
    }

    /** In a press, or a browser keeps it silent. */
    open(rate = 32000) {
      if (this.context && this.context.sampleRate === rate) return this.context.resume();
      this.context?.close();
      const context = new AudioContext({sampleRate: rate, latencyHint: "interactive"});
      this.context = context;
      this.gain = context.createGain();
      const limiter = new DynamicsCompressorNode(context,
        {threshold: -7, knee: 5, ratio: 14, attack: 0.002, release: 0.2});
      this.analyser = new AnalyserNode(context, {fftSize: 4096, smoothingTimeConstant: 0.6});
      this.gain.connect(limiter).connect(this.analyser).connect(context.destination);
      this.setVolume(this.volume);
      return context.resume();
    }
    setVolume(volume) {
      this.volume = volume;
      if (this.gain) this.gain.gain.setTargetAtTime(2 * volume, this.context.currentTime, 0.02);
    }

    // ---------------------------------------------------------------- the stream
    /** Plays what comes from there until `stop`; a lost connection is tried again. */
    async follow(url) {
      this.stop();
      const mine = this.aborting = new AbortController();
      this.isOn = true;
      while (this.aborting === mine && this.isOn) {
        try {
          const response = await fetch(url, {signal: mine.signal});
          if (!response.ok) {
            this._tell("closed", {});
            return;
          }
          this._begin();
          await this._read(response.body.getReader(), mine);
        } catch (error) {
          if (error.name === "AbortError" || this.aborting !== mine) return;
          this._tell("lost", {});
        }
        await pause(RETRY_MS);
      }
    }
    async _read(reader, mine) {
      let rest = new Uint8Array(0);
      for (let got = await reader.read(); !got.done; got = await reader.read()) {
        if (this.aborting !== mine) return;
        const bytes = new Uint8Array(rest.length + got.value.length);
        bytes.set(rest);
        bytes.set(got.value, rest.length);
        rest = bytes.slice(this._taken(bytes));
      }
    }
    _taken(bytes) {  // how many bytes made whole messages
      const view = new DataView(bytes.buffer);
      let at = 0;
      while (at + HEAD_BYTES <= bytes.length) {
        const end = at + HEAD_BYTES + view.getUint32(at + 4, true);
        if (end > bytes.length) break;
        const body = bytes.slice(at + HEAD_BYTES, end);
        if (view.getUint8(at) === SOUND) {
          const [begin, channels] = [view.getFloat64(at + 8, true), view.getUint8(at + 1)];
          this._sound(begin, channels, new Int16Array(body.buffer));
        } else {
          const told = JSON.parse(new TextDecoder().decode(body));
          this._tell(told.event, told);
        }
        at = end;
      }
      return at;
    }
    _tell(name, told) { this.dispatchEvent(Object.assign(new Event(name), {told})); }

    stop() {
      this.aborting?.abort();
      this.aborting = null;
      this.isOn = false;
      const now = this.context?.currentTime ?? 0;
      for (const piece of this.pieces) if (piece.end > now) this._silence(piece, now);
      this.pieces = [];
    }

    // ---------------------------------------------------------------- pieces
    _begin() { Object.assign(this, {next: 0, lead: LEAD_S, slacks: [], toSkip: 0}); }

    _sound(begin, channels, samples) {
      const {context} = this, count = samples.length / channels, now = context.currentTime;
      const buffer = context.createBuffer(channels, count, context.sampleRate);
      for (let channel = 0; channel < channels; channel++) {
        const data = buffer.getChannelData(channel);
        for (let i = 0; i < count; i++) data[i] = samples[i * channels + channel] / HALF_SCALE / 2;
      }
      const isFirst = !this.next, isLate = !isFirst && this.next < now + 0.003;
      if (isLate) {
        this.dropped++;
        this.lead = Math.min(MOST_LEAD_S, this.lead + MORE_LEAD_S);
      }
      if (isFirst || isLate) [this.next, this.slacks] = [now + this.lead, []];
      this.slacks = [...this.slacks, this.next - now].slice(-LOOK_BACK);
      this.received++;
      this._catchUp(buffer.duration);
      if (this.toSkip) this.toSkip--; else this._lay(begin, buffer, isFirst || isLate);
    }
    /** What is far ahead of its time is what a hand waits for: pieces are left out, once. */
    _catchUp(duration) {
      const spare = Math.min(...this.slacks.slice(-SOON)) - this.lead;
      if (this.toSkip || this.slacks.length < SOON || spare < MOST_SPARE_S) return;
      this.toSkip = Math.floor(spare / duration);
      this.dropped++;
      this.slacks = [];
    }
    _lay(begin, buffer, isBroken) {
      const {context} = this, last = this.pieces.at(-1);
      const isEarly = this.slacks.length === LOOK_BACK && Math.min(...this.slacks) > this.lead + SPARE_S;
      const speed = isEarly ? FASTER : 1, at = this.next, end = at + buffer.duration / speed;
      const source = new AudioBufferSourceNode(context, {buffer, playbackRate: speed});
      const edge = new GainNode(context), joins = !isBroken && last?.begin + last?.count === begin;
      if (joins) last.edge.gain.cancelScheduledValues(last.end - 2 * EDGE_S);
      else {
        this.unbroken = [];
        edge.gain.setValueAtTime(0, at);
        edge.gain.linearRampToValueAtTime(1, at + EDGE_S);
      }
      edge.gain.setValueAtTime(1, end - EDGE_S);  // taken back if the next one comes in time
      edge.gain.linearRampToValueAtTime(0, end);
      source.connect(edge).connect(this.gain);
      source.start(at);
      const piece = {begin, count: buffer.length, at, end, speed, source, edge};
      this.pieces = [...this.pieces, piece].slice(-KEPT);
      this.unbroken = [...this.unbroken, piece].slice(-KEPT);
      this.next = end;
      this._tell("piece", piece);
    }
    _silence({source, edge}, now) {
      edge.gain.cancelScheduledValues(now);
      edge.gain.setTargetAtTime(0, now, 0.01);
      source.stop(now + 0.08);
    }

    // ---------------------------------------------------------------- what is heard when
    /** In the milliseconds of `performance.now()`; of a sample of this piece. */
    heardAt(piece, sample) {
      const {context} = this, delay = context.outputLatency || context.baseLatency || 0;
      const at = piece.at + (sample - piece.begin) / context.sampleRate / piece.speed;
      return performance.now() + (at - context.currentTime + delay) * 1000;
    }
    /** The second of the music that sounds now. */
    get second() {
      const now = this.context?.currentTime ?? 0;
      const piece = this.pieces.findLast(one => one.at <= now) || this.pieces[0];
      if (!piece) return 0;
      const inside = Math.max(0, Math.min(now, piece.end) - piece.at) * piece.speed;
      return piece.begin / this.context.sampleRate + inside;
    }
  }
  Object.assign(MusicGraph, {PlaySound});
})(window.MusicGraph);
