"""Numbers several compiled modules share.

A compiled module that uses one imports it by name and declares it in its ``.pxd`` as a C variable; it is then read
without touching a Python object.
"""

PAGE = 4096
SMALLEST_CLASS = 7  # buffers of 128 bytes
LARGEST_CLASS = 20  # to 1 MiB
NO_OFFSET = 0xFFFFFFFF  # ends a free list
FOREVER = (1 << 63) - 1  # a time that never comes, in nanoseconds

# What a frame's checksum is known to be worth (virtio 1.2 section 5.1.6.4.1).
CHECKSUM_UNKNOWN = 0  # verify it in software
CHECKSUM_VALID = 1  # the device vouches for it (or the peer never put it on a wire: partial)
