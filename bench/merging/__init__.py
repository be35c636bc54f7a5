"""Joins the parts of one experiment that several people or machines ran."""
