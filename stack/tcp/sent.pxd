import cython

from stack.tcp.sequence cimport seq_le, seq_lt

cdef long long FOREVER
cdef Py_ssize_t LEAST_RECORDS
cdef unsigned int MASK32
cdef Py_ssize_t MOST_RECORDS
cdef unsigned char SACKED
cdef unsigned char LOST
cdef unsigned char RESENT
cdef unsigned char FOLLOWS

cdef class Sent:
    cdef unsigned int[::1] _start
    cdef long long[::1] _time
    cdef unsigned char[::1] _state
    cdef readonly Py_ssize_t capacity
    cdef Py_ssize_t _first
    cdef readonly Py_ssize_t count
    cdef readonly unsigned int end
    cdef readonly unsigned int highest
    cdef readonly unsigned int sacked_bytes
    cdef readonly unsigned int lost_bytes
    cdef readonly unsigned int sacked_segments
    cdef unsigned int _lost_from
    cdef long long _now
    cdef long long _least_rtt
    cdef long long _answered
    cdef readonly unsigned int delivered
    cdef readonly bint original
    cdef readonly unsigned int original_end
    cdef readonly bint reordered
    cdef readonly long long newest_time
    cdef readonly unsigned int newest_end
    cdef readonly bint ambiguous
    cdef readonly long long rtt
    cpdef void clear(self, unsigned int sequence) noexcept
    @cython.locals(at=cython.Py_ssize_t)
    cpdef void append(self, unsigned int end, long long now, bint resent) except *
    cpdef void begin(self, long long now, long long least_rtt, long long answered) noexcept
    @cython.locals(first=cython.Py_ssize_t, end=cython.uint, partly=cython.bint, length=cython.uint)
    cpdef void acknowledge(self, unsigned int una) noexcept
    @cython.locals(at=cython.Py_ssize_t, start=cython.uint)
    cpdef void sack(self, unsigned int left, unsigned int right, unsigned int mss) except *
    cpdef void duplicate(self, unsigned int mss, unsigned int flight) noexcept
    @cython.locals(gone=cython.uint)
    cpdef void no_duplicates(self, unsigned int count) noexcept
    @cython.locals(latest=cython.longlong, at=cython.Py_ssize_t, last=cython.Py_ssize_t, sent=cython.longlong)
    cpdef long long lose_older(self, long long time, unsigned int end, long long deadline) noexcept
    @cython.locals(first=cython.Py_ssize_t, start=cython.uint)
    cpdef void lose_first(self, unsigned int mss) except *
    @cython.locals(reneged=cython.bint, at=cython.Py_ssize_t)
    cpdef void lose_all(self) noexcept
    @cython.locals(at=cython.Py_ssize_t)
    cpdef void keep_all(self) noexcept
    @cython.locals(at=cython.Py_ssize_t)
    cpdef void lose_within(self, unsigned int start, unsigned int end) noexcept
    @cython.locals(left=cython.uint, at=cython.Py_ssize_t, following=cython.uint)
    cpdef bint lost_once_within(self, unsigned int start, unsigned int end) noexcept
    cpdef unsigned int lost_start(self) noexcept
    @cython.locals(at=cython.Py_ssize_t, start=cython.uint, length=cython.uint)
    cpdef unsigned int lost_length(self, unsigned int most) noexcept
    @cython.locals(start=cython.uint, end=cython.uint, at=cython.Py_ssize_t)
    cpdef void resend(self, unsigned int length, long long now) except *
    @cython.locals(last=cython.Py_ssize_t)
    cpdef void lose_last(self, unsigned int mss) except *
    @cython.locals(at=cython.Py_ssize_t, state=cython.uint, length=cython.uint, count=cython.uint)
    cpdef unsigned int segments(self, unsigned int mss, bint fin, unsigned int some, unsigned int none) noexcept
    cdef unsigned int _end(self, Py_ssize_t at) noexcept
    @cython.locals(low=cython.Py_ssize_t, high=cython.Py_ssize_t, middle=cython.Py_ssize_t)
    cdef Py_ssize_t _find(self, unsigned int sequence) noexcept
    @cython.locals(at=cython.Py_ssize_t)
    cdef Py_ssize_t _first_lost(self) noexcept
    cdef void _lose(self, Py_ssize_t at) noexcept
    @cython.locals(sent=cython.longlong, resent=cython.bint, rtt=cython.longlong)
    cdef void _deliver(self, Py_ssize_t at, unsigned int length, unsigned int end) noexcept
    @cython.locals(end=cython.uint, length=cython.uint)
    cdef Py_ssize_t _mark_sacked(self, Py_ssize_t at, unsigned int mss) noexcept
    cdef void _remove(self, Py_ssize_t at) noexcept
    @cython.locals(index=cython.Py_ssize_t)
    cdef bint _split(self, Py_ssize_t at, unsigned int sequence) except -1
    cdef void _copy(self, Py_ssize_t source, Py_ssize_t to) noexcept
    @cython.locals(
        start=cython.uint[::1], time=cython.longlong[::1], state=cython.uchar[::1], first=cython.Py_ssize_t,
        index=cython.Py_ssize_t,
    )
    cdef void _make_room(self) except *
