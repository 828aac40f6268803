"""Scores, their statistics, and every table and page made of them."""
