"""The beginning of a script for a process of its own, in which this checkout is `musicgraph`."""

from pathlib import Path

INIT = Path(__file__).parents[1] / "__init__.py"
BOUND = (
    "import importlib, importlib.util, sys\n"
    f"spec = importlib.util.spec_from_file_location('musicgraph', {str(INIT)!r})\n"
    "sys.modules['musicgraph'] = importlib.util.module_from_spec(spec)\n"
    "spec.loader.exec_module(sys.modules['musicgraph'])\n"
)
