# docker build -t musicgraph . && docker run --rm -p 7860:7860 -v musicgraph-models:/models musicgraph
FROM python:3.12-slim

WORKDIR /srv/musicgraph
COPY constraints.txt pyproject.toml README.md LICENSE ./
# torch by itself and first, as in the Makefile; for a GPU leave out the constraint and run with --gpus all
RUN pip install --no-cache-dir -c constraints.txt torch
COPY . .
RUN pip install --no-cache-dir -c constraints.txt ".[app,cpu]" \
    && useradd --create-home musician && mkdir /models && chown musician /models

USER musician
WORKDIR /home/musician
# MUSICGRAPH_MODELS: folders with checkpoints; HF_HOME: where models that somebody asked for are kept
ENV MUSICGRAPH_MODELS=/models HF_HOME=/models/.hub GRADIO_SERVER_NAME=0.0.0.0 PYTHONUNBUFFERED=1
VOLUME /models
EXPOSE 7860
HEALTHCHECK --interval=30s --start-period=40s CMD \
    ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/health', timeout=5)"]
ENTRYPOINT ["musicgraph", "demo"]
CMD ["--port", "7860"]
