"""Keeps a cluster up until Ctrl-C, to try things on: `python -m tests.cluster.kubernetes`."""

import signal
import sys

from tests.cluster.kubernetes.build import NoGoError, build
from tests.cluster.kubernetes.cluster import single_node


def main() -> int:
    """Print how to reach the cluster, then wait for the signal to end it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        programs = build(_say)
        with single_node(_say) as made:
            print(f"export KUBECONFIG={made.kubeconfig} PATH={programs}:$PATH")
            print(f"# context {made.context}; registry {made.registry}; Ctrl-C ends it", flush=True)
            signal.pause()
    except NoGoError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
