"""The external parser service: files, crawls and videos are parsed elsewhere, and the result is told by a callback.

Its HTTP contract is domain.md §3.1. Start at :func:`steps.parser_service.waiting.parsed`.
"""
