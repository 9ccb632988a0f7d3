import cython

cdef unsigned long long MASK64
cdef unsigned long long START_0
cdef unsigned long long START_1
cdef unsigned long long START_2
cdef unsigned long long START_3
cdef unsigned long long END_MARK
cdef int BLOCK_ROUNDS
cdef int END_ROUNDS

@cython.locals(state=SipState, whole=Py_ssize_t, at=Py_ssize_t)
cpdef bytes siphash(bytes key, bytes data)

cdef class SipState:
    cdef unsigned long long _a
    cdef unsigned long long _b
    cdef unsigned long long _c
    cdef unsigned long long _d
    cpdef void block(self, unsigned long long word) noexcept
    cpdef unsigned long long end(self) noexcept
    @cython.locals(a=cython.ulonglong, b=cython.ulonglong, c=cython.ulonglong, d=cython.ulonglong)
    cdef void _mix(self, int rounds) noexcept

cdef unsigned long long _rotated(unsigned long long word, int by) noexcept
