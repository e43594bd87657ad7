"""A small server with ComfyUI's routes, which does as a test tells it."""

import asyncio
import contextlib
import socket
import threading

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

ERROR = {"type": "value_not_in_list", "message": "Value not in list", "details": "no such model",
         "extra_info": {"input_name": "model"}}  # fmt: skip


class FakeComfyUI:
    """`does` says what a graph comes to: done, waits (until it is interrupted), fails, refused,
    dies (the server goes), silent (no message, only history).
    """

    def __init__(self, does="done", output=b"sound"):
        self.does, self.output = does, output
        self.prompts, self.uploads, self.dropped = {}, {}, []
        self.history, self.sockets, self.classes = {}, {}, {}
        self.interrupted = threading.Event()
        self.running = threading.Event()
        app = Starlette(
            routes=[
                Route("/object_info", lambda _: JSONResponse(self.classes)),
                Route("/prompt", self._prompt, methods=["POST"]),
                Route("/upload/image", self._upload, methods=["POST"]),
                Route("/queue", self._queue, methods=["POST"]),
                Route("/interrupt", self._interrupt, methods=["POST"]),
                Route("/history/{id}", self._history),
                Route("/view", self._view),
                WebSocketRoute("/ws", self._ws),
            ]
        )
        self._server = uvicorn.Server(
            uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
        )

    @contextlib.contextmanager
    def serving(self):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True)
            thread.start()
            while not self._server.started and thread.is_alive():
                thread.join(0.01)
            try:
                yield self
            finally:
                self._server.should_exit = self._server.force_exit = True
                thread.join(20)

    def die(self):
        self._server.should_exit = self._server.force_exit = True

    # ------------------------------------------------------------ routes

    async def _prompt(self, request):
        body = await request.json()
        if self.does == "refused":
            node = next(iter(body["prompt"]))
            errors = {node: {"errors": [ERROR], "class_type": "X", "dependent_outputs": []}}
            whole = {"type": "prompt_outputs_failed_validation", "message": "no", "details": ""}
            return JSONResponse({"error": whole, "node_errors": errors}, 400)
        name = f"p{len(self.prompts)}"
        self.prompts[name] = body
        asyncio.get_running_loop().create_task(self._run(name, body))
        return JSONResponse({"prompt_id": name, "number": 1, "node_errors": {}})

    async def _run(self, name, body):
        nodes, client = list(body["prompt"]), body["client_id"]
        await asyncio.sleep(0.05)
        if self.does == "dies":
            self.running.set()
            await asyncio.sleep(0.2)
            self.die()
            return
        if self.does != "silent":
            await self._say(client, "execution_start", name)
            await self._say(client, "execution_cached", name, nodes=nodes[:1])
            await self._say(client, "executing", name, node=nodes[-1])
            await self._say(client, "progress", "another", node=nodes[-1], value=9, max=9)
            await self._say(client, "progress", name, node=nodes[-1], value=1, max=4)
        self.running.set()
        if self.does == "fails":
            facts = {"node_id": nodes[-1], "node_type": "X", "exception_message": "tokens: got 3\n"}
            await self._say(client, "execution_error", name, **facts)
            return
        while self.does == "waits" and not self.interrupted.is_set():
            await asyncio.sleep(0.02)
        entry = {"filename": "x_00001.flac", "subfolder": "audio", "type": "output"}
        outputs = {nodes[-1]: {"audio": [entry], "animated": [False]}}
        self.history[name] = {"outputs": outputs, "status": {"completed": True, "messages": []}}
        if self.does != "silent":
            await self._say(client, "executing", name, node=None)

    async def _say(self, client, kind, prompt_id, **data):
        if client in self.sockets:
            message = {"type": kind, "data": {"prompt_id": prompt_id, **data}}
            await self.sockets[client].send_bytes(b"\0\0\0\1picture")
            await self.sockets[client].send_json(message)

    async def _upload(self, request):
        form = await request.form()
        image = form["image"]
        name = f"{form['subfolder']}/{image.filename}"
        self.uploads[name] = await image.read()
        return JSONResponse({"name": image.filename, "subfolder": form["subfolder"]})

    async def _queue(self, request):
        self.dropped += (await request.json())["delete"]
        return Response()

    async def _interrupt(self, request):
        self.interrupted.set()
        return Response()

    async def _history(self, request):
        name = request.path_params["id"]
        return JSONResponse({name: self.history[name]} if name in self.history else {})

    async def _view(self, request):
        assert request.query_params["type"] == "output"
        return Response(self.output)

    async def _ws(self, websocket):
        client = websocket.query_params["clientId"]
        await websocket.accept()
        self.sockets[client] = websocket
        await websocket.send_json({"type": "status", "data": {"sid": client}})
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await websocket.receive_text()
        self.sockets.pop(client, None)
