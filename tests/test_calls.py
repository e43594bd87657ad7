"""Assistants' calls: each has a name, which is given up when its client leaves or cancels it."""

import asyncio
import json

from musicgraph.app.studio.calls import CALL_HEADER, Calls

ANN, BEN = ("10.0.0.1", 5000), ("10.0.0.2", 5000)


class Server:
    """Stands for Gradio's MCP server: answers a call when the test lets it."""

    def __init__(self):
        self.names, self.may_answer = [], asyncio.Event()
        self.left = []
        self.calls = Calls(self, self.left.append)

    async def __call__(self, scope, receive, send):
        self.names.append(dict(scope["headers"]).get(CALL_HEADER.encode(), b"").decode())
        while (await receive())["type"] != "http.disconnect":
            if self.may_answer.is_set():
                return

    async def sent(self, message, client, *then):
        """One request; what comes after its body is `then`."""
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        waiting = [{"type": "http.request", "body": body, "more_body": False}, *then]

        async def receive():
            if not waiting:
                await self.may_answer.wait()
            return waiting.pop(0) if waiting else {"type": "http.request"}

        headers = [(b"user-agent", b"x"), (CALL_HEADER.encode(), b"forged")]
        scope = {"type": "http", "headers": headers, "client": client}
        await self.calls.answer(scope, body, receive, None)


def called(number):
    return {"method": "tools/call", "id": number}


def cancelled(number):
    return {"method": "notifications/cancelled", "params": {"requestId": number}}


def test_a_client_that_leaves_gives_its_call_up_and_no_name_is_taken_from_outside():
    async def go():
        server = Server()
        await server.sent(called(1), ANN, {"type": "http.disconnect"})
        (name,) = server.names
        assert len(name) == 32 and set(server.left) == {name}
        assert server.calls.running == {}

    asyncio.run(go())


def test_a_notice_cancels_ones_own_call_only():
    async def go():
        server = Server()
        calls = [(1, ANN), (2, ANN), (1, BEN)]
        tasks = [asyncio.create_task(server.sent(called(n), who)) for n, who in calls]
        await asyncio.sleep(0)
        for notice in (cancelled(7), cancelled(None), {"method": "notifications/cancelled"}):
            asyncio.create_task(server.sent(notice, ANN))
            await asyncio.sleep(0)
        assert server.left == []
        asyncio.create_task(server.sent(cancelled(1), ANN))
        await asyncio.sleep(0)
        assert server.left == server.names[:1]
        server.may_answer.set()
        await asyncio.gather(*tasks)

    asyncio.run(go())


def test_two_calls_that_look_alike_cannot_be_told_apart_and_none_is_cancelled():
    async def go():
        server = Server()
        tasks = [asyncio.create_task(server.sent(called(1), ANN)) for _ in range(2)]
        await asyncio.sleep(0)
        asyncio.create_task(server.sent(cancelled(1), ANN))
        await asyncio.sleep(0)
        assert server.left == []
        server.may_answer.set()
        await asyncio.gather(*tasks)

    asyncio.run(go())


def test_what_is_no_call_is_passed_on():
    async def go():
        server = Server()
        server.may_answer.set()
        for message in ({"method": "tools/list", "id": 1}, [called(1)], b"no json", b"[" * 100_000):
            await server.sent(message, ANN)
        assert server.left == [] and len(server.names) == 4

    asyncio.run(go())
