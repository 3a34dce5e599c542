"""HTML: headings open chunks and form their heading path; scripts, styles and other invisible parts are dropped.

The standard library's tokenizer is fed a piece at a time. What it could not tokenize yet (half a tag) is not kept but
fed again with more behind it, so between two pieces its only state is what this module carries.
"""

from __future__ import annotations

from html.parser import HTMLParser

import msgspec

from steps.parsing.errors import FormatError
from steps.parsing.limits import HEADING_CHARS_MAX, HTML_FEED_CHARS, HTML_TOKEN_CHARS_MAX
from steps.parsing.packer import Packer

#: Content that is not markup; skipped up to the end tag without tokenizing it.
_RAW = frozenset({"script", "style"})
#: Content that a reader of the page does not see.
_INVISIBLE = frozenset(
    {"noscript", "template", "svg", "math", "iframe", "object", "canvas", "audio", "video", "select"}
)
_HEADINGS = {"h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6}
_BLOCKS = frozenset(
    {
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "caption",
        "center",
        "details",
        "dialog",
        "dir",
        "div",
        "dl",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "head",
        "header",
        "hr",
        "html",
        "legend",
        "main",
        "menu",
        "nav",
        "ol",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "title",
        "ul",
    }
)
#: What stands between the text before and after these tags, when both are in one paragraph.
_JOINTS = {"br": "\n", "tr": "\n", "dt": "\n", "dd": "\n", "li": "\n- "}
_CELLS = frozenset({"td", "th"})
_CELL_JOINT = " | "
#: A heading that grows beyond this is running text with a missing end tag.
_TITLE_CHARS_MAX = 5 * HEADING_CHARS_MAX


class HtmlState(msgspec.Struct, frozen=True, array_like=True, tag="html"):
    """What the tokenizer and the text builder know between two pieces."""

    #: Characters to feed next.
    feed_chars: int = HTML_FEED_CHARS
    #: ``script`` or ``style`` while inside one.
    raw: str = ""
    #: Invisible element that is open, and how many of its name.
    hidden: str = ""
    hidden_depth: int = 0
    #: Level of the open heading, 0 for none, and its text so far.
    level: int = 0
    title: str = ""
    #: Open ``pre`` elements.
    pre: int = 0
    #: What to put before the next text of the paragraph.
    joint: str = ""


class HtmlParser:
    """See the module's docstring."""

    def __init__(self, state: HtmlState, packer: Packer) -> None:
        self.state = state
        self._builder = _Builder(packer)

    def step(self, text: str, position: int, final: bool, packer: Packer) -> int:
        """Take one piece; return its end, or -1 when more text is needed."""
        state = self.state
        if state.raw:
            return self._skip_raw(text, position, final)
        available = len(text) - position
        if available < state.feed_chars and not final:
            return -1
        piece = text[position : position + state.feed_chars]
        self._builder.load(state)
        rest = self._builder.run(piece, final and len(piece) == available)
        if rest >= HTML_TOKEN_CHARS_MAX:
            message = f"The HTML document has a tag or comment longer than {HTML_TOKEN_CHARS_MAX:,} characters"
            raise FormatError("document_too_complex", message, position)
        # Doubling keeps a long token from being searched over and over.
        self.state = self._builder.state(max(HTML_FEED_CHARS, 2 * rest))
        return position + len(piece) - rest

    def finish(self, packer: Packer) -> None:
        """Close what the document left open."""
        self._builder.load(self.state)
        self._builder.close_heading()

    def _skip_raw(self, text: str, position: int, final: bool) -> int:
        """Skip to the end tag of a script or style sheet."""
        tag = f"</{self.state.raw}"
        at = text.find("</", position)
        while at >= 0:
            found = text[at : at + len(tag)].lower()
            if found == tag:
                self.state = msgspec.structs.replace(self.state, raw="", feed_chars=HTML_FEED_CHARS)
                return at
            if len(found) < len(tag) and not final:
                return at if at > position else -1
            at = text.find("</", at + 2)
        # The last character may be the first one of the end tag.
        end = len(text) if final else len(text) - 1
        return end if end > position else -1


class _Builder(HTMLParser):
    """Turns tokens into the packer's paragraphs and headings."""

    def __init__(self, packer: Packer) -> None:
        super().__init__(convert_charrefs=True)
        self._packer = packer
        self._hidden = ""
        self._hidden_depth = 0
        self._level = 0
        self._title = ""
        self._pre = 0
        self._joint = ""

    def load(self, state: HtmlState) -> None:
        """Go to a state between two pieces, outside of scripts."""
        self.reset()
        self._hidden = state.hidden
        self._hidden_depth = state.hidden_depth
        self._level = state.level
        self._title = state.title
        self._pre = state.pre
        self._joint = state.joint

    def state(self, feed_chars: int) -> HtmlState:
        """Return the state after a piece."""
        return HtmlState(
            feed_chars,
            self.cdata_elem or "",
            self._hidden,
            self._hidden_depth,
            self._level,
            self._title,
            self._pre,
            self._joint,
        )

    def run(self, piece: str, last: bool) -> int:
        """Tokenize a piece; return how many characters at its end are to be fed again."""
        self.feed(piece)
        if last:
            self.close()
            return 0
        return len(self.rawdata)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open a block, a heading or something invisible."""
        if self._hidden:
            self._hidden_depth += tag == self._hidden
        elif tag in _INVISIBLE:
            self._hidden, self._hidden_depth = tag, 1
        elif tag in _HEADINGS:
            self._end_block()
            self._level = _HEADINGS[tag]
        elif tag in _BLOCKS:
            if tag != "div" or not self._level:
                self._end_block()
            if tag == "pre":
                self._pre += 1
        elif tag in _JOINTS:
            self._joint = _JOINTS[tag]
        elif tag in _CELLS and self._joint.strip(" ") == "":
            self._joint = _CELL_JOINT

    def handle_endtag(self, tag: str) -> None:
        """Close what the tag opened."""
        if self._hidden:
            self._hidden_depth -= tag == self._hidden
            if not self._hidden_depth:
                self._hidden = ""
        elif tag in _HEADINGS:
            self._end_block()
        elif tag in _BLOCKS and not self._level:
            self._end_block()
            if tag == "pre" and self._pre:
                self._pre -= 1

    def handle_data(self, data: str) -> None:
        """Take text, white space collapsed unless it is preformatted."""
        if self._hidden or self.cdata_elem:
            return
        if self._pre and not self._level:
            self._take_preformatted(data)
            return
        words = data.split()
        if not words:
            self._joint = self._joint or " "
            return
        joint = self._joint or (" " if data[0].isspace() else "")
        self._joint = " " if data[-1].isspace() else ""
        self._take_text(joint, " ".join(words))

    def _take_preformatted(self, data: str) -> None:
        packer = self._packer
        if packer.in_paragraph:
            packer.add(data)
            return
        data = data.lstrip("\r\n")
        if data:
            packer.add(data)
            packer.code = True

    def _take_text(self, joint: str, text: str) -> None:
        if self._level:
            self._title += (" " if joint and self._title else "") + text
            if len(self._title) > _TITLE_CHARS_MAX:
                self._level = 0
                text, self._title = self._title, ""
                self._packer.end_paragraph()
                self._packer.add(text)
            return
        packer = self._packer
        packer.add(joint + text if packer.in_paragraph else joint.lstrip(" \n|") + text)

    def _end_block(self) -> None:
        self.close_heading()
        self._packer.end_paragraph()
        self._joint = ""

    def close_heading(self) -> None:
        """Finish the open heading, if there is one."""
        if self._level and self._title:
            self._packer.heading(self._level, self._title, self._title)
        self._level = 0
        self._title = ""

    def set_cdata_mode(self, elem: str, *, escapable: bool = False) -> None:
        """Treat only scripts and style sheets as raw text, on every Python version alike."""
        if elem in _RAW:
            super().set_cdata_mode(elem)

    def parse_marked_section(self, i: int, report: bool = True) -> int:
        """Skip ``<![…>``, which some Python versions refuse with an assertion."""
        end = self.rawdata.find(">", i)
        return end + 1 if end >= 0 else -1
