import cython

from ebbrt.input cimport Input
from apps.memcached.store cimport Store
from ebbrt.iobuf cimport IOBuf, allocate
from ebbrt.memory cimport NodeMemory
from ebbrt.network cimport TcpConnection, TcpHandler

cdef bytes COMMAND
cdef bytes EXTRAS_LENGTH
cdef bytes KEY_RULE
cdef bytes QUIET
cdef bytes TAKES_VALUE
cdef bytes WITH_KEY
cdef unsigned int FLUSH
cdef unsigned int HEADER
cdef unsigned int INVALID_ARGUMENTS
cdef unsigned int KEY_OPTIONAL
cdef unsigned int LONGEST_KEY
cdef unsigned int LONGEST_VALUE
cdef unsigned int MAGIC_REQUEST
cdef unsigned int MAGIC_RESPONSE
cdef unsigned int REPLY_HEADROOM
cdef unsigned int SET
cdef unsigned int TOO_LARGE
cdef unsigned int UNKNOWN
cdef unsigned int UNKNOWN_COMMAND

cdef class Core:
    cdef readonly Store store
    cdef readonly IOBuf scratch
    cdef readonly set sessions
    cdef public unsigned long long accepted
    cdef public unsigned long long opened
    cdef readonly unsigned int started
    cdef readonly dict problems
    cpdef void count(self, str reason) except *

cdef class Session(TcpHandler):
    cdef readonly Core core
    cdef readonly Store store
    cdef readonly NodeMemory memory
    cdef readonly Input _input
    cdef unsigned long long _needed
    cdef unsigned long long _refused
    cdef bint _paused
    cdef bint _waiting
    cdef bint _peer_closed
    cdef bint _ended
    cdef unsigned int opcode
    cdef readonly unsigned int command
    cdef unsigned int key_length
    cdef unsigned int extras_length
    cdef unsigned int value_length
    cdef bint quiet
    cdef bint with_key
    cdef unsigned int opaque
    cdef unsigned long long cas
    cdef unsigned long long at
    cpdef void end(self, str problem) except *
    cpdef void give_up(self) except *
    cpdef void wait(self) except *
    cpdef void go_on(self) except *
    cdef void _process(self) except *
    @cython.locals(count=cython.ulonglong)
    cdef void _drop_refused(self) except *
    cdef void _refuse_rest(self, unsigned long long count) noexcept
    @cython.locals(at=cython.ulonglong, body=cython.ulonglong, front=cython.uint, is_too_large=cython.bint, key=bytes)
    cdef void _take_request(self) except *
    @cython.locals(memory=NodeMemory)
    cdef void _read_header(self, unsigned long long at) noexcept
    cdef bint _is_well_formed(self) noexcept
    cpdef void refuse_large(self, bytes key, unsigned long long length) except *
    cpdef void carry_out(self, bytes key, unsigned int front) except *
    cpdef void skip(self, unsigned int count) except *
    cpdef IOBuf take_whole(self, unsigned int front)
    cpdef IOBuf take_value(self)
    @cython.locals(key_length=cython.uint, head=IOBuf, memory=NodeMemory, at=cython.ulonglong)
    cpdef IOBuf reply(
        self, unsigned int status, unsigned int extras_length, bytes key, unsigned int value_length,
        unsigned long long cas
    )
    @cython.locals(head=IOBuf)
    cpdef void answer(self, unsigned int status, unsigned long long cas, bytes text) except *
    cpdef void answer_error(self, unsigned int status) except *

cpdef unsigned int get32(NodeMemory memory, unsigned long long at) noexcept
@cython.locals(high=cython.ulonglong)
cpdef unsigned long long get64(NodeMemory memory, unsigned long long at) noexcept
cpdef void put16(NodeMemory memory, unsigned long long at, unsigned int value) noexcept
cpdef void put32(NodeMemory memory, unsigned long long at, unsigned int value) noexcept
cpdef void put64(NodeMemory memory, unsigned long long at, unsigned long long value) noexcept
