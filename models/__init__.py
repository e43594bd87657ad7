"""MusicGen in plain torch.

Knows no node, no graph and no page; imports nothing from above itself.
"""
