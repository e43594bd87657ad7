"""API keys: hashes only, credits that two cannot spend at once, and the command that keeps them."""

import concurrent.futures
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from musicgraph.app.http.keys import KeyStore, NoCredits, UnknownKey
from musicgraph.app.http.keys_cli import keys as command
from musicgraph.models.refused import Refused

ROOT = Path(__file__).parents[1]


@pytest.fixture
def store(tmp_path):
    return KeyStore(tmp_path / "keys.sqlite", create=True)


def test_a_credit_is_spent_and_given_back(store):
    key = store.add("ann", 2)
    first, second = store.reserve(key), store.reserve(key)
    assert [first.remaining, second.remaining] == [1, 0]
    with pytest.raises(NoCredits, match="ann"):
        store.reserve(key)
    store.spend(first)
    for _ in range(2):
        store.give_back(second)
    assert store.find(key).credits == 1, "once, however often it is given back"


def test_what_a_dead_server_had_reserved_comes_back_and_what_a_living_one_has_does_not(store):
    """A killed process runs no code of its own: only its lock goes."""
    key = store.add("ann", 5)
    code = (
        "import sys, os; sys.path.insert(0, sys.argv[1]); import conftest\n"
        "from musicgraph.app.http.keys import KeyStore\n"
        "store = KeyStore(sys.argv[2])\n"
        "spent = store.reserve(sys.argv[3]); store.spend(spent)\n"
        "store.reserve(sys.argv[3]); store.reserve(sys.argv[3]); os._exit(9)"
    )
    command = [sys.executable, "-c", code, str(ROOT / "tests"), str(store.path), key]
    assert subprocess.run(command).returncode == 9
    alive = KeyStore(store.path)
    alive.reserve(key)
    assert store.find(key).credits == 1
    KeyStore(store.path).recover()
    assert store.find(key).credits == 3
    KeyStore(store.path).recover()
    assert store.find(key).credits == 3, "the living one's is still out"


def test_the_first_two_at_once_through_one_store_both_reserve(store):
    key = store.add("ann", 20)
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        left = [one.remaining for one in pool.map(lambda _: store.reserve(key), range(20))]
    assert sorted(left) == list(range(20))


def test_a_key_is_found_while_somebody_writes(store):
    key = store.add("ann", 3)
    with store._changing() as db:
        db.execute("UPDATE keys SET credits = 0")
        assert store.find(key).credits == 3


def test_locks_that_nobody_holds_are_swept_and_a_stores_own_goes_with_it(store, tmp_path):
    key = store.add("ann", 1)
    store.reserve(key)
    (own,) = tmp_path.glob("*.lock")
    os.utime(own, (0, 0))
    stale = tmp_path / f"{store.path.name}.abc.lock"
    stale.touch()
    os.utime(stale, (0, 0))
    KeyStore(store.path).recover()
    assert list(tmp_path.glob("*.lock")) == [own] and store.find(key).credits == 0
    store.close()
    assert list(tmp_path.glob("*.lock")) == []
    KeyStore(store.path).recover()
    assert store.find(key).credits == 1


def test_keys_have_their_own_credits(store):
    ann, bob = store.add("ann", 1), store.add("bob", 1)
    store.reserve(ann)
    assert store.find(bob).credits == 1 and store.find(ann).credits == 0
    assert store.find(ann).name == "ann"


def test_two_at_once_cannot_spend_the_same_credit(store):
    key = store.add("ann", 5)

    def spend(_):
        try:
            return KeyStore(store.path).reserve(key).remaining
        except NoCredits:
            return None

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        left = list(pool.map(spend, range(20)))
    assert sorted(one for one in left if one is not None) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "change", [lambda k: k[:-1], lambda k: k + "x", lambda k: k[:-1] + "~", lambda k: k.upper()]
)
def test_a_key_must_be_right_in_every_character(store, change):
    key = store.add("ann", 1)
    with pytest.raises(UnknownKey):
        store.find(change(key))


