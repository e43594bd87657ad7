"""The app: the default graph behind a page, and the HTTP API, in one process on one port.

python gradio_app.py --port 7860        from a checkout of any name
musicgraph demo                         installed
"""

if (
    "." not in __name__
):  # a checkout, not an installed package: bind the import name to this directory
    import importlib.util
    import sys
    from pathlib import Path

    spec = importlib.util.spec_from_file_location(
        "musicgraph", Path(__file__).with_name("__init__.py")
    )
    assert spec is not None and spec.loader is not None
    sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[spec.name])

from musicgraph.app.serve import build_app, main  # pyright: ignore[reportMissingImports]: bound above, or by an installer's hook

__all__ = ["build_app", "main"]

if __name__ == "__main__":
    main()
