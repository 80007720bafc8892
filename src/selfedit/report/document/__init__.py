"""L4. Something to read, made of blocks; shown as HTML, Markdown or JSON, or on a terminal."""

from selfedit.report.document.html import write_page
from selfedit.report.document.markdown import as_markdown, document_json, write_document
from selfedit.report.document.terminal import print_document

__all__ = ["as_markdown", "document_json", "print_document", "write_document", "write_page"]
