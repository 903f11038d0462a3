"""Two ways to scale that `benchmarks.autoscale` holds the router's against.

Knative's is its published algorithm with its defaults, written anew, and gives the values of its own tests
(`tests/unit/test_autoscale_peers.py`); its activator holds requests as our queue does. Kubernetes'
HorizontalPodAutoscaler on CPU follows its documentation, "Algorithm details" and "Configurable scaling
behavior", and is given the processor's use of the last 15 s without delay.
"""

from __future__ import annotations

import math
from collections import deque

from slipway.router.scaling.simulation import Seen
from slipway.spec import Serving


class KnativeDecider:
    """What Knative's autoscaler makes of the mean concurrency over its two windows."""

    def __init__(
        self,
        target: float,
        *,
        ready: int = 1,
        now: float = 0.0,
        scale_up_rate: float = 1000.0,
        scale_down_rate: float = 2.0,
        panic_threshold: float = 2.0,
        stable_seconds: float = 60.0,
    ) -> None:
        self._target = target
        self._scale_up_rate = scale_up_rate
        self._scale_down_rate = scale_down_rate
        self._panic_threshold = panic_threshold
        self._stable_seconds = stable_seconds
        # With more than one replica it begins in panic, which keeps them until there is data.
        self.panic_since = now if ready > 1 else None
        self.most = ready

    def scale(self, now: float, stable: float, panic: float, ready: int) -> int:
        """Give the replicas for the mean concurrency of the stable and the panic window."""
        count = max(1, ready)
        low, high = count // self._scale_down_rate, math.ceil(self._scale_up_rate * count)
        by_stable, by_panic = math.ceil(stable / self._target), math.ceil(panic / self._target)
        if by_panic / count >= self._panic_threshold:
            self.panic_since = now
        elif self.panic_since is not None and now - self.panic_since > self._stable_seconds:
            self.panic_since, self.most = None, 0
        desired = int(min(max(by_stable, low), high))
        if self.panic_since is None:
            return desired
        self.most = max(self.most, desired, int(min(max(by_panic, low), high)))
        return self.most


class Knative:
    """Its windows of 60 and 6 s over values of each second, every 2 s."""

    def __init__(self, serving: Serving, replicas: int) -> None:
        target = serving.replica_max_concurrent_requests * serving.autoscale_target_utilization / 100
        self._serving = serving
        self._decider = KnativeDecider(target, ready=replicas)
        self._values: deque[float] = deque(maxlen=60)
        self._sum = 0.0
        self._next = 1.0

    def __call__(self, seen: Seen) -> int | None:
        if seen.at < self._next:
            return None
        self._next += 1
        total = seen.busy_seconds + seen.queued_seconds
        self._values.append(total - self._sum)
        self._sum = total
        if round(seen.at) % 2:
            return None
        panic = list(self._values)[-6:]
        stable = sum(self._values) / len(self._values)
        return _bounded(
            self._decider.scale(seen.at, stable, sum(panic) / len(panic), seen.ready), self._serving
        )


class Hpa:
    """Kubernetes' own on the processor's use: each request in a replica uses 1 / N of it."""

    SYNC_SECONDS, TOLERANCE, DOWN_SECONDS = 15.0, 0.1, 300.0

    def __init__(self, serving: Serving, replicas: int) -> None:
        self._serving = serving
        self._slots = serving.replica_max_concurrent_requests
        self._target = serving.autoscale_target_utilization / 100
        self._recommended: deque[tuple[float, int]] = deque([(0.0, replicas)])
        self._busy_seconds = 0.0
        self._next = self.SYNC_SECONDS

    def __call__(self, seen: Seen) -> int | None:
        if seen.at < self._next:
            return None
        self._next += self.SYNC_SECONDS
        used = (seen.busy_seconds - self._busy_seconds) / self.SYNC_SECONDS / self._slots
        self._busy_seconds = seen.busy_seconds
        desired = self.recommend(used, seen.ready, seen.replicas)
        self._recommended.append((seen.at, desired))
        while self._recommended[0][0] < seen.at - self.DOWN_SECONDS:
            self._recommended.popleft()
        if desired < seen.replicas:
            desired = min(seen.replicas, max(count for _, count in self._recommended))
        most = max(2 * seen.replicas, seen.replicas + 4)  # default policies: 100 % or 4 pods in 15 s
        return _bounded(min(desired, most), self._serving)

    def recommend(self, used: float, ready: int, replicas: int) -> int:
        """Give the replicas for so much use of ready ones; those that are not ready count as unused."""
        ratio = used / self._target / ready if ready else 1.0
        if ratio > 1 and replicas > ready:
            ratio, ready = used / self._target / replicas, replicas
            if ratio < 1:
                return replicas
        if abs(ratio - 1) <= self.TOLERANCE:
            return replicas
        return math.ceil(ratio * ready - 1e-9)


def _bounded(count: int, serving: Serving) -> int:
    return min(max(count, serving.autoscale_min_replicas), serving.autoscale_max_replicas)
