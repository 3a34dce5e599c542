from typing import Any

class WebLoop:
    call_later: Any
