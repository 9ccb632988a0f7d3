"""What a connection remembers of its losses: made when the first thing goes wrong, and kept from then on.

Data only. ``stack.tcp.rack`` and ``stack.tcp.recovery`` say what it means; sequence numbers are 32 bits wide, times
nanoseconds.
"""

from stack.tcp.prr import ProportionalRateReduction


class Losses:
    """One connection's. The comments name the variables of the RFCs."""

    def __init__(self) -> None:
        self.recover = 0  # NewReno's, RFC 6582; RecoveryPoint, RFC 6675: recovery is over when this is acknowledged
        self.duplicate_acks = 0
        self.prr = ProportionalRateReduction()

        # RFC 8985 section 5.2: the last sent segment that has arrived, and the window in which reordering is suffered.
        self.rack_time = -1  # RACK.xmit_ts; -1: nothing has arrived yet
        self.rack_end = 0  # RACK.end_seq
        self.rack_rtt = 0
        self.reordering_seen = False
        self.window_multiplier = 1  # RACK.reo_wnd_mult
        self.window_persist = 0  # RACK.reo_wnd_persist: recoveries until the multiplier is 1 again
        self.dsack_round = 0  # RACK.dsack_round, when ``in_dsack_round``
        self.in_dsack_round = False

        # RFC 8985 section 7.1: the loss probe that is not answered yet.
        self.probing = False
        self.probe_end = 0  # TLP.end_seq
        self.probe_resent = False  # TLP.is_retrans

        # To take a reduction back: since it, what has been sent again, and of that what has not come twice.
        self.may_undo = False
        self.undo_from = 0  # bytes before it have nothing to do with the reduction
        self.undo_bytes = 0
        self.resent = False  # whether anything was
        self.resent_at = 0  # our timestamp when that began (RFC 3522)

        # The probe of the path's MTU that is under way: see stack.tcp.size_probe.
        self.size_probe = 0  # length of its packet; 0: there is none
        self.size_probe_start = 0
        self.size_probe_end = 0
        self.size_probe_lost = False

        self.timed_out_at = 0  # our timestamp at the last retransmission timeout
        self.frto = False  # whether F-RTO (RFC 5682) still doubts the timeout
        self.send_new = False  # ... and asks for new data instead of what is lost
