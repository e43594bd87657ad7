"""Every twin by its id: nodes of ComfyUI's core that need no model, for runs without ComfyUI.

The ids, inputs, defaults, results and file names are those of today's nodes, so that one graph runs
in both places. Inside ComfyUI these classes are never registered; its own nodes do the work there.
"""

from __future__ import annotations

from . import audio, files, logic, pictures, text, values, video
from .equalizer import AudioEqualizer3Band

NODE_CLASS_MAPPINGS: dict[str, type] = {
    **files.NODES,
    **audio.NODES,
    "AudioEqualizer3Band": AudioEqualizer3Band,
    **pictures.NODES,
    **video.NODES,
    **values.NODES,
    **logic.NODES,
    **text.NODES,
}