@pytest.mark.parametrize(
    "key",
    [
        "",
        "mg_",
        "mg_1_",
        "junk-mg_1_x",
        "mg_0_",
        "mg_99_abc",
        "mg_-1_x",
        "mg_²_x",
        "mg_" + "9" * 90,
        "x" * 10**6,
        "\ud800",
        "ü",
    ],
)
def test_what_is_no_key_is_unknown(store, key):
    store.add("ann", 1)
    for method in (store.find, store.reserve):
        with pytest.raises(UnknownKey):
            method(key)


def test_the_number_of_another_key_does_not_help(store):
    ann, bob = store.add("ann", 1), store.add("bob", 1)
    with pytest.raises(UnknownKey):
        store.reserve(f"mg_2_{ann.split('_', 2)[2]}")
    assert store.find(bob).credits == 1


def test_the_file_holds_no_secret_and_is_its_owners(store):
    key = store.add("ann", 1)
    assert key.split("_", 2)[2].encode() not in store.path.read_bytes()
    assert store.path.stat().st_mode & 0o077 == 0


def test_a_removed_key_is_unknown_and_its_number_never_comes_again(store):
    old = store.add("ann", 1)
    reserved = store.reserve(old)
    store.remove("ann")
    new = store.add("ann", 1)
    with pytest.raises(UnknownKey):
        store.find(old)
    store.give_back(reserved)
    assert new.split("_")[1] != old.split("_")[1]
    assert store.find(new).credits == 1


def test_a_failure_inside_a_transaction_changes_nothing(store):
    key = store.add("ann", 3)
    with pytest.raises(ZeroDivisionError), store._changing() as db:
        db.execute("UPDATE keys SET credits = 0")
        raise ZeroDivisionError
    assert store.find(key).credits == 3


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 101])
def test_names_must_be_printable_and_short(store, name):
    with pytest.raises(Refused, match="name: got .* expected .*; choose"):
        store.add(name, 1)


@pytest.mark.parametrize("credits", [-1, 2**60])
def test_credits_must_be_in_range(store, credits):
    store.add("ann", 1)
    for method in (lambda: store.add("bob", credits), lambda: store.set_credits("ann", credits)):
        with pytest.raises(Refused, match="credits: got .* expected .*; choose"):
            method()


def test_names_are_unique_and_must_be_known(store):
    store.add("ann", 1)
    with pytest.raises(Refused, match="'ann', which has a key already"):
        store.add("ann", 1)
    for method in (lambda: store.remove("bob"), lambda: store.set_credits("bob", 1)):
        with pytest.raises(Refused, match="'bob', expected one that"):
            method()


def test_a_file_that_is_not_there_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(Refused, match="musicgraph keys add"):
        KeyStore(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_file_that_is_something_else_is_refused(tmp_path):
    path = tmp_path / "keys"
    path.write_text("hello " * 1000)
    for create in (False, True):
        with pytest.raises(Refused, match="expected a file made by"):
            KeyStore(path, create=create)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE keys (x)")
    with pytest.raises(Refused, match="expected a file made by"):
        KeyStore(other)


# ---------------------------------------------------------------- the command


def run(*arguments):
    return CliRunner().invoke(command, [str(one) for one in arguments], catch_exceptions=False)


def test_the_command_prints_the_new_key_last(tmp_path):
    file = tmp_path / "deep" / "keys.sqlite"
    done = run("add", "--api-keys", file, "--credits", 3, "ann")
    key = done.stdout.splitlines()[-1]
    assert KeyStore(file).find(key).credits == 3


def test_the_command_lists_sets_and_removes(tmp_path):
    file = tmp_path / "keys.sqlite"
    run("add", "--api-keys", file, "--credits", 3, "ann")
    run("add", "--api-keys", file, "bob")
    run("credits", "--api-keys", file, "--credits", 9, "ann")
    assert run("list", "--api-keys", file).stdout == "ann\t9\nbob\t100\n"
    run("remove", "--api-keys", file, "ann")
    assert run("list", "--api-keys", file).stdout == "bob\t100\n"


def test_the_command_is_quick_to_import():
    command = ROOT / "app" / "http" / "keys_cli.py"
    script = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('keys_cli', {str(command)!r})\n"
        "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)\n"
        "print([m for m in ('torch', 'fastapi', 'gradio', 'sqlite3') if m in sys.modules])\n"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert out.stdout.strip() == "[]", out.stderr
