"""A program, not a test: runs graphs in a real ComfyUI, without its server, and says what came of
them.

    python real_comfyui.py COMFYUI_DIR JOB.json

The job names folders, twins and graphs; `declared.json`, `results.json` and `values.safetensors`
are written beside it. A node `Keep` takes any value of a graph; what it got is in the results. It
needs ComfyUI's own requirements, and knows nothing of MusicGraph.
"""

import asyncio
import importlib
import json
import sys
from pathlib import Path

EXTRAS = ("audio", "video", "primitive", "string", "math", "logic", "number_convert", "seed")
EXTRAS += ("preview_any", "images")


class Keep:
    """Takes anything, and remembers it under its node's id."""

    KEPT: dict = {}
    RETURN_TYPES = ()
    FUNCTION = "keep"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": ("*", {})}, "hidden": {"unique_id": "UNIQUE_ID"}}

    @classmethod
    def VALIDATE_INPUTS(cls, input_types):
        return True

    def keep(self, value, unique_id):
        self.KEPT[unique_id] = value
        return ()


class Server:
    """What the executor asks of a server when nobody looks at a page."""

    client_id = None
    last_node_id = None
    last_prompt_id = None

    def send_sync(self, *_):
        pass


def main(comfyui, job_file):
    job = json.loads(job_file.read_text(encoding="utf-8"))
    sys.path.insert(0, str(comfyui))
    sys.argv = ["main.py", "--cpu"]
    import comfy.options

    comfy.options.enable_args_parsing()
    execution, folder_paths, nodes = map(
        importlib.import_module, ("execution", "folder_paths", "nodes")
    )
    folder_paths.set_input_directory(job["input_dir"])
    folder_paths.set_output_directory(job["output_dir"])
    folder_paths.set_temp_directory(job["temp_dir"])
    for name in EXTRAS:
        path = str(comfyui / "comfy_extras" / f"nodes_{name}.py")
        asyncio.run(nodes.load_custom_node(path, module_parent="comfy_extras"))
    nodes.NODE_CLASS_MAPPINGS["Keep"] = Keep
    declared = {name: said(nodes, name) for name in job["twins"] if name in known(nodes)}
    (job_file.parent / "declared.json").write_text(json.dumps(declared, default=str))
    tensors, results = {}, {}
    for name, graph in job["graphs"].items():
        results[name] = run(execution, name, graph, tensors)
    (job_file.parent / "results.json").write_text(json.dumps(results))
    from safetensors.torch import save_file

    save_file(tensors, job_file.parent / "values.safetensors")


def known(nodes):
    return nodes.NODE_CLASS_MAPPINGS


def said(nodes, name):
    """What a node declares, of either version."""
    node_class = nodes.NODE_CLASS_MAPPINGS[name]
    if hasattr(node_class, "GET_NODE_INFO_V1"):
        info = node_class.GET_NODE_INFO_V1()
        return {
            "inputs": info["input"],
            "outputs": list(info["output"]),
            "output_names": list(info["output_name"]),
            "title": info["display_name"],
            "is_output": bool(info["output_node"]),
        }
    outputs = list(node_class.RETURN_TYPES)
    return {
        "inputs": node_class.INPUT_TYPES(),
        "outputs": outputs,
        "output_names": list(getattr(node_class, "RETURN_NAMES", outputs)),
        "title": nodes.NODE_DISPLAY_NAME_MAPPINGS.get(name, name),
        "is_output": bool(getattr(node_class, "OUTPUT_NODE", False)),
    }


def run(execution, name, graph, tensors):
    Keep.KEPT.clear()
    valid = asyncio.run(execution.validate_prompt(name, graph, None))
    if not valid[0] or valid[3]:
        return {"error": f"{valid[1]} {valid[3]}"}
    executor = execution.PromptExecutor(
        Server(), cache_args={"lru": 0, "ram": 0, "ram_inactive": 0}
    )
    extra = {"extra_pnginfo": {"workflow": {"name": name}}}
    executor.execute(graph, name, extra, valid[2])
    if not executor.success:
        return {"error": str(executor.status_messages[-1][1].get("exception_message"))}
    kept = {key: plain(value, f"{name}/{key}", tensors) for key, value in Keep.KEPT.items()}
    return {"kept": kept, "ui": executor.history_result["outputs"]}


def plain(value, key, tensors):
    """A value as JSON; tensors go into a file of their own."""
    import torch

    if isinstance(value, torch.Tensor):
        tensors[key] = value.detach().contiguous().clone()
        return {"tensor": key}
    if isinstance(value, dict):
        return {name: plain(one, f"{key}/{name}", tensors) for name, one in value.items()}
    return value


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
