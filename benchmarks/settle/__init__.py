"""Compares thirteen heads on equal terms, by the rule of docs/which-one-rule.md."""
