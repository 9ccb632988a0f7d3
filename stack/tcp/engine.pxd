import cython

from ebbrt.clock cimport Clock
from ebbrt.memory cimport MemoryAllocator
from stack.internet cimport Internet
from stack.tcp.connections cimport Connections
from stack.tcp.fast_open cimport FastOpenQueue, FastOpenServers
from stack.tcp.reassembly cimport Reassembly
from stack.tcp.syn_cookies cimport SynCookies
from stack.tcp.timer_heap cimport TimerHeap
from stack.wire.tcp cimport TcpHeader, TcpOptions

cdef class Engine

cdef class Listener:
    cdef Engine _engine
    cdef readonly unsigned int port
    cdef readonly object accept
    cdef readonly unsigned int backlog
    cdef readonly object settings
    cdef readonly unsigned int window_scale
    cdef readonly unsigned int syn_window
    cdef public unsigned int pending
    cdef readonly FastOpenQueue fast_open
    cpdef void take_settings(self, object settings) except *

cdef class Counters:
    cdef public unsigned long long segments_received
    cdef public unsigned long long segments_sent
    cdef public unsigned long long bytes_received
    cdef public unsigned long long bytes_sent
    cdef public unsigned long long segments_retransmitted
    cdef public unsigned long long fast_retransmits
    cdef public unsigned long long retransmission_timeouts
    cdef public unsigned long long zero_window_probes
    cdef public unsigned long long duplicate_acks_received
    cdef public unsigned long long out_of_order_segments
    cdef public unsigned long long dsacks_sent
    cdef public unsigned long long dsacks_received
    cdef public unsigned long long sack_blocks_received
    cdef public unsigned long long sack_blocks_ignored
    cdef public unsigned long long rack_lost_bytes
    cdef public unsigned long long loss_probes
    cdef public unsigned long long probe_recoveries
    cdef public unsigned long long undone_by_dsack
    cdef public unsigned long long undone_by_frto
    cdef public unsigned long long undone_by_timestamps
    cdef public unsigned long long ecn_reductions
    cdef public unsigned long long ecn_marks_received
    cdef public unsigned long long handed_over
    cdef public unsigned long long resets_sent
    cdef public unsigned long long resets_received
    cdef public unsigned long long challenge_acks
    cdef public unsigned long long active_opens
    cdef public unsigned long long passive_opens
    cdef public unsigned long long fast_opens
    cdef public unsigned long long fast_opens_sent
    cdef public unsigned long long established
    cdef public unsigned long long closed
    cdef public unsigned long long time_wait_evicted
    cdef public unsigned long long keepalives_sent
    cdef public unsigned long long no_memory
    cdef public unsigned long long icmp_errors
    cdef public unsigned long long icmp_errors_ignored
    cdef public unsigned long long path_mtu_lowered
    cdef public unsigned long long path_mtu_restored
    cdef public unsigned long long black_holes
    cdef public unsigned long long path_probes
    cdef public unsigned long long path_probes_lost
    cdef public unsigned long long path_mtu_raised
    cdef unsigned long long[::1] drops
    cdef unsigned long long[::1] states
    cpdef void drop(self, unsigned int reason) noexcept

cdef class Engine:
    cdef readonly Internet ip
    cdef readonly MemoryAllocator allocator
    cdef readonly Clock clock
    cdef readonly object random
    cdef readonly bytes secret
    cdef readonly Connections connections
    cdef readonly SynCookies cookies
    cdef readonly FastOpenServers fast_open_servers
    cdef readonly TimerHeap timers
    cdef readonly Counters counters
    cdef readonly dict listeners
    cdef readonly list spare_sent
    cdef readonly object time_wait
    cdef public object ended
    cdef readonly Reassembly nothing_held
    cdef readonly TcpHeader header
    cdef readonly TcpOptions options
    cdef public bint sack
    cdef public unsigned int ecn
    cdef public unsigned int fast_open
    cdef public bytes fast_open_key
    cdef public long long challenge_interval
    cdef public bint restart_after_idle
    cdef public unsigned int receive_buffer
    cdef public unsigned int most_receive_buffer
    cdef public unsigned int send_buffer
    cdef public unsigned int most_send_buffer
    cdef public bint timestamps
    cdef public bint window_scaling
    cdef public unsigned long long grown
    cdef public unsigned long long most_grown
    cdef public object settings

cpdef unsigned int largest_receive_buffer(object settings, unsigned int unless_set) except? 0xFFFFFFFF
@cython.locals(shift=cython.uint)
cpdef unsigned int window_scale(unsigned int size) noexcept
