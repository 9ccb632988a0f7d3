import cython

from ebbrt.memory cimport Buffer, MemoryAllocator

cdef class Returns:
    cdef list tokens
    cdef Py_ssize_t batch
    cdef object first
    cdef object many
    cpdef void put(self, unsigned long long token) except *
    cpdef list take(self)

cdef class BorrowedBuffer(Buffer):
    cdef unsigned int length
    cdef unsigned long long token
    cdef Returns returns
    cpdef unsigned int size(self) noexcept

@cython.locals(buffer=BorrowedBuffer)
cpdef Buffer borrow(
    MemoryAllocator allocator, Returns returns, unsigned long long token, unsigned long long offset, unsigned int length
)
