"""The app: the default graph behind a page, and the HTTP API, in one process on one port.

python gradio_app.py --port 7860        from a checkout of any name
musicgraph demo                         installed
"""

import sys

if (
    "." not in __name__
):  # a checkout, not an installed package: bind the import name to this directory
    import importlib.util
    from pathlib import Path

    spec = importlib.util.spec_from_file_location(
        "musicgraph", Path(__file__).with_name("__init__.py")
    )
    assert spec is not None and spec.loader is not None
    sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[spec.name])

# bound above, or by an installer's hook
from musicgraph.__main__ import main  # pyright: ignore[reportMissingImports]
from musicgraph.app.serve import build_app  # pyright: ignore[reportMissingImports]

__all__ = ["build_app"]

if __name__ == "__main__":
    main(["demo", *sys.argv[1:]])
