"""Prints prompts and the captions that they stand for. Run: `python training/words/show.py 20`."""

import random
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from words.pocket import caption_for
    from words.spelling import irrelevant_words
    from words.wishes import draw_wish, put_into_words

    known = irrelevant_words()
    for seed in range(int(sys.argv[1]) if len(sys.argv) > 1 else 20):
        rng = random.Random(seed)
        wish = draw_wish(rng)
        print(put_into_words(wish, rng, known), "->", caption_for(wish), sep="\n  ")
