"""The one place that imports OpenVINO, where its private parts are named too.

Its package reports each import to its makers over the network. Our users were not asked, so the reporter is out of reach
while it is imported; OpenVINO then does without.
"""

import sys

REPORTER = "openvino_telemetry"

_before = sys.modules.get(REPORTER)
sys.modules[REPORTER] = None  # type: ignore[assignment]  # an import of it raises ImportError
try:
    import openvino as ov
    from openvino import Node
    from openvino import opset13 as op
    from openvino.op import _PagedAttentionExtension as PagedAttention
finally:
    del sys.modules[REPORTER]
    if _before is not None:
        sys.modules[REPORTER] = _before

__all__ = ["Node", "PagedAttention", "op", "ov"]
