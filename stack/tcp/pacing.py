"""Pacing: segments spread over the round trip, instead of in bursts as acknowledgments and the application bring them.

Off unless the application wants it. The rate is a little more than the window in a round trip, so that pacing is not
what limits: twice that while the window doubles, 1.2 times in congestion avoidance (as Linux); or what the application
set as the most. A segment takes the time that its bytes take at this rate, and until that has gone by nothing is sent.
"""

from stack.tcp.constants import MOST_WINDOW, SECOND
from stack.tcp.tcb import Tcb
from stack.tcp.timers import arm_pacing

GROWING_PERCENT = 200
STEADY_PERCENT = 120
LEAST_BURST = 2  # segments that may be given to the device at once; where these take less than a millisecond, more:
BURSTS_PER_SECOND = 1000


def pacing_rate(connection: Tcb) -> int:
    """Bytes in a second; 0: no limit is known, since no round trip is."""
    srtt = connection.rtt.srtt
    if srtt == 0:
        return connection.most_rate
    congestion = connection.congestion
    percent = GROWING_PERCENT if 2 * congestion.cwnd < congestion.ssthresh else STEADY_PERCENT
    rate = max(congestion.cwnd * SECOND // srtt * percent // 100, 1)
    return min(rate, connection.most_rate) if connection.most_rate else rate


def may_send(connection: Tcb, now: int) -> bool:
    """Whether the last segment has had its time; if not, ``output`` is called when it has."""
    if connection.pace_next <= now:
        return True
    arm_pacing(connection, connection.pace_next)
    return False


def paced_burst(connection: Tcb) -> int:
    """Most bytes to give to the device at once."""
    return max(LEAST_BURST * connection.snd_mss, min(pacing_rate(connection) // BURSTS_PER_SECOND, MOST_WINDOW))


def has_sent(connection: Tcb, length: int, now: int) -> None:
    """``length`` bytes are sent: how long that is to take."""
    rate = pacing_rate(connection)
    if rate:
        connection.pace_next = now + length * SECOND // rate
