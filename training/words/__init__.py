"""What people write when they ask for music, and what the model's captions call it.

`genres.py`, `sounds.py`, `moods.py` and `languages.py` are tables: concept -> phrases. `wishes.py`
draws a wish (which concepts are said) and puts it into words. `pocket.py` alone knows the sound
world: it turns a wish into the one caption for it. A model with another world needs another
`pocket.py`; the tables stay.
"""
