from apps.transfer.protocol cimport Digest
from apps.transfer.stream cimport Source, TransferEnd

cdef unsigned int DIGEST_LENGTH
cdef unsigned int GET
cdef unsigned int REQUEST_LENGTH

cdef class Session(TransferEnd):
    cdef object _server
    cdef object _seed
    cdef Source _stream
    cdef bint _receiving
    cpdef void connected(self) except *
    cpdef void message_received(self, bytes message) except *
    cpdef void stream_received(self) except *
    cpdef void stream_sent(self) except *
    cpdef void peer_closed(self) except *
    cpdef void closed(self, str reason) except *
    cpdef void give_up(self, str why) except *
    cdef void _carry_out(self, object request) except *
    cdef Source _source_of(self, object seed)
