import cython

from ebbrt.iobuf cimport IOBuf
from stack.tcp.congestion cimport CongestionControl
from stack.tcp.connections cimport Flow
from stack.tcp.engine cimport Engine, Listener, largest_receive_buffer, window_scale
from stack.tcp.fast_open cimport FastOpen
from stack.tcp.losses cimport Losses
from stack.tcp.reassembly cimport Reassembly
from stack.tcp.rtt cimport RoundTripEstimator
from stack.tcp.send_queue cimport SendQueue
from stack.tcp.sent cimport Sent

cdef unsigned int MASK32
cdef unsigned int CLOSED
cdef unsigned int DEFAULT_MSS
cdef unsigned int ECN_REQUEST
cdef long long FOREVER
cdef unsigned int HEADER_LENGTH
cdef unsigned int MEMORY_PER_WINDOW
cdef long long MILLISECOND
cdef Py_ssize_t MOST_SPARE_RECORDS
cdef unsigned int OPEN
cdef Py_ssize_t SPARE_RECORDS
cdef unsigned int SYN_RECEIVED
cdef unsigned int TIMER_NONE

cdef class Tcb(Flow):
    cdef readonly Engine engine
    cdef public Listener listener
    cdef public FastOpen fast_open
    cdef public bint syn_data
    cdef public unsigned int state
    cdef readonly object configured
    cdef readonly bint nagle
    cdef readonly bint corked
    cdef public bint cork
    cdef readonly bint delayed_ack
    cdef readonly bint pacing
    cdef readonly unsigned long long most_rate
    cdef readonly bint keepalive
    cdef readonly long long user_timeout
    cdef readonly unsigned int traffic_class
    cdef readonly unsigned int most_segment
    cdef readonly unsigned int most_unsent
    cdef public unsigned int send_buffer
    cdef readonly unsigned int most_send_buffer
    cdef readonly unsigned int iss
    cdef readonly unsigned int timestamp_offset
    cdef public unsigned int snd_una
    cdef public unsigned int snd_nxt
    cdef public unsigned int snd_max
    cdef public unsigned int snd_wnd
    cdef public unsigned int snd_wl1
    cdef public unsigned int max_snd_wnd
    cdef public unsigned int snd_wnd_shift
    cdef public unsigned int snd_sml
    cdef public unsigned int snd_mss
    cdef public unsigned int peer_mss
    cdef public unsigned int path_mtu
    cdef readonly SendQueue queue
    cdef public bint fin_queued
    cdef readonly RoundTripEstimator rtt
    cdef public unsigned int rtt_sequence
    cdef public CongestionControl congestion
    cdef public Sent sent
    cdef public Losses losses
    cdef public unsigned int recovery_state
    cdef public long long pace_next
    cdef public long long last_send
    cdef public unsigned int irs
    cdef public unsigned int rcv_nxt
    cdef public unsigned int rcv_adv
    cdef public unsigned int rcv_acked
    cdef readonly unsigned int receive_buffer
    cdef readonly unsigned int most_receive_buffer
    cdef readonly unsigned int receive_memory
    cdef public unsigned int tune_at
    cdef public long long tune_since
    cdef public long long rcv_rtt
    cdef public unsigned int rcv_space
    cdef public unsigned long long grown
    cdef public unsigned int rcv_wnd_shift
    cdef public unsigned int rcv_mss
    cdef readonly Reassembly reassembly
    cdef public bint fin_out_of_order
    cdef public unsigned int fin_sequence
    cdef public bint ack_now
    cdef public bint ack_delayed
    cdef public unsigned int quick_acks
    cdef public bint pingpong
    cdef public long long last_data_received
    cdef public long long challenge_after
    cdef public bint window_scaling
    cdef public bint ecn_offer
    cdef public bint ecn
    cdef public bint ecn_echo
    cdef public bint cwr_due
    cdef public bint sack
    cdef public bint timestamps
    cdef public unsigned int ts_recent
    cdef public long long ts_recent_time
    cdef public IOBuf held
    cdef public IOBuf held_last
    cdef public unsigned int held_pinned
    cdef public bint paused
    cdef public bint in_upcall
    cdef public bint peer_closed_due
    cdef public str closed_reason
    cdef public unsigned int window_seen
    cdef public unsigned int timer
    cdef public long long timer_deadline
    cdef public long long ack_deadline
    cdef public long long pace_deadline
    cdef public long long heap_deadline
    cdef public unsigned int retries
    cdef public bint unreachable
    cdef public unsigned int unreachable_at
    cdef public unsigned int probes
    cpdef void begin_at(self, unsigned int iss) noexcept
    cdef public unsigned long long bytes_acknowledged
    cdef public unsigned long long bytes_received
    cdef public unsigned int segments_sent
    cdef public unsigned int segments_received
    cdef public unsigned int data_segments_sent
    cdef public unsigned int data_segments_received
    cdef public unsigned int segments_retransmitted
    cdef public long long last_received
    cdef public long long stalled_since
    cpdef Reassembly own_reassembly(self)
    cpdef void take_settings(self, object settings) except *
    cpdef void set_receive_buffer(self, unsigned int size) noexcept
    cpdef void limit_receive_buffer(self, unsigned int most) noexcept
    cpdef bint is_early(self) noexcept
    @cython.locals(mss=cython.uint)
    cpdef unsigned int our_mss(self) noexcept
    cpdef unsigned int flight(self) noexcept
    @cython.locals(in_flight=cython.uint, gone=cython.uint)
    cpdef unsigned int pipe(self) noexcept
    @cython.locals(spare=list, sent=Sent)
    cpdef Sent records(self)
    cpdef Losses trouble(self)
    @cython.locals(sent=Sent)
    cpdef void drop_records(self) except *
    cpdef bint fin_sent(self) noexcept
    cpdef unsigned int timestamp(self, long long now) noexcept
