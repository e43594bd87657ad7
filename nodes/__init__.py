"""The node pack: the mappings that ComfyUI and our own runner read.

Inside ComfyUI it registers the model folder.
"""

from . import (
    analysis,
    audio,
    codec,
    conditioning,
    fade,
    filling,
    host,
    load,
    loop_file,
    lora,
    melody,
    sample,
    style,
    text,
    tokens,
)

NODES = (
    *load.NODES,
    *lora.NODES,
    *text.NODES,
    *conditioning.NODES,
    *melody.NODES,
    *style.NODES,
    *sample.NODES,
    *filling.NODES,
    *codec.NODES,
    *tokens.NODES,
    *audio.NODES,
    *fade.NODES,
    *loop_file.NODES,
    *analysis.NODES,
)
NODE_CLASS_MAPPINGS: dict[str, type] = {node.__name__: node for node in NODES}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {node.__name__: node.TITLE for node in NODES}

host.register_model_folder()
