"""Numbers several compiled modules share.

A compiled module that uses one imports it by name and declares it in its ``.pxd`` as a C variable; it is then read
without touching a Python object.
"""

PAGE = 4096
PAGE_SHIFT = 12
SMALLEST_CLASS = 7  # buffers of 128 bytes
LARGEST_CLASS = 20  # to 1 MiB
NO_OFFSET = 0xFFFFFFFF  # ends a free list
NO_PAGE = 0xFFFFFFFF
FOREVER = (1 << 63) - 1  # a time that never comes, in nanoseconds

# Layers of the stopwatch (``ebbrt.layers``)
LOOP = 0  # the event loop, and waiting for interrupts
DEVICE = 1
DRIVER = 2
STACK = 3
APPLICATION = 4
# How long a core looks for interrupts awake before it halts, in ns: as a virtual CPU's halt does (KVM's halt_poll_ns).
MOST_AWAKE = 200_000
