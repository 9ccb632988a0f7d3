import cython

from ebbrt.memory cimport Buffer, MemoryAllocator, NodeMemory

cdef unsigned int EITHER
cdef unsigned int EMPTY
cdef unsigned int VIRTQ_AVAIL_F_NO_INTERRUPT
cdef unsigned int VIRTQ_DESC_F_INDIRECT
cdef unsigned int VIRTQ_DESC_F_NEXT
cdef unsigned int VIRTQ_DESC_F_WRITE
cdef unsigned int VIRTQ_USED_F_NO_NOTIFY

cdef class QueueLayout:
    cdef readonly NodeMemory memory
    cdef readonly unsigned int size
    cdef readonly unsigned long long descriptors
    cdef readonly unsigned long long available
    cdef readonly unsigned long long used

cdef class QueueSide:
    cdef readonly NodeMemory memory
    cdef readonly unsigned int size
    cdef readonly bint event_index
    cdef unsigned int _mask
    cdef unsigned long long _descriptors
    cdef unsigned long long _available
    cdef unsigned long long _used
    cdef unsigned long long _used_event
    cdef unsigned long long _avail_event
    cdef readonly unsigned long long errors

cdef class DriverQueue(QueueSide):
    cdef unsigned int _avail_index
    cdef unsigned int _published
    cdef unsigned int _used_index
    cdef unsigned int _first_free
    cdef readonly unsigned int free_count
    cdef readonly unsigned int used_length
    cdef unsigned short[::1] _in_flight
    cdef unsigned short[::1] _next
    cdef void _fill(
        self, unsigned long long offset, unsigned long long address, unsigned int length, unsigned int flags
    ) noexcept
    @cython.locals(head=cython.uint, offset=cython.ulonglong)
    cpdef unsigned int add(self, unsigned long long address, unsigned int length, unsigned int flags) noexcept
    @cython.locals(head=cython.uint, second=cython.uint, offset=cython.ulonglong)
    cpdef unsigned int add_two(
        self, unsigned long long address, unsigned int length, unsigned long long address2, unsigned int length2
    ) noexcept
    @cython.locals(head=cython.uint, second=cython.uint)
    cpdef unsigned int add_request(
        self, unsigned long long address, unsigned int length, unsigned long long answer, unsigned int answer_length
    ) noexcept
    cdef void _make_available(self, unsigned int head, unsigned int count) noexcept
    @cython.locals(old=cython.uint, event=cython.uint)
    cpdef bint publish(self) noexcept
    cpdef bint has_used(self) noexcept
    @cython.locals(entry=cython.ulonglong, head=cython.uint, last=cython.uint, _=cython.uint)
    cpdef unsigned int take_used(self) noexcept
    cpdef void disable_interrupts(self) noexcept
    cpdef bint enable_interrupts(self) noexcept

cdef class DeviceQueue(QueueSide):
    cdef unsigned int _avail_index
    cdef unsigned int _used_index
    cdef unsigned int _published
    cdef unsigned long long _table
    cdef unsigned int _table_size
    cdef unsigned long long _offset
    cdef unsigned int _steps
    cdef readonly unsigned long long address
    cdef readonly unsigned int length
    cdef readonly bint writable
    @cython.locals(count=cython.uint)
    cpdef unsigned int available(self) noexcept
    cpdef unsigned int head(self, unsigned int ahead) noexcept
    cpdef void advance(self, unsigned int count) noexcept
    cpdef bint first(self, unsigned int head, unsigned int direction) noexcept
    @cython.locals(address=cython.ulonglong, length=cython.uint, size=cython.uint, flags=cython.uint)
    cdef bint _enter_table(self) noexcept
    @cython.locals(number=cython.uint)
    cpdef bint following(self, unsigned int direction) noexcept
    @cython.locals(flags=cython.uint)
    cdef bint _check(self, unsigned int direction) noexcept
    cdef bint _inside(self, unsigned long long address, unsigned int length) noexcept
    @cython.locals(entry=cython.ulonglong)
    cpdef void add_used(self, unsigned int head, unsigned int length) noexcept
    @cython.locals(old=cython.uint, event=cython.uint)
    cpdef bint publish(self) noexcept
    cpdef void disable_notifications(self) noexcept
    cpdef void enable_notifications(self) noexcept
