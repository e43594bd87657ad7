"""What the composer and the renderer are made of, one concern a file; `compose.py` and `render.py`
put it together.
"""
