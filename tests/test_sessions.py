"""Sessions with slots: whoever comes, goes or listens to something else, each item gets what it
gets alone.
"""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_cuda_engine import Rerun, WithoutGpu

from musicgraph.models.engines import cuda_graphs
from musicgraph.models.engines.numba_engine import NumbaEngine
from musicgraph.models.engines.session import TorchEngine
from musicgraph.models.refused import Refused
from musicgraph.models.weights import checkpoint

TEXTS = ["drums", "a long description of slow music", "piano", ""]
STEPS = 12
QUICK = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


ENGINES = ("torch", "cuda graph", "numba fp32", "numba int8", "numba int4")


@pytest.fixture(scope="module")
def engines(mono):
    opened = checkpoint.open_checkpoint(mono.folder)
    patch = pytest.MonkeyPatch()
    patch.setattr(cuda_graphs, "Recorder", Rerun)
    yield {
        "torch": TorchEngine(mono.lm),
        "cuda graph": WithoutGpu(mono.lm),
        "numba fp32": NumbaEngine(opened, "fp32"),
        "numba int8": NumbaEngine(opened, "int8"),
        "numba int4": NumbaEngine(opened, "int4"),
    }
    patch.undo()


@pytest.fixture(scope="module")
def heard(mono):
    """What items listen to: a text, a text and nothing, two texts and nothing, nothing."""
    drums, slow, piano, nothing = (mono.text.encode(TEXTS).item(i) for i in range(4))
    return [drums], [slow, nothing], [piano, drums, nothing], [nothing]


def assert_same(engine, got, expected):
    """To the last bit, where the engine promises that; torch's own products round by the size of
    the batch.
    """
    if engine.name == "numba":
        assert torch.equal(got, expected)
    else:
        torch.testing.assert_close(got, expected, atol=2e-5, rtol=0)


def alone(engine, heard, tokens, changes=()):
    """Logits of each step of one slot `[S, rows, K, V]`; `changes`: step → what it hears from there
    on.
    """
    session = engine.open()
    slot = session.admit(heard, STEPS)
    made = []
    for t in range(tokens.shape[2]):
        if t in dict(changes):
            session.listen(slot, dict(changes)[t])
        made.append(session.step([slot], tokens[:, :, t : t + 1]))
    return torch.stack(made)


def random_tokens(config, items):
    generator = torch.manual_seed(1)
    shape = (items, config.num_codebooks, STEPS)
    return torch.randint(0, config.codebook_size, shape, generator=generator)


@pytest.mark.parametrize("name", ENGINES)
@QUICK
@given(data=st.data())
def test_slots_that_come_and_go_get_what_each_gets_alone(engines, heard, name, data):
    engine = engines[name]
    tokens = random_tokens(engine.config, len(heard))
    expected = [alone(engine, one, tokens[i : i + 1]) for i, one in enumerate(heard)]
    session, slots, done = engine.open(), {}, dict.fromkeys(range(len(heard)), 0)
    for _ in range(20):
        outside = [i for i in done if i not in slots and done[i] == 0]
        if outside and data.draw(st.booleans(), "somebody comes"):
            i = data.draw(st.sampled_from(outside))
            slots[i] = session.admit(heard[i], STEPS)
        inside = [i for i in slots if done[i] < STEPS]
        if not inside:
            continue
        turn = data.draw(st.lists(st.sampled_from(inside), min_size=1, unique=True), "who steps")
        read = torch.cat([tokens[i : i + 1, :, done[i] : done[i] + 1] for i in turn])
        logits = session.step([slots[i] for i in turn], read)
        for i, rows in zip(turn, logits.split([len(heard[i]) for i in turn]), strict=True):
            assert_same(engine, rows, expected[i][done[i]])
            done[i] += 1
        if len(slots) > 1 and data.draw(st.booleans(), "somebody goes"):
            i = data.draw(st.sampled_from(list(slots)))
            session.leave(slots.pop(i))
            done[i] = STEPS


@pytest.mark.parametrize("name", ENGINES)
def test_what_a_slot_listens_to_may_change_between_two_steps(engines, heard, name):
    engine = engines[name]
    tokens = random_tokens(engine.config, 1)
    before, after = heard[1], [heard[0][0], heard[2][0]]
    plain = alone(engine, before, tokens)
    turned = alone(engine, before, tokens, {5: after})
    assert torch.equal(turned[:5], plain[:5])
    assert not torch.equal(turned[5:], plain[5:])
    assert torch.equal(turned, alone(engine, before, tokens, {5: after}))
    session = engine.open()  # beside another that keeps listening to the same
    slots = [session.admit(before, STEPS), session.admit(before, STEPS)]
    for t in range(STEPS):
        if t == 5:
            session.listen(slots[0], after)
        logits = session.step(slots, tokens[:, :, t : t + 1].repeat(2, 1, 1))
        assert_same(engine, logits[:2], turned[t])
        assert_same(engine, logits[2:], plain[t])


@pytest.mark.parametrize("name", ENGINES)
def test_a_prompt_is_read_while_others_are_elsewhere(engines, heard, name):
    engine, tokens = engines[name], None
    tokens = random_tokens(engine.config, 2)
    first, second = alone(engine, heard[1], tokens[:1]), alone(engine, heard[2], tokens[1:])
    session = engine.open()
    early = session.admit(heard[1], STEPS)
    for t in range(4):
        session.step([early], tokens[:1, :, t : t + 1])
    late = session.admit(heard[2], STEPS)
    assert_same(engine, session.step([late], tokens[1:, :, :7]), second[6])
    for t in range(4):
        read = torch.cat([tokens[:1, :, 4 + t : 5 + t], tokens[1:, :, 7 + t : 8 + t]])
        logits = session.step([early, late], read)
        assert_same(engine, logits[:2], first[4 + t])
        assert_same(engine, logits[2:], second[7 + t])


def test_a_branch_that_did_not_begin_with_the_others_is_refused(engines, heard):
    session = engines["torch"].open()
    slot = session.admit(heard[0], STEPS)
    with pytest.raises(Refused, match="branches: got 2 for a slot of 1"):
        session.listen(slot, heard[1])
