import cython

from apps.memcached.session cimport Core, Session, get32, get64, put32, put64
from apps.memcached.store cimport Item
from ebbrt.iobuf cimport IOBuf, allocate

cdef unsigned int ADD
cdef unsigned int APPEND
cdef unsigned int DECREMENT
cdef unsigned int DELETE
cdef unsigned int FLUSH
cdef unsigned int GAT
cdef unsigned int GET
cdef unsigned int HEADER
cdef unsigned int INCREMENT
cdef unsigned int KEY_EXISTS
cdef unsigned int KEY_NOT_FOUND
cdef unsigned int LONGEST_VALUE
cdef unsigned int NO_CREATION
cdef unsigned int NON_NUMERIC
cdef unsigned int NOOP
cdef unsigned int NOT_STORED
cdef unsigned int OK
cdef unsigned int OUT_OF_MEMORY
cdef unsigned int PREPEND
cdef unsigned int QUIT
cdef unsigned int REPLACE
cdef unsigned int SET
cdef unsigned int STAT
cdef unsigned int TOUCH
cdef unsigned int VERSION

cdef class Commands(Session):
    cdef unsigned int now
    @cython.locals(command=cython.uint, flags=cython.uint, expiration=cython.uint)
    cpdef void carry_out(self, bytes key, unsigned int front) except *
    @cython.locals(command=cython.uint, extras=cython.ulonglong, first=cython.uint, expiration=cython.uint)
    cdef void _carry_out_rare(self, bytes key, unsigned int front) except *
    cdef void _succeed(self, unsigned long long cas) except *
    @cython.locals(item=Item)
    cdef void _get(self, bytes key) except *
    @cython.locals(head=IOBuf)
    cdef void _miss(self, bytes key) except *
    @cython.locals(head=IOBuf)
    cdef void _send_item(self, bytes key, Item item, bint with_value) except *
    @cython.locals(length=cython.uint, value=IOBuf, item=Item, fresh=Item, status=cython.uint)
    cdef void _set(self, bytes key, unsigned int flags, unsigned int expiration) except *
    cdef void _refuse_for_memory(self, bytes key) except *
    cdef unsigned int _may_store(self, Item item) except? 0
    @cython.locals(item=Item)
    cdef void _delete(self, bytes key) except *
    @cython.locals(length=cython.uint, value=IOBuf, item=Item, pieces=IOBuf, whole=IOBuf)
    cdef void _extend(self, bytes key) except *
    @cython.locals(item=Item)
    cdef void _touch(self, bytes key, unsigned int expiration) except *
    cdef void _add_to_counter(self, bytes key, object delta, object initial, unsigned int expiration) except *
    cdef void _store_counter(self, bytes key, Item item, object value, Item fresh) except *
    cpdef void stat(self, bytes group) except *
    cpdef void answer_statistics(self, list statistics) except *

cpdef IOBuf join(IOBuf front, IOBuf back)
