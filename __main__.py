"""The program `musicgraph`: what has to stand before anything heavy is imported, then the command line."""

from __future__ import annotations


def main() -> None:
    from .app.stopping import end_at_signals

    end_at_signals()

    from .app.streams import make_usable

    make_usable()

    from .cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
