import cython

from ebbrt.clock cimport Clock
from ebbrt.iobuf cimport IOBuf
from ebbrt.memory cimport MemoryAllocator
from ebbrt.messenger.frames cimport put_acknowledgment, put_header
from ebbrt.network cimport TcpConnection

cdef unsigned int ACKNOWLEDGE
cdef unsigned int ACKNOWLEDGE_BYTES
cdef unsigned int ACKNOWLEDGE_DELAY
cdef unsigned int CALL
cdef unsigned int CALL_SLACK
cdef unsigned int FRAME_HEADER
cdef unsigned int LARGEST_DATA
cdef unsigned int PIECE_COST
cdef unsigned int PING
cdef unsigned int QUEUE_LIMIT
cdef unsigned int START
cdef unsigned int TAKEN_LIMIT
cdef long long FOREVER
cdef long long PING_IDLE
cdef long long PING_TIME
cdef long long PING_WAITING

cdef class Counters:
    cdef public unsigned long long messages_sent
    cdef public unsigned long long messages_received
    cdef public unsigned long long resent
    cdef public unsigned long long duplicates
    cdef public unsigned long long acknowledgments_sent
    cdef public unsigned long long given_up
    cdef readonly dict problems

cdef class Queued:
    cdef unsigned long long sequence
    cdef unsigned int cost
    cdef IOBuf frame
    cdef bint was_sent

cdef class Call:
    cdef readonly object promise
    cdef readonly long long deadline

cdef class Peer:
    cdef public object node
    cdef readonly MemoryAllocator allocator
    cdef readonly Clock clock
    cdef readonly Counters counters
    cdef readonly object owner
    cdef public unsigned long long incarnation
    cdef public TcpConnection connection
    cdef public unsigned long long queued
    cdef readonly dict pending
    cdef readonly unsigned long long taken
    cdef public long long pinged
    cdef public long long heard
    cdef long long _expecting
    cdef object _sent
    cdef object _waiting
    cdef unsigned long long _next_sequence
    cdef unsigned long long _received
    cdef unsigned long long _acknowledged
    cdef unsigned long long _unacknowledged
    cdef long long _acknowledge_at
    cdef unsigned long long _next_call
    cdef long long _call_deadline
    cdef list _room
    @cython.locals(length=cython.ulonglong, cost=cython.ulonglong, piece=IOBuf)
    cpdef void send(self, unsigned int kind, unsigned long long ebb_id, unsigned long long call_id, IOBuf data) except *
    @cython.locals(frame=IOBuf, queued=Queued)
    cpdef void enqueue(
        self, unsigned int kind, unsigned long long ebb_id, unsigned long long call_id, IOBuf data,
        unsigned int length, unsigned int cost
    ) except *
    @cython.locals(connection=TcpConnection)
    cpdef void flush(self) except *
    @cython.locals(frame=IOBuf, connection=TcpConnection)
    cdef void _transmit(self, Queued queued) except *
    @cython.locals(sequence=cython.ulonglong, frame=IOBuf, connection=TcpConnection, first=Queued)
    cpdef void send_control(self, unsigned int kind) except *
    cdef unsigned long long _acknowledgment(self) noexcept
    cdef void _expect(self) except *
    cpdef void start(self, unsigned long long sequence) except *
    cpdef str take(self, unsigned long long sequence, unsigned int cost)
    cdef void _due(self, unsigned int cost) except *
    @cython.locals(was_held_back=cython.bint)
    cpdef void finished(self, unsigned int cost) except *
    cpdef void acknowledge(self) except *
    @cython.locals(first=Queued)
    cpdef bint has_acknowledged(self, unsigned long long sequence) except -1
    cpdef void leave(self, unsigned int cost) except *
    cpdef Call answered(self, unsigned long long call_id)
    cpdef void settle(self) except *
    cpdef long long deadline(self) except? -1
    cdef long long _silence_ends(self) noexcept
