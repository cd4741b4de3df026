"""Shows the result of an export as text, as JSON and as a page."""

from export.report.export_report import ExportReport

__all__ = ["ExportReport"]
