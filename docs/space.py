"""Puts MusicGraph on a Hugging Face Space.

    python docs/space.py USER/NAME [--gpu] [--torch-index URL]

Uploads what the app needs to run, as one commit, through the Hub's own client, which stores large
and binary files as the Hub wants them. The Space is made if it is not there. Needs a token that may
write: `hf auth login`, or HF_TOKEN. With --torch-index its torch is the one for CPUs that this
index has, which is a tenth as large; PyTorch's page "Get started" shows the address.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("app", "models", "nodes", "workflows", "docs/images")
ALONE = ("README.md", "LICENSE", "__init__.py", "__main__.py", "cli.py", "gradio_app.py")
"""what the app needs, and what its card shows"""
APP_ALONE = ("python-multipart>=0.0.18", "platformdirs>=4.0")
"""what the page needs beside Gradio, which the Space brings along"""
NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def requirements(*, gpu: bool, torch_index: str = "") -> str:
    """What the Space installs: what the pack asks for, and the fast engine where there is no GPU
    (torch for CPUs is found first by its version's own name).
    """
    asked = [
        line
        for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    if gpu:
        asked.append("spaces")
    elif torch_index:
        asked = [f"--extra-index-url {torch_index}", *map(_for_cpu, asked)]
    return "\n".join([*asked, *APP_ALONE]) + "\n"


def _for_cpu(line: str) -> str:
    """The version that is tested, as it is built for CPUs."""
    if line != "torch":
        return line
    tested = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    found = re.search(r"^torch==([\d.]+)", tested, re.MULTILINE)
    assert found, "constraints.txt names the torch that is tested"
    return f"torch=={found[1]}+cpu"


def lay_out(folder: Path, *, gpu: bool, torch_index: str = "") -> None:
    """All that is uploaded."""
    command = ["git", "ls-files", "-z", "--", *ROOMS, *ALONE]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    needed = requirements(gpu=gpu, torch_index=torch_index)
    (folder / "requirements.txt").write_text(needed, encoding="utf-8")


def upload(folder: Path, space: str) -> str:
    """The address of the commit. What a former upload left behind is deleted."""
    from huggingface_hub import HfApi

    api = HfApi()
    api.create_repo(space, repo_type="space", space_sdk="gradio", exist_ok=True)
    commit = api.upload_folder(
        repo_id=space,
        repo_type="space",
        folder_path=folder,
        commit_message="MusicGraph",
        delete_patterns=["*"],
    )
    return str(commit.commit_url)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("space", metavar="USER/NAME")
    parser.add_argument("--gpu", action="store_true", help="for a Space with a GPU, ZeroGPU too")
    parser.add_argument("--torch-index", default="", metavar="URL", help="with torch for CPUs")
    given = parser.parse_args()
    if not NAME.fullmatch(given.space):
        parser.error(f"got {given.space!r}, expected USER/NAME")
    with tempfile.TemporaryDirectory(prefix="musicgraph-space-") as folder:
        lay_out(Path(folder), gpu=given.gpu, torch_index=given.torch_index)
        print(upload(Path(folder), given.space))


if __name__ == "__main__":
    main()
