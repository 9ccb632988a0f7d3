from drivers.virtio.port cimport Port
from ebbrt.events.event_manager cimport EventManager
from ebbrt.syscalls cimport IoVector

cdef int EAGAIN
cdef unsigned int NET_HEADER_LENGTH
cdef unsigned int MOST_WAITING

cdef class MemoryPort(Port):
    cdef readonly object cable
    cdef readonly bint whole
    cdef object _waiting
    cdef EventManager _events
    cdef unsigned int _vector
    cdef readonly unsigned long long overruns
    cdef readonly unsigned long long bad_offloads
    cpdef Py_ssize_t read(self, IoVector vector, int count) except? -1
    cpdef Py_ssize_t write(self, IoVector vector, int count) except? -1
