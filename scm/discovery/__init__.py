"""Audits: what a pretrained generator has learnt to be a cause."""
