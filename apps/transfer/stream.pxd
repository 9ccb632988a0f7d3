import cython

from apps.transfer.protocol cimport Digest, number_bytes
from ebbrt.iobuf cimport IOBuf, allocate
from ebbrt.memory cimport MemoryAllocator
from ebbrt.network cimport TcpHandler

cdef unsigned int BLOCK
cdef unsigned int HEADROOM
cdef unsigned int NUMBER_LENGTH

cdef class Source:
    cdef MemoryAllocator _allocator
    cdef IOBuf _block
    cdef unsigned long long _number
    cdef unsigned int _at
    cpdef void restart(self) noexcept
    @cython.locals(piece=IOBuf)
    cpdef IOBuf take(self, unsigned long long most, Digest digest)

cdef class TransferEnd(TcpHandler):
    cdef readonly MemoryAllocator allocator
    cdef public Digest digest
    cdef readonly unsigned long long bytes_received
    cdef readonly unsigned long long bytes_sent
    cdef Source _source
    cdef unsigned long long _to_send
    cdef unsigned long long _stream_left
    cdef bytes _message
    cdef unsigned int _message_length
    cpdef void expect_stream(self, unsigned long long length) except *
    cpdef void expect_message(self, unsigned int length) noexcept
    cpdef void stream_received(self) except *
    cpdef void message_received(self, bytes message) except *
    @cython.locals(piece=IOBuf, following=IOBuf, count=cython.uint)
    cpdef void receive(self, IOBuf data) except *
    cpdef void send_stream(self, Source source, unsigned long long length) except *
    @cython.locals(piece=IOBuf)
    cpdef void send_message(self, bytes message) except *
    cpdef void stream_sent(self) except *
    cpdef void send_window_opened(self) except *
    @cython.locals(room=cython.ulonglong, chain=IOBuf)
    cdef void _pump(self, Source source) except *
    @cython.locals(chain=IOBuf, last=IOBuf)
    cdef IOBuf _take(self, Source source, unsigned long long length)
    cpdef void closed(self, str reason) except *

@cython.locals(piece=IOBuf)
cpdef IOBuf bytes_in_node_memory(MemoryAllocator allocator, bytes data)
