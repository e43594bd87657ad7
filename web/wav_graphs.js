// A WAV file that carries the graph that made it opens that graph, as a FLAC, MP3 or Opus does.
//
// ComfyUI's page reads graphs from those three, and makes a Load Audio of every WAV. Ours have the
// same tags, in an ID3 chunk behind the samples. The graph goes to the page's own loader as the
// JSON file that it would have been saved as; whatever else a WAV is stays the page's.

import { app } from '../../scripts/app.js'

const MAX_CHUNKS = 10000
const MAX_TAG_BYTES = 16 * 2 ** 20 // as much as a workflow's JSON may have

const part = async (file, begin, end) => new DataView(await file.slice(begin, end).arrayBuffer())
const four = (view, place) => [0, 1, 2, 3].map((i) => view.getUint8(place + i))
const letters = (view, place) => String.fromCharCode(...four(view, place))
const syncsafe = (view, place) => four(view, place).reduce((n, byte) => (n << 7) | (byte & 127), 0)

/** The ID3 tag of a RIFF file as a DataView, or null; samples are passed over unread. */
async function tagOf(file) {
  const head = await part(file, 0, 12)
  const isWav = head.byteLength === 12 && letters(head, 0) === 'RIFF' && letters(head, 8) === 'WAVE'
  if (!isWav) return null
  for (let place = 12, count = 0; place + 8 <= file.size && count < MAX_CHUNKS; count++) {
    const chunk = await part(file, place, place + 8)
    const size = chunk.getUint32(4, true)
    if (letters(chunk, 0).toLowerCase() === 'id3 ') {
      return size <= MAX_TAG_BYTES ? part(file, place + 8, place + 8 + size) : null
    }
    place += 8 + size + (size % 2)
  }
  return null
}

/** The texts of an ID3v2.4 tag by their names: its frames TXXX in UTF-8. */
function textsOf(tag) {
  const texts = {}
  for (let place = 10; place + 10 <= tag.byteLength; ) {
    const [begin, size] = [place + 10, syncsafe(tag, place + 4)]
    const isWhole = size > 1 && begin + size <= tag.byteLength
    if (isWhole && letters(tag, place) === 'TXXX' && tag.getUint8(begin) === 3) {
      const body = new Uint8Array(tag.buffer, begin + 1, size - 1)
      const [name, text] = new TextDecoder().decode(body).split('\0')
      texts[name] = text
    }
    place = begin + size
  }
  return texts
}

/** The graph that a WAV carries, as the JSON file of it; null without one. */
async function graphOf(file) {
  const tag = await tagOf(file)
  if (!tag || tag.byteLength < 10) return null
  const { workflow, prompt } = textsOf(tag)
  if (!workflow && !prompt) return null
  const name = file.name.replace(/\.\w+$/, '.json')
  return new File([workflow ?? prompt], name, { type: 'application/json' })
}

app.registerExtension({
  name: 'MusicGraph.WavGraphs',

  setup() {
    const handleFile = app.handleFile
    app.handleFile = async function (file, ...others) {
      const graph = /\.wav$/i.test(file.name) ? await graphOf(file).catch(() => null) : null
      return handleFile.call(this, graph ?? file, ...others)
    }
  },
})
