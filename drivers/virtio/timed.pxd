import cython

from drivers.virtio.device cimport NetDevice
from drivers.virtio.driver cimport VirtioNet
from ebbrt.layers cimport Stopwatch

cdef unsigned int DEVICE
cdef unsigned int DRIVER

cdef class TimedNetDevice(NetDevice):
    cdef Stopwatch _stopwatch
    @cython.locals(previous=cython.uint, frames=cython.uint)
    cpdef unsigned int receive(self, unsigned int budget) except? 0xFFFFFFFF
    @cython.locals(previous=cython.uint)
    cpdef void notify(self, unsigned int queue) except *

cdef class TimedVirtioNet(VirtioNet):
    cdef Stopwatch _stopwatch
    @cython.locals(previous=cython.uint)
    cpdef void poll(self) except *
