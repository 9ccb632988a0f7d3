cdef unsigned long long _cores_made
cdef unsigned long long _current_serial
cdef Core _current
cdef Translation _NOWHERE

cdef class Translation:
    cdef readonly unsigned long long ebb_id
    cdef readonly unsigned long long core_serial
    cdef readonly object representative
    cdef dict methods
    cpdef void set(self, object representative) except *
    cdef object find(self, object name)

cdef class Core:
    cdef readonly unsigned long long serial
    cdef readonly unsigned int number
    cdef readonly dict faults
    cdef readonly dict translations
    cpdef Translation translation(self, unsigned long long ebb_id)
    cpdef object fault(self, unsigned long long ebb_id)

cdef class EbbRef:
    cdef unsigned long long _ebb_id
    cdef Translation _here

cpdef object ebb_id_of(EbbRef reference)
