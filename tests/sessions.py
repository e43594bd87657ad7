"""Sessions for tests: a batch of texts that begin together, as a composition opens them."""

from musicgraph.models.compose.guidance import branches_for


def opened(engine, conditioning, max_steps, cfg=1.0, negative=None):
    """A session, its slots, one for each item, and how many rows they have."""
    items = branches_for(conditioning, negative, cfg)
    session = engine.open(sum(map(len, items)), max_steps)
    slots = [session.admit([branch.conditioning for branch in item], max_steps) for item in items]
    return Together(session, slots, sum(map(len, items)))


class Together:
    """All slots of a session, stepped at once."""

    def __init__(self, session, slots, rows):
        self.session, self.slots, self.rows = session, slots, rows

    def step(self, tokens):
        """`[B, K, S]` → logits `[R, K, V]`"""
        return self.session.step(self.slots, tokens)
