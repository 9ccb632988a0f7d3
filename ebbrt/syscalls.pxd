import cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport errno
from libc.string cimport memcpy, memmove
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec
from posix.uio cimport iovec, readv, writev

from ebbrt.memory cimport NodeMemory

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        int fd
    cdef struct epoll_event:
        unsigned int events
        epoll_data_t data
    int epoll_wait(int epfd, epoll_event *events, int maxevents, int timeout)

cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef timespec _time
cdef int MOST_EVENTS

cpdef long long monotonic_ns() noexcept
cpdef void yield_processor() noexcept

cdef class IoVector:
    cdef readonly NodeMemory memory
    cdef list _pieces
    cdef list _offsets
    cdef iovec[1024] _vector
    cpdef void put(self, unsigned int index, unsigned long long offset, unsigned int length) noexcept
    cpdef unsigned long long offset(self, unsigned int index) noexcept
    cpdef unsigned int length(self, unsigned int index) noexcept
    cpdef void drop(self, unsigned int count, unsigned int kept) noexcept
    @cython.locals(result=cython.Py_ssize_t)
    cpdef Py_ssize_t read(self, int fd, int count)
    @cython.locals(result=cython.Py_ssize_t)
    cpdef Py_ssize_t write(self, int fd, int count)
    @cython.locals(at=cython.Py_ssize_t, left=cython.Py_ssize_t, length=cython.Py_ssize_t, index=cython.int)
    cpdef Py_ssize_t fill(self, bytes data, int count) except -1
    @cython.locals(at=cython.Py_ssize_t, length=cython.Py_ssize_t, index=cython.int, data=bytes)
    cpdef bytes collect(self, int count)

cdef class Epoll:
    cdef object _epoll
    cdef int _fd
    cdef list _ready
    cdef epoll_event[64] _events
    cpdef void register(self, int fd, unsigned int events) except *
    cpdef void modify(self, int fd, unsigned int events) except *
    cpdef void unregister(self, int fd) except *
    @cython.locals(count=cython.int)
    cpdef int wait(self, int timeout_ms) except -1
    cpdef int ready_fd(self, int index)
    cpdef void close(self) except *
