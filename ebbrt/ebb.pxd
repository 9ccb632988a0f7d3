import cython

cdef unsigned long long _cores_made
cdef unsigned long long _current_serial
cdef Core _current
cdef Translation _NOWHERE

cdef class Translation:
    cdef unsigned long long core_serial
    cdef readonly object representative
    cdef dict methods
    cdef unsigned int lookups
    cdef object name_0
    cdef object name_1
    cdef object name_2
    cdef object name_3
    cdef object method_0
    cdef object method_1
    cdef object method_2
    cdef object method_3
    cpdef void set(self, object representative) except *
    cpdef void retire(self) except *
    cdef object find(self, object name)
    @cython.locals(place=cython.uint)
    cdef void _keep(self, object name, object method) except *

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

cpdef Core current_core()
