"""Real PDFs, written with the PDF library's own writer or by hand."""

# The writer has no public way to add an object.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence

from pypdf import PdfWriter
from pypdf.generic import (
    ArrayObject,
    DecodedStreamObject,
    DictionaryObject,
    EncodedStreamObject,
    NameObject,
    NumberObject,
    StreamObject,
)

_FONT = {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": "/Helvetica", "/Encoding": "/WinAnsiEncoding"}


def _names(entries: dict[str, str]) -> DictionaryObject:
    return DictionaryObject({NameObject(key): NameObject(value) for key, value in entries.items()})


def text_operators(text: str) -> bytes:
    """Return the content stream that shows text, one line below the other."""
    operators = ["BT /F1 11 Tf 14 TL 40 780 Td"]
    for line in text.split("\n"):
        escaped = line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
        operators.append(f"({escaped}) Tj T*")
    return "\n".join([*operators, "ET"]).encode("latin-1", "replace")


def make_pdf(
    pages: Sequence[str],
    *,
    image_bytes: int = 0,
    user_password: str | None = None,
    algorithm: str = "RC4-128",
    pages_per_node: int = 0,
) -> bytes:
    """Return a PDF.

    Args:
        pages: text of each page.
        image_bytes: size of an image on every page.
        user_password: encrypt the document.
        algorithm: how to encrypt it.
        pages_per_node: group the pages below intermediate nodes of the page tree.
    """
    writer = PdfWriter()
    font = writer._add_object(_names(_FONT))
    for text in pages:
        page = writer.add_blank_page(width=595, height=842)
        resources = DictionaryObject({NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})})
        operators = text_operators(text)
        if image_bytes:
            image = writer._add_object(_image(image_bytes))
            resources[NameObject("/XObject")] = DictionaryObject({NameObject("/Im1"): image})
            operators = b"/Im1 Do\n" + operators
        content = DecodedStreamObject()
        content.set_data(operators)
        page[NameObject("/Resources")] = resources
        page[NameObject("/Contents")] = writer._add_object(content.flate_encode())
    if pages_per_node:
        _group_pages(writer, pages_per_node)
    if user_password is not None:
        writer.encrypt(user_password, owner_password="owner", algorithm=algorithm)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def _image(size: int) -> StreamObject:
    image = EncodedStreamObject()
    image._data = b"\xff\xd8" + b"\x5a" * (size - 2)
    image.update(
        _names({"/Type": "/XObject", "/Subtype": "/Image", "/Filter": "/DCTDecode", "/ColorSpace": "/DeviceGray"})
    )
    for name in ("/Width", "/Height", "/BitsPerComponent"):
        image[NameObject(name)] = NumberObject(8)
    return image


def _group_pages(writer: PdfWriter, size: int) -> None:
    """Put groups of pages below intermediate nodes, as producers of large documents do."""
    tree = writer.root_object["/Pages"]
    assert isinstance(tree, DictionaryObject)
    kids = tree["/Kids"]
    assert isinstance(kids, ArrayObject)
    nodes = ArrayObject()
    for start in range(0, len(kids), size):
        group = ArrayObject(kids[start : start + size])
        node = DictionaryObject(
            {
                NameObject("/Type"): NameObject("/Pages"),
                NameObject("/Kids"): group,
                NameObject("/Count"): NumberObject(len(group)),
            }
        )
        nodes.append(writer._add_object(node))
    tree[NameObject("/Kids")] = nodes


def make_pdf_with_object_streams(text: str) -> bytes:
    """Return a PDF of one page in the form of PDF 1.5: objects in an object stream, a cross-reference stream."""
    objects = {
        1: b"<</Type/Catalog/Pages 2 0 R>>",
        2: b"<</Type/Pages/Kids[3 0 R]/Count 1/MediaBox[0 0 595 842]/Resources<</Font<</F1 5 0 R>>>>>>",
        3: b"<</Type/Page/Parent 2 0 R/Contents 4 0 R>>",
        5: b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    }
    index, body = b"", b""
    for number, data in objects.items():
        index += b"%d %d " % (number, len(body))
        body += data + b" "
    content = zlib.compress(text_operators(text))
    packed = zlib.compress(index + body)
    out = b"%PDF-1.5\n"
    offsets = {4: len(out)}
    out += b"4 0 obj<</Length %d/Filter/FlateDecode>>stream\n" % len(content) + content + b"\nendstream endobj\n"
    offsets[6] = len(out)
    out += b"6 0 obj<</Type/ObjStm/N %d/First %d/Length %d/Filter/FlateDecode>>stream\n" % (
        len(objects),
        len(index),
        len(packed),
    )
    out += packed + b"\nendstream endobj\n"
    offsets[7] = len(out)
    entries = bytearray(b"\x00\x00\x00\x00")
    for number in range(1, 8):
        if number in offsets:
            entries += bytes([1]) + offsets[number].to_bytes(2, "big") + b"\0"
        else:
            entries += bytes([2, 0, 6, list(objects).index(number)])
    out += b"7 0 obj<</Type/XRef/Size 8/W[1 2 1]/Root 1 0 R/Length %d>>stream\n" % len(entries)
    return out + bytes(entries) + b"\nendstream endobj\nstartxref\n%d\n%%%%EOF\n" % offsets[7]


def make_pdf_encrypted_with_aes() -> bytes:
    """Return a PDF of version 2.0 that needs AES, for which the library wants another library."""
    key, check = b"<" + b"00" * 48 + b">", b"<" + b"00" * 32 + b">"
    encrypt = (
        b"<</Filter/Standard/V 5/R 6/Length 256/P -4/O %b/U %b/OE %b/UE %b/Perms <%b>"
        b"/CF<</StdCF<</AuthEvent/DocOpen/CFM/AESV3/Length 32>>>>/StmF/StdCF/StrF/StdCF>>"
    ) % (key, key, check, check, b"00" * 16)
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[]/Count 0>>", encrypt]
    out = b"%PDF-2.0\n"
    table = b"0000000000 65535 f \n"
    for number, data in enumerate(objects, 1):
        table += b"%010d 00000 n \n" % len(out)
        out += b"%d 0 obj\n%b\nendobj\n" % (number, data)
    trailer = b"trailer<</Size 4/Root 1 0 R/Encrypt 3 0 R/ID[<00><00>]>>\nstartxref\n%d\n%%%%EOF\n" % len(out)
    return out + b"xref\n0 4\n" + table + trailer
