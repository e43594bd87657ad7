"""The node pack: merges the mappings of its files and, inside ComfyUI, registers the model folder."""

NODE_CLASS_MAPPINGS: dict[str, type] = {}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {}
