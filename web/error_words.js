// What a node of ours says when it refuses its inputs, shown at once.
//
// ComfyUI's page says of every node that fails that it "threw an error", and of every input that
// is refused that it was "rejected"; the words stand behind "View details". Ours say what was got,
// what was expected and what to do about it, so a toast has them.

import { api } from '../../scripts/api.js'
import { app } from '../../scripts/app.js'

const REFUSAL = 'musicgraph.Refused' // the name that `models/refused.py` gives it
const SHOWN_MS = 30000
const FOLDER = decodeURIComponent(new URL('.', import.meta.url).pathname.split('/').at(-2))

const ours = new Set() // classes of nodes

function show(nodeClass, words) {
  const summary = window.LiteGraph.registered_node_types[nodeClass].title // in the page's language
  app.extensionManager.toast.add({ severity: 'error', summary, detail: words, life: SHOWN_MS })
}

/** Before a run: ComfyUI repeats a node's answer for each input that the node was asked about. */
function showRefusedInputs(nodeErrors) {
  for (const { class_type, errors } of Object.values(nodeErrors ?? {})) {
    if (!ours.has(class_type)) continue
    const own = errors.filter(({ type }) => type === 'custom_validation_failed')
    const answers = own.map(({ details, extra_info }) => {
      const named = `${extra_info.input_name} - `
      return details.startsWith(named) ? details.slice(named.length) : details
    })
    for (const words of new Set(answers)) show(class_type, words)
  }
}

/** The page tells nobody of a graph that the server refuses, so this listens where it is posted. */
function listenToPosts() {
  const post = api.queuePrompt
  api.queuePrompt = async function (...graph) {
    try {
      const answer = await post.apply(this, graph)
      showRefusedInputs(answer.node_errors)
      return answer
    } catch (error) {
      showRefusedInputs(error.response?.node_errors)
      throw error
    }
  }
}

app.registerExtension({
  name: 'MusicGraph.ErrorWords',

  beforeRegisterNodeDef(_, { name, python_module }) {
    if (python_module === `custom_nodes.${FOLDER}`) ours.add(name)
  },

  setup() {
    listenToPosts()
    api.addEventListener('execution_error', ({ detail }) => {
      if (detail.exception_type === REFUSAL) show(detail.node_type, detail.exception_message.trim())
    })
  },
})
