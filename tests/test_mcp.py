"""Assistants, by the client that the protocol's authors publish: what they find, what they get, and
that a call which is cancelled, or whose client goes, ends its work.
"""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from pagesite import tiny_site

WANTED = {
    "prompt": "a calm piano", "duration": 1, "seed": 7, "negative": "", "model": "",
    "variations": 1, "guidance": 3, "temperature": 1, "top_k": 250, "top_p": 0,
    "file_format": "flac", "loras": [],
}  # fmt: skip
LONG = WANTED | {"duration": 120}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    with tiny_site(tmp_path_factory.mktemp("site"), patch, mcp=True) as running:
        yield running
    patch.undo()
    assert running.asked_outside == [], "the server turned to other machines"


@asynccontextmanager
async def assistant(site):
    async with (
        streamable_http_client(f"{site.address}gradio_api/mcp/") as (read, write, _),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        yield session


async def _until_busy(site):
    while not site.queue.busy():
        await asyncio.sleep(0.02)


def test_an_assistant_finds_both_tools_and_their_words(site):
    async def asked():
        async with assistant(site) as session:
            return (await session.list_tools()).tools

    tools = {tool.name: tool for tool in asyncio.run(asked())}
    assert sorted(name.rpartition("_")[2] for name in tools) == ["generate", "workflow"]
    generate = next(tool for name, tool in tools.items() if name.endswith("generate"))
    assert "instrumental music" in generate.description
    described = generate.inputSchema["properties"]
    assert set(WANTED) <= set(described) and "style, instruments" in str(described["prompt"])


def test_an_assistant_gets_music_and_is_told_what_is_wrong(site):
    async def asked():
        async with assistant(site) as session:
            (name,) = [
                tool.name
                for tool in (await session.list_tools()).tools
                if tool.name.endswith("generate")
            ]
            made = await session.call_tool(name, WANTED)
            refused = await session.call_tool(name, WANTED | {"seed": 1.5})
            return made, refused

    made, refused = asyncio.run(asked())
    told = " ".join(getattr(part, "text", "") for part in made.content)
    assert not made.isError and ".flac" in told and "seed" in told
    words = " ".join(getattr(part, "text", "") for part in refused.content)
    assert refused.isError and "seed: got 1.5" in words


def test_a_call_that_is_given_up_ends_its_work(site):
    async def asked():
        async with assistant(site) as session:
            call = session.call_tool("generate", LONG, timedelta(seconds=60))
            waiting = asyncio.create_task(call)
            await _until_busy(site)
            waiting.cancel()

    asyncio.run(asked())
    site.wait_until_idle()
