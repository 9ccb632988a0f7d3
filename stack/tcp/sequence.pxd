cdef unsigned int MASK32
cdef unsigned int HALF32

cpdef bint seq_lt(unsigned int a, unsigned int b) noexcept
cpdef bint seq_le(unsigned int a, unsigned int b) noexcept
