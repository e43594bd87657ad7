"""ComfyUI imports this directory as a package and reads the two mappings and the web folder."""

__version__ = "0.1.0"

if __name__ != "__init__":  # the name under which pytest >= 8 imports this file on its own
    from .nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

    WEB_DIRECTORY = "./web"
    __all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "WEB_DIRECTORY"]
