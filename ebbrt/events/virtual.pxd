from ebbrt.events.event_manager cimport EventManager

cdef long long FOREVER

cdef class VirtualEventManager(EventManager):
    cdef readonly bint stopped
    cdef bint _at_rest
    cpdef long long settle(self) except? -1
    cdef void _halt(self) except *
