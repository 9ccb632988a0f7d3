cdef Core _current

cdef class Core:
    cdef readonly unsigned int number
    cdef readonly dict faults
    cdef readonly dict representatives
    cpdef object fault(self, unsigned long long ebb_id)

cdef class EbbRef:
    cdef object _ebb_id
