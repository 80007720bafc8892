"""`selfedit` and `python -m selfedit`: the command line, which can also be stopped while it is being loaded."""

import sys


def run() -> int:
    """Runs one command; returns the exit code."""
    try:
        from selfedit.cli.main import main
    except KeyboardInterrupt:
        print("selfedit: stopped before anything was done", file=sys.stderr)
        return 130
    return main()


if __name__ == "__main__":
    sys.exit(run())
