"""The float types that the LM comes in, under the names that users say."""

import torch

NAMES = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}
DTYPES = {name: dtype for dtype, name in NAMES.items()}
