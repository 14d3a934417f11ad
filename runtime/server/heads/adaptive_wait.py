"""How long to wait for others to join: nothing for a lone client, up to a limit under load."""

from __future__ import annotations

_MEMORY = 0.8
_CROWD = 4.0


class AdaptiveWait:
    """Learns from recent rounds how many requests come together.

    One client in sequence makes rounds of one request, and waiting would only slow it down. Several at once make
    rounds of more, and the stragglers of the last round are worth a moment.

    Args:
        max_wait_s: the longest wait.

    >>> wait = AdaptiveWait(0.002)
    >>> wait.seconds
    0.0
    >>> for _ in range(20):
    ...     wait.record(16)
    >>> wait.seconds
    0.002
    """

    def __init__(self, max_wait_s: float) -> None:
        self._max_wait_s = max_wait_s
        self._requests_per_round = 1.0

    @property
    def expected_requests(self) -> float:
        """Requests that recent rounds had."""
        return self._requests_per_round

    @property
    def seconds(self) -> float:
        """How long to wait now."""
        share = (self._requests_per_round - 1.0) / (_CROWD - 1.0)
        return self._max_wait_s * min(max(share, 0.0), 1.0)

    def record(self, num_requests: int) -> None:
        """Note a round."""
        self._requests_per_round = _MEMORY * self._requests_per_round + (1.0 - _MEMORY) * num_requests
