"""How long to wait for others to join: nothing for a lone client, up to a limit under load."""

from __future__ import annotations

_MEMORY = 0.8
_CROWD = 8.0
_MOST_OF_A_ROUND = 1 / 3


class AdaptiveWait:
    """Learns from recent rounds how many requests come together, and how long a round takes.

    One client in sequence makes rounds of one request, and waiting would only slow it down. Of many at once one that
    is out of step finds the queue empty while the others' answers are being written: if it ran alone, they would wait
    for it, and it for them, time after time. Nobody waits longer than a third of what the last round took.

    Args:
        max_wait_s: the longest wait.

    >>> wait = AdaptiveWait(0.008)
    >>> wait.seconds
    0.0
    >>> wait.record(31, round_s=0.015)
    >>> round(wait.seconds, 4), wait.expected_requests
    (0.005, 31)
    >>> wait.record(1, round_s=0.015)
    >>> wait.expected_requests
    31
    >>> wait.record(1, round_s=0.015)
    >>> wait.seconds
    0.0
    """

    def __init__(self, max_wait_s: float) -> None:
        self._max_wait_s = max_wait_s
        self._last, self._last_but_one = 1, 1
        self._round_s = 0.0
        self.requests_per_round = 1.0
        """Requests that rounds lately had."""

    @property
    def expected_requests(self) -> int:
        """Requests that may come together: those of the larger of two rounds."""
        return max(self._last, self._last_but_one)

    @property
    def seconds(self) -> float:
        """How long to wait now."""
        share = (self.expected_requests - 1) / (_CROWD - 1)
        return min(self._max_wait_s, self._round_s * _MOST_OF_A_ROUND) * min(max(share, 0.0), 1.0)

    def record(self, num_requests: int, round_s: float) -> None:
        """Note a round of so many requests that took so many seconds."""
        self._last, self._last_but_one = num_requests, self._last
        self._round_s = round_s
        self.requests_per_round = _MEMORY * self.requests_per_round + (1.0 - _MEMORY) * num_requests
