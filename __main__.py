"""The program `musicgraph`: what has to stand before anything heavy is imported, then the command
line.
"""

from __future__ import annotations


def main(arguments: list[str] | None = None) -> None:
    """With the arguments of the process, or with these."""
    from .app.streams import make_usable

    # before any file is opened, which would get the number of a stream that is closed
    make_usable()

    from .app.stopping import end_at_signals

    end_at_signals()

    from .cli import main as command_line

    command_line(arguments)


if __name__ == "__main__":
    main()
