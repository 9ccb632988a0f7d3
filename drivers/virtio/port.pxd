from ebbrt.syscalls cimport IoVector

cdef class Port:
    cdef readonly bint vnet_header
    cpdef Py_ssize_t read(self, IoVector vector, int count) except? -1
    cpdef Py_ssize_t write(self, IoVector vector, int count) except? -1

cdef class TapPort(Port):
    cdef readonly int fd
    cpdef Py_ssize_t read(self, IoVector vector, int count) except? -1
    cpdef Py_ssize_t write(self, IoVector vector, int count) except? -1
