from stack.tcp.prr cimport ProportionalRateReduction

cdef class Losses:
    cdef public unsigned int recover
    cdef public unsigned int duplicate_acks
    cdef readonly ProportionalRateReduction prr
    cdef public long long rack_time
    cdef public unsigned int rack_end
    cdef public long long rack_rtt
    cdef public bint reordering_seen
    cdef public unsigned int window_multiplier
    cdef public unsigned int window_persist
    cdef public unsigned int dsack_round
    cdef public bint in_dsack_round
    cdef public bint probing
    cdef public unsigned int probe_end
    cdef public bint probe_resent
    cdef public bint may_undo
    cdef public unsigned int undo_from
    cdef public unsigned int undo_bytes
    cdef public bint resent
    cdef public unsigned int resent_at
    cdef public unsigned int size_probe
    cdef public unsigned int size_probe_start
    cdef public unsigned int size_probe_end
    cdef public bint size_probe_lost
    cdef public unsigned int timed_out_at
    cdef public bint frto
    cdef public bint send_new
