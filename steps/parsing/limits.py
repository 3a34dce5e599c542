"""Every bound of the parser, with its reason.

Together they keep the memory of one read flat, whatever the document's size: about one window of source text,
one unit (a line fragment, a record, a page) and the chunks made of it.
"""

from __future__ import annotations

#: Smallest and largest chunk, in characters. 32 is the platform's own lower bound (domain.md §1.8). The upper bound
#: keeps the cursor, which carries an unfinished chunk, well below the 1.9 MB of a checkpoint row even at 4 bytes a
#: character.
CHUNK_SIZE_MIN = 32
CHUNK_SIZE_MAX = 131_072

#: How much of a document's start is looked at to tell its format, encoding and delimiter. A constant, because what
#: is concluded from it must not depend on the size of later reads.
SNIFF_BYTES = 64 * 1024

#: Bytes asked for in one range request; doubled while a single unit needs more.
RANGE_BYTES = 256 * 1024
RANGE_BYTES_MAX = 2 * 1024 * 1024

#: A longer line in a line-based format is no text that a person wrote; it must fail instead of filling the memory.
LINE_CHARS_MAX = 8 * 1024 * 1024

#: Longer lines are taken in pieces of this many characters, so that a line's length never decides the memory in use.
FRAGMENT_CHARS = 4096

#: A title in a heading path is cut here: the path is repeated in every chunk below it.
HEADING_CHARS_MAX = 200

#: Column names are carried in the cursor and repeated in every row.
CSV_HEADER_CHARS_MAX = 32 * 1024
CSV_COLUMNS_MAX = 4096

#: A larger JSON container is opened and its members are read one by one. A parsed value takes up to about 50 times its
#: source's size.
JSON_VALUE_CHARS_MAX = 64 * 1024
#: Nesting of the whole document. Parsing recurses, and WebAssembly's stack is small.
JSON_DEPTH_MAX = 200
#: Containers too large to be parsed as a whole that are open at one time; each is one frame of the cursor.
JSON_FRAMES_MAX = 64
#: The part of a path such as ``items[3].name`` that is shown, counted from its end.
JSON_PATH_CHARS_MAX = 120

#: Characters of HTML handed to the tokenizer at a time.
HTML_FEED_CHARS = 4096
#: The longest single tag, comment or declaration: an embedded image in an attribute may be a few megabytes.
HTML_TOKEN_CHARS_MAX = 4 * 1024 * 1024

#: PDF blocks kept in memory between pages, and the most that a single page may need (a Worker has 128 MB in all).
PDF_CACHE_BYTES = 8 * 1024 * 1024
PDF_CACHE_BYTES_MAX = 32 * 1024 * 1024
#: Decoded size of one content stream. The library's own default, 75 MB, does not fit a Worker.
PDF_STREAM_BYTES_MAX = 16 * 1024 * 1024
#: Entries of the cross-reference table: about 200 bytes of memory each.
PDF_OBJECTS_MAX = 200_000
#: Parsed objects and stream bytes that the PDF reader may keep between pages.
PDF_RESOLVED_OBJECTS_MAX = 5_000
PDF_RESOLVED_STREAM_BYTES_MAX = 4 * 1024 * 1024
#: ``%%EOF`` must be found in the last bytes of the file. Readers traditionally search 1,024; some producers pad.
PDF_TRAILER_BYTES = 4096

#: A resource whose server does not answer range requests is read whole, up to this size.
HTTP_WHOLE_BODY_BYTES_MAX = 64 * 1024 * 1024
