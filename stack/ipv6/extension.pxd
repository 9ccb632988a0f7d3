import cython

from ebbrt.memory cimport NodeMemory

cdef unsigned int DESTINATION_OPTIONS
cdef int ERRONEOUS_FIELD
cdef unsigned int FRAGMENT
cdef unsigned int FRAGMENT_HEADER
cdef unsigned int HOP_BY_HOP
cdef unsigned int IPV6_BAD_EXTENSION
cdef unsigned int IPV6_BAD_OPTION
cdef unsigned int IPV6_DELIVERED
cdef unsigned int IPV6_FRAGMENT
cdef unsigned int IPV6_HEADER
cdef unsigned int IPV6_NO_NEXT_HEADER
cdef unsigned int LONGEST_PAYLOAD
cdef unsigned int NO_NEXT_HEADER
cdef unsigned int PAYLOAD_LENGTH_FIELD
cdef unsigned int ROUTING
cdef int TOO_MANY_HEADERS
cdef int TOO_MANY_OPTIONS
cdef int UNRECOGNIZED_NEXT_HEADER
cdef int UNRECOGNIZED_OPTION
cdef unsigned int MAX_HEADERS
cdef unsigned int MAX_OPTIONS
cdef unsigned int PAD1
cdef unsigned int PADN
cdef unsigned int ROUTER_ALERT
cdef unsigned int SKIP
cdef unsigned int DISCARD
cdef unsigned int REPORT_UNLESS_TO_GROUP
cdef int SILENT

cdef class ExtensionHeaders:
    cdef NodeMemory memory
    cdef readonly unsigned int offset
    cdef readonly unsigned int next_header
    cdef readonly int code
    cdef readonly unsigned int pointer
    cdef readonly bint even_to_group
    cdef readonly bint router_alert
    @cython.locals(kind=cython.uint, outcome=cython.uint, number=cython.uint)
    cpdef unsigned int walk(
        self,
        unsigned long long start,
        unsigned int contiguous,
        unsigned int offset,
        unsigned int next_header,
        unsigned int named_at,
        bint in_fragments,
    ) noexcept
    @cython.locals(at=cython.ulonglong, length=cython.uint)
    cdef unsigned int _take_header(
        self, unsigned long long start, unsigned int contiguous, unsigned int kind
    ) noexcept
    @cython.locals(kind=cython.uint, options=cython.uint, action=cython.uint)
    cdef bint _take_options(self, unsigned long long start, unsigned int at, unsigned int end) noexcept

cdef class FragmentHeader:
    cdef NodeMemory memory
    cdef readonly unsigned int next_header
    cdef readonly unsigned int start
    cdef readonly unsigned int length
    cdef readonly bint more
    cdef readonly unsigned int identification
    cdef readonly int code
    cdef readonly unsigned int pointer
    @cython.locals(at=cython.ulonglong, field=cython.uint)
    cpdef unsigned int read(
        self, unsigned long long start, unsigned int contiguous, unsigned int offset, unsigned int length
    ) noexcept
    cpdef bint is_atomic(self) noexcept
    cdef unsigned int _word(self, unsigned long long at) noexcept
