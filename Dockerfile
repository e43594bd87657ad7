# docker build -t musicgraph .
# docker run --rm -p 7860:7860 -v musicgraph-models:/models -v musicgraph-cache:/cache musicgraph
FROM python:3.12-slim

# --build-arg TORCH_INDEX=URL: an index that has torch for CPUs, a tenth as large as the usual one
# (PyTorch's page "Get started" shows the address). With a GPU: none, and run with --gpus all
ARG TORCH_INDEX=

WORKDIR /srv/musicgraph
COPY constraints.txt pyproject.toml README.md LICENSE ./
# torch by itself and first, as in the Makefile
RUN pip install --no-cache-dir -c constraints.txt ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} torch
COPY . .
RUN pip install --no-cache-dir -c constraints.txt ".[app,cpu]" \
    && useradd --create-home musician && mkdir /models /cache && chown musician /models /cache

USER musician
WORKDIR /home/musician
# MUSICGRAPH_MODELS: folders with checkpoints; HF_HOME: where models that somebody asked for are kept;
# MUSICGRAPH_CACHE: compiled code and int8 weights, which a new container would make anew
ENV MUSICGRAPH_MODELS=/models HF_HOME=/models/.hub MUSICGRAPH_CACHE=/cache \
    GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=7860 PYTHONUNBUFFERED=1
VOLUME /models /cache
EXPOSE 7860
# on whichever port the server was told
HEALTHCHECK --interval=30s --start-period=40s CMD ["python", "-m", "musicgraph.app.health"]
ENTRYPOINT ["musicgraph", "demo"]
