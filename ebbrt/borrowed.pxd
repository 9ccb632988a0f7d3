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
    cdef unsigned long long token
    cdef Returns returns

@cython.locals(buffer=BorrowedBuffer)
cpdef Buffer borrow(
    MemoryAllocator allocator, Returns returns, unsigned long long token, unsigned long long offset, unsigned int size_class
)
