cpdef bint seq_lt(unsigned int a, unsigned int b) noexcept
cpdef bint seq_le(unsigned int a, unsigned int b) noexcept
