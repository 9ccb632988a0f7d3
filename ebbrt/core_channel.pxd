import cython

from ebbrt.borrowed cimport Returns, borrow
from ebbrt.iobuf cimport IOBuf, view
from ebbrt.memory cimport Buffer, MemoryAllocator

cdef unsigned int HEADER
cdef unsigned int PIECE

cdef class CoreChannel:
    cdef readonly unsigned int number
    cdef readonly Returns returns
    cdef object _ring_out
    cdef object _ring_in
    cdef int _doorbell
    cdef MemoryAllocator _allocator
    cdef object _queue
    cdef unsigned long long _queued
    cdef bint _waiting
    cdef dict _lent
    cdef unsigned long long _next_token
    cdef bytearray _partial
    cdef unsigned long long _needed
    cdef unsigned long long _sent_messages
    cdef unsigned long long _sent_bytes
    cdef unsigned long long _batches
    cdef unsigned long long _full
    cdef unsigned long long _received_messages
    cdef unsigned long long _buffers_lent
    cdef unsigned long long _given_back
    cdef unsigned long long _borrowed
    @cython.locals(table=bytes, message=bytes)
    cpdef void queue(self, unsigned int op, unsigned int kind, bytes data, IOBuf chain=?) except *
    @cython.locals(tokens=list, data=bytes, waiting=cython.bint)
    cpdef void flush(self) except *
    cpdef bint is_waiting(self) noexcept
    cpdef bint has_much_room(self) except -1
    cdef bytes _cut(self, unsigned long long room)
    @cython.locals(table=list, piece=IOBuf, buffer=Buffer, token=cython.ulonglong)
    cdef bytes _lend(self, IOBuf chain)
    @cython.locals(data=bytes)
    cpdef bint drain(self, object arrived, bint interrupted) except -1
    @cython.locals(
        at=cython.ulonglong, end=cython.ulonglong, length=cython.uint, op=cython.uint, pieces=cython.uint, chain=IOBuf
    )
    cdef void _take(self, bytes data, object arrived) except *
    @cython.locals(head=IOBuf, last=IOBuf, piece=IOBuf, index=cython.uint)
    cdef IOBuf _borrow(self, bytes data, unsigned long long at, unsigned int pieces)
    cdef void _take_back(self, object tokens) except *
