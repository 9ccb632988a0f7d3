cdef unsigned long long _cores_made
cdef unsigned long long _current_serial
cdef Core _current
cdef Translation _NOWHERE

cdef class Translation:
    cdef unsigned long long core_serial
    cdef readonly object representative
    cdef dict methods
    cdef object last_name
    cdef object last_method
    cpdef void set(self, object representative) except *
    cpdef void retire(self) except *
    cdef object find(self, object name)

cdef class Core:
    cdef readonly unsigned long long serial
    cdef readonly unsigned int number
    cdef readonly dict faults
    cdef public object fallback
    cdef readonly dict translations
    cdef object _building
    cdef dict _torn_down
    cpdef Translation translate(self, unsigned long long ebb_id)

cdef class EbbRef:
    cdef unsigned long long _ebb_id
    cdef Translation _here

cpdef object ebb_id_of(EbbRef reference)
