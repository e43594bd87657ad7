"""The genres by name: what makes each of them itself. Grooves are in `drums.py` under the same
names.
"""

from .genre import Genre
from .genres_acoustic import ACOUSTIC
from .genres_band import BAND
from .genres_electronic import ELECTRONIC

GENRES: dict[str, Genre] = {g.name: g for g in (*BAND, *ELECTRONIC, *ACOUSTIC)}
