from stack.interface cimport Interface

cdef class Route:
    cdef readonly object network
    cdef readonly unsigned int gateway
    cdef readonly Interface interface
    cdef readonly unsigned int first
    cdef readonly unsigned int mask
    cdef readonly bint on_link

cdef class RouteTable:
    cdef readonly unsigned int generation
    cdef list _routes
