"""What two Messengers say to each other over one TCP connection, version 1, in network byte order.

**Handshake.** Both sides prove that they know the application's secret, without saying it; nothing else is read from a
peer before it has. The side that connected (the *initiator*) speaks first:

    initiator                        acceptor
    HELLO                      ->
                               <-    HELLO, PROOF
    PROOF, frames...           ->
                               <-    frames...

A HELLO has 96 bytes:

    offset  bytes
         0      4  "EbbM"
         4      2  version of this protocol
         6      1  role: 1 the initiator, 2 the acceptor
         7      1  zero
         8      4  the sender's node number
        12      4  the node number it wants to speak to
        16      8  the sender's incarnation: a random number drawn when its Messenger began, never 0
        24     16  nonce, random
        40      2  port the sender's Messenger listens on
        42     54  its address as ASCII text, padded with zeros

A PROOF has 32 bytes: HMAC-SHA256 under the secret of a label ("initiator" or "acceptor") and both HELLOs, the
initiator's first. So it holds for these two nodes, incarnations, nonces and roles only: it cannot be reflected, nor
used on another connection. What follows is neither encrypted nor signed: the network between the nodes is the user's.

**Frames.** A header of 40 bytes, then ``length`` bytes of data:

    offset  bytes
         0      1  0xEB
         1      1  version of this protocol
         2      1  type
         3      1  zero
         4      4  length of the data
         8      8  Ebb id; zero where there is none
        16      8  sequence number; zero in frames that are not messages
        24      8  acknowledgment: the highest sequence number that the sender of this frame has taken
        32      8  call id; zero but in CALL, REPLY and FAILURE

Types: START is each side's first frame; its sequence number is that of the first message it has not given up. MESSAGE,
CALL, REPLY and FAILURE (the text of an exception in place of a reply) are *messages*: they carry data and sequence
numbers that grow by one, over all connections of these two incarnations. ACKNOWLEDGE carries nothing but its
acknowledgment. PING asks for an ACKNOWLEDGE at once.

**What this gives.** Each message is delivered at most once, and in the order of sending, also when connections break:
the sender keeps it until it is acknowledged and sends what was not again on the next connection; the receiver drops
what it has had. When the peer is another incarnation than before, or the node is lost, what waits is given up: it may
or may not have been delivered, and a call fails with NodeLostError.
"""

VERSION = 1

# Handshake
HELLO_MAGIC = b"EbbM"
HELLO_LENGTH = 96
PROOF_LENGTH = 32
NONCE_LENGTH = 16
LONGEST_ADDRESS = 54
INITIATOR = 1
ACCEPTOR = 2

# Frames
FRAME_MAGIC = 0xEB
FRAME_HEADER = 40
HEADERS_BELOW = 192  # headroom that is left for TCP, IP, Ethernet and the device
START = 1
MESSAGE = 2
CALL = 3
REPLY = 4
FAILURE = 5
ACKNOWLEDGE = 6
PING = 7
LONGEST_FAILURE = 512  # bytes of an exception's text that cross

# Bounds. A piece of a message is charged its bytes and what its buffer and bookkeeping may cost beside them.
LARGEST_DATA = 1 << 20  # bytes in one message
PIECE_COST = 512
QUEUE_LIMIT = 4 << 20  # charged bytes that may wait for one peer, sent or not, until it has acknowledged them
TAKEN_LIMIT = 1 << 20  # charged bytes in handlers that have not returned, beyond which nothing more is acknowledged
ACKNOWLEDGE_BYTES = QUEUE_LIMIT // 4  # received beyond this, acknowledge without waiting
MOST_HANDSHAKES = 256  # connections that have not proved themselves, at once

# Times, in nanoseconds.
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
ACKNOWLEDGE_DELAY = 20 * MILLISECOND  # an acknowledgment waits so long for a frame to ride on
CALL_SLACK = 10 * MILLISECOND  # a call may time out so much late, so that expired calls are looked for in batches
HANDSHAKE_TIME = 3 * SECOND  # for connecting, and for proving oneself
PING_WAITING = 1 * SECOND  # something is expected from the peer and nothing was heard for so long: ping
PING_IDLE = 10 * SECOND  # nothing is expected
PING_TIME = 3 * SECOND  # nothing heard for so long after a ping: the connection is dead
FIRST_RETRY = 10 * MILLISECOND  # doubled with each attempt that fails, up to
LAST_RETRY = 1 * SECOND
LOST_TIME = 30 * SECOND  # without a connection for so long, what waits fails with NodeLostError
