"""What the API says when it cannot give music: a status, and a JSON body that names the reason."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from fastapi.responses import JSONResponse

from ...models.quoting import one_line
from ...models.refused import Refused
from ...nodes.host import Interrupted
from ...workflows.inputs import BadInput
from ...workflows.problems import NodeError
from ...workflows.request import LOADER
from ..studio.failures import JobFailed
from ..studio.models import ModelNotOffered
from ..studio.paths import without_paths
from ..studio.queue import QueueFull
from .keys import NoCredits, UnknownKey

log = logging.getLogger("musicgraph")


@dataclass(eq=False)
class ApiError(Exception):
    """An answer that is not 200. `type` is for programs, `message` for people."""

    status: int
    type: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> JSONResponse:
        content = {"error": {"type": self.type, "message": one_line(self.message), **self.more}}
        return JSONResponse(content, self.status, headers=dict(self.headers))


ERROR_SCHEMA = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["type", "message"],
            "properties": {
                "type": {"type": "string"},
                "message": {
                    "type": "string",
                    "description": "What was got, what was expected, and what to do.",
                },
                "field": {"type": "string"},
                "id": {
                    "type": "string",
                    "description": "Of a failure: under this the server's log has the details.",
                },
            },
        }
    },
}


def not_found(message: str) -> ApiError:
    return ApiError(404, "not_found", message)


def explained(error: Exception, no_credits_status: int) -> ApiError:
    """Any error as an answer.

    What nobody foresaw is a 500 with an id, and the details go to the log only.
    """
    if isinstance(error, ApiError):
        return error
    if isinstance(error, BadInput):
        return ApiError(422, "invalid_field", str(error), more={"field": error.what})
    if isinstance(error, ModelNotOffered):
        return not_found(str(error))
    if isinstance(error, UnknownKey):
        return unauthorized(
            "x-api-key: got a key that is not known, expected one made by `musicgraph keys add`"
        )
    if isinstance(error, NoCredits):
        return ApiError(
            no_credits_status,
            "no_credits",
            f"{error}; expected 1 or more; ask who runs this server for more",
        )
    if isinstance(error, QueueFull):
        return ApiError(
            429, "queue_full", str(error), headers={"Retry-After": str(error.retry_after_s)}
        )
    if isinstance(error, Interrupted) or _kind_elsewhere(error) == "stopped":
        return ApiError(
            503, "stopped", "the generation was stopped before it was done; send the request again"
        )
    if isinstance(error, JobFailed) and error.failure.kind == "busy":
        return ApiError(503, "busy", error.failure.text, headers={"Retry-After": "1"})
    refused = _refusal(error)
    return ApiError(422, "refused", without_paths(refused)) if refused else failure(error)


def unauthorized(message: str) -> ApiError:
    return ApiError(401, "unauthorized", message, headers={"WWW-Authenticate": "x-api-key"})


def failure(error: BaseException) -> ApiError:
    """A 500."""
    number = secrets.token_hex(8)
    log.error("API failure %s", number, exc_info=error)
    message = f"the server failed to make this; tell who runs it the id {number}"
    return ApiError(500, "failure", message, more={"id": number})


def _refusal(error: Exception) -> str:
    """What an error says is wrong with the request; nothing if it is the server's own fault.

    Which checkpoint a server offers, and what its files hold, is the server's own business.
    """
    if isinstance(error, NodeError):
        is_theirs = error.is_refusal and error.class_type != LOADER
        return str(error.__cause__) if is_theirs else ""
    if _kind_elsewhere(error) == "refused":
        assert isinstance(error, JobFailed)
        return error.failure.text if error.failure.node_class != LOADER else ""
    return str(error) if isinstance(error, Refused) else ""


def _kind_elsewhere(error: Exception) -> str:
    """Of a failure in another process."""
    return error.failure.kind if isinstance(error, JobFailed) else ""
