"""The numbers and texts of memcached's binary protocol, and the shape each request must have.

Source: memcached's ``protocol_binary.h`` and ``doc/protocol-binary.txt``; where they leave a choice, what memcached
1.6.18 does. A request is a 24-byte header, then extras, key and value, whose lengths the header gives.
"""

HEADER = 24
MAGIC_REQUEST = 0x80
MAGIC_RESPONSE = 0x81

LONGEST_KEY = 250
LONGEST_VALUE = 1 << 20
LONGEST_RELATIVE_EXPIRY = 60 * 60 * 24 * 30  # seconds; a greater number is a time since the epoch
NO_CREATION = 0xFFFFFFFF  # the expiry by which INCREMENT says: do not create the counter

GET, SET, ADD, REPLACE, DELETE, INCREMENT, DECREMENT, QUIT, FLUSH = range(0x00, 0x09)
GETQ, NOOP, VERSION, GETK, GETKQ, APPEND, PREPEND, STAT = range(0x09, 0x11)
SETQ, ADDQ, REPLACEQ, DELETEQ, INCREMENTQ, DECREMENTQ, QUITQ, FLUSHQ, APPENDQ, PREPENDQ = range(0x11, 0x1B)
TOUCH, GAT, GATQ = range(0x1C, 0x1F)
GATK, GATKQ = range(0x23, 0x25)
UNKNOWN = 0xFF

OK = 0x0000
KEY_NOT_FOUND = 0x0001
KEY_EXISTS = 0x0002
TOO_LARGE = 0x0003
INVALID_ARGUMENTS = 0x0004
NOT_STORED = 0x0005
NON_NUMERIC = 0x0006
UNKNOWN_COMMAND = 0x0081
OUT_OF_MEMORY = 0x0082

ERROR_TEXTS = {
    KEY_NOT_FOUND: b"Not found",
    KEY_EXISTS: b"Data exists for key.",
    TOO_LARGE: b"Too large.",
    INVALID_ARGUMENTS: b"Invalid arguments",
    NOT_STORED: b"Not stored.",
    NON_NUMERIC: b"Non-numeric server-side value for incr or decr",
    UNKNOWN_COMMAND: b"Unknown command",
    OUT_OF_MEMORY: b"Out of memory allocating item",
}

VERSION_TEXT = b"1.6.18"  # the memcached whose behaviour this is; clients choose features by it

# What is loud of each quiet command. GETK is a GET here, and GATK a GAT: what differs is kept in WITH_KEY.
_LOUD = {
    GETQ: GET, GETK: GET, GETKQ: GET, GATQ: GAT, GATK: GAT, GATKQ: GAT,
    SETQ: SET, ADDQ: ADD, REPLACEQ: REPLACE, DELETEQ: DELETE, INCREMENTQ: INCREMENT, DECREMENTQ: DECREMENT,
    QUITQ: QUIT, FLUSHQ: FLUSH, APPENDQ: APPEND, PREPENDQ: PREPEND,
}  # fmt: skip
_PLAIN = (
# Tables by opcode: the command it stands for (UNKNOWN if none), whether success (for GETs: a miss) goes unanswered,
)  # fmt: skip

# Tables by opcode: the command it stands for (UNKNOWN if none), whether success (for GETs: a miss) is not answered,
# and whether the reply carries the key.
COMMAND = bytes(_LOUD.get(opcode, opcode if opcode in _PLAIN else UNKNOWN) for opcode in range(256))
QUIET = bytes(opcode in _LOUD and opcode not in (GETK, GATK) for opcode in range(256))
WITH_KEY = bytes(opcode in (GETK, GETKQ, GATK, GATKQ) for opcode in range(256))

# Tables by command: length of the extras, whether there must be a key (1), none (0) or either (2), and whether a value
# may follow. FLUSH may leave its extras out.
_EXTRAS = {SET: 8, ADD: 8, REPLACE: 8, INCREMENT: 20, DECREMENT: 20, TOUCH: 4, GAT: 4, FLUSH: 4}
_KEYLESS = (QUIT, FLUSH, NOOP, VERSION)
KEY_FORBIDDEN, KEY_REQUIRED, KEY_OPTIONAL = range(3)
EXTRAS_LENGTH = bytes(_EXTRAS.get(command, 0) for command in range(256))
KEY_RULE = bytes(
    KEY_FORBIDDEN if command in _KEYLESS else KEY_OPTIONAL if command == STAT else KEY_REQUIRED
    for command in range(256)
)
TAKES_VALUE = bytes(command in (SET, ADD, REPLACE, APPEND, PREPEND) for command in range(256))
