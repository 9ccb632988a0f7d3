cpdef bytes number_bytes(unsigned long long number)

cdef class Digest:
    cdef readonly bint checked
    cdef object _hash
    cpdef object update(self, object data)
    cpdef bytes value(self)
